//! Keyed mixing for sketches: nobody outside may choose who shares a counter.
//!
//! Attribute values and identities come as keyed hashes already; one multiplication by a secret number
//! is enough for them. Addresses are chosen by clients and go through SipHash. It deliberately does
//! **not** make the seed: that comes in from outside, per boot.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// Secrets of the sketches of one seed. Equal seeds give equal places, so that windows can be merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    seed: [u64; 2],
    mask: u64,
    factor: u64,
}

impl Keys {
    /// Secrets from `seed`.
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        let derive = |what: u64| sip(seed, what, 0);
        // Odd, so that no bit of what is multiplied is lost.
        Self { seed, mask: derive(1), factor: derive(2) | 1 }
    }

    /// Where randomness starts.
    pub(crate) const fn start(&self) -> u64 {
        self.mask.rotate_left(17) ^ self.factor
    }

    /// Mixes what is a keyed hash already. Both halves of the product, folded: the upper bits of the
    /// result depend on all of `value`.
    #[inline]
    pub(crate) const fn mix(&self, value: u64) -> u64 {
        fold(value ^ self.mask, self.factor)
    }

    /// One of 2^`bits` places for what is a keyed hash already. Multiply-shift with secret numbers: any
    /// two values share a place as rarely as by chance (Dietzfelbinger et al., 1997).
    #[inline]
    pub(crate) const fn scatter(&self, value: u32, bits: u32) -> usize {
        ((value as u64 ^ self.mask).wrapping_mul(self.factor) >> (64 - bits)) as usize
    }

    /// As [`Self::mix`], mixed once more, for those who count leading zeros.
    #[inline]
    pub(crate) const fn mix_well(&self, value: u64) -> u64 {
        fold(self.mix(value) ^ GOLDEN, self.mask | 1)
    }

    /// Mixes what a client chose. `level` keeps keys of different kinds apart.
    #[inline]
    pub(crate) fn hash(&self, value: u64, level: u64) -> u64 {
        sip(self.seed, value, level)
    }
}

/// SipHash-1-3 of one number under `seed`.
#[inline]
fn sip(seed: [u64; 2], value: u64, level: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed[0] ^ level, seed[1]);
    hasher.write_u64(value);
    hasher.finish()
}

/// The product of two numbers, its halves folded into one another.
#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// 2^64 divided by the golden ratio: bits without a pattern.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
