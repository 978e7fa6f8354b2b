//! A request head and its bytes, readable.

use core::fmt;

use seawall_model::{Fields, Method};

use crate::h1::head::{FieldSpan, RequestHead, TargetForm};

/// A request head together with the buffer it was parsed from. Copied freely.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    head: &'a RequestHead,
    buf: &'a [u8],
}

impl<'a> RequestView<'a> {
    pub(crate) const fn new(head: &'a RequestHead, buf: &'a [u8]) -> Self {
        Self { head, buf }
    }

    /// The head without its bytes.
    pub const fn head(&self) -> &'a RequestHead {
        self.head
    }

    /// The method as sent: a token.
    pub fn method_token(&self) -> &'a [u8] {
        self.head.method_token.of(self.buf)
    }

    /// The request target as sent: printable ASCII, in any of the four forms of RFC 9112 §3.2.
    pub fn target(&self) -> &'a [u8] {
        self.head.target.of(self.buf)
    }

    /// The host asked for: lower case, without port and without a final dot; IPv6 in brackets.
    /// Empty only if an HTTP/1.0 request names none.
    ///
    /// Validated, so that it holds nothing but letters, digits, `-`, `.`, `_` (or an IPv6 literal).
    pub fn host(&self) -> &'a str {
        if !self.head.host_lowered.is_empty() {
            return &self.head.host_lowered;
        }
        core::str::from_utf8(self.head.host.host.of(self.buf)).unwrap_or("")
    }

    /// The value of Host as sent, with port; in HTTP/1.0 without Host, the target's authority.
    pub fn authority(&self) -> &'a [u8] {
        self.head.host.whole.of(self.buf)
    }

    /// The path without query: begins with `/`, or is `*`; empty with CONNECT. An absolute-form
    /// target without path gives `/` (`*` with OPTIONS and no query; RFC 9112 §3.2.4).
    pub fn path(&self) -> &'a [u8] {
        let asks_server = || self.head.method() == Method::Options && self.head.query.is_none();
        match self.head.form {
            TargetForm::AbsoluteBare if asks_server() => b"*",
            TargetForm::AbsoluteBare => b"/",
            _ => self.head.path.of(self.buf),
        }
    }

    /// The query without `?`; `None` if there is no `?`.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.head.query.map(|span| span.of(self.buf))
    }

    /// The field lines in the order received: names as spelled, values without surrounding
    /// whitespace.
    pub fn fields(&self) -> FieldLines<'a> {
        FieldLines { spans: self.head.fields.iter(), buf: self.buf }
    }
}

impl Fields for RequestView<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())) {
            visit(value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let len = name.len();
        self.head
            .fields
            .iter()
            .find(|field| {
                field.name.len as usize == len
                    && field.name.of(self.buf).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|field| field.value.of(self.buf))
    }
}

/// Prints neither target nor fields: they may be personal.
impl fmt::Debug for RequestView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestView")
            .field("method", &self.head.method())
            .field("fields", &self.head.field_count())
            .finish_non_exhaustive()
    }
}

/// Field lines: (name, value) in the order received. See [`RequestView::fields`].
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    spans: core::slice::Iter<'a, FieldSpan>,
    buf: &'a [u8],
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.spans.next()?;
        Some((field.name.of(self.buf), field.value.of(self.buf)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for FieldLines<'_> {}
