//! Names that are the same whenever they are made of the same: UUIDs of version 5.
//!
//! Separate because they need SHA-1, and nothing else of ours may: it names here, and proves nothing.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// The UUID of `name` in `namespace`, version 5, in its usual text form.
///
/// *Source:* RFC 9562 §5.5.
pub fn name_uuid(namespace: u128, name: &[u8]) -> String {
    let bytes = [&namespace.to_be_bytes()[..], name].concat();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let mut head = [0; 16];
    head.copy_from_slice(&hash.as_ref()[..16]);
    let bits = u128::from_be_bytes(head);
    // Version and variant take the place of six bits.
    let bits = bits & !(0xf << 76) | 5 << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::name_uuid;

    #[test]
    fn a_name_has_the_uuid_of_rfc_9562() {
        let dns = 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8;
        // Appendix A.4.
        let want = "2ed6657d-e927-568b-95e1-2665a8aea6a2";
        assert_eq!(name_uuid(dns, b"www.example.com"), want);
    }
}
