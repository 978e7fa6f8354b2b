//! Read access to header fields, whatever holds them, so that policy is written once.

/// Read access to the header fields of a message, whatever holds them.
///
/// Names passed in are lower case; the comparison ignores ASCII case (RFC 9110 §5.1). Field lines
/// come in the order received. Implemented by the HTTP/1 head of `seawall-wire` over raw bytes and
/// by header maps elsewhere, so that policy is written once.
pub trait Fields {
    /// Calls `visit` with the value of each field line named `name`, in order.
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]));

    /// The value of the first field line named `name`.
    fn first(&self, name: &str) -> Option<&[u8]>;

    /// Whether there is at least one field line named `name`.
    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}
