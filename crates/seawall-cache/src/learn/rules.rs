//! What is known about query parameters without having watched a single answer.
//!
//! Separate because it is fixed: the operator's two lists and the names that so many sites use that
//! nothing is ever learned about them. It does **not** remember anything.

use std::borrow::Cow;

use crate::cookies::CookiePatterns;

/// What a site's owner decided about query parameters. Patterns are lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRules {
    /// Always part of the key, whatever was observed. `*` switches learning off. Default: none.
    pub keep: CookiePatterns,
    /// Never part of the key, and not sent to the origin for a page that is shared. Default: the
    /// marks that advertisers and newsletters put on links, which are for scripts in the page.
    pub ignore: CookiePatterns,
}

impl Default for QueryRules {
    fn default() -> Self {
        Self { keep: CookiePatterns::default(), ignore: CookiePatterns::new(IGNORED) }
    }
}

/// Google Analytics and Ads, Meta, Microsoft, Yandex, X, TikTok, LinkedIn, Mailchimp, HubSpot,
/// Marketo. A shop or a page that is shown differently for one of them does so by script.
const IGNORED: [&str; 22] = [
    "utm_*",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "_gl",
    "srsltid",
    "fbclid",
    "igshid",
    "msclkid",
    "yclid",
    "_openstat",
    "twclid",
    "ttclid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "_hsenc",
    "_hsmi",
    "hsctatracking",
    "mkt_tok",
];

impl QueryRules {
    /// The query without what the operator leaves out; `None` if nothing remains. A query that is
    /// empty from the start stays, because it differs from none (RFC 3986 §6.2.3).
    pub fn shorten<'q>(&self, query: &'q [u8]) -> Option<Cow<'q, [u8]>> {
        let is_out = |piece: &[u8]| self.is_ignored(piece);
        if !pieces(query).any(is_out) {
            return Some(Cow::Borrowed(query));
        }
        without(query, is_out).map(Cow::Owned)
    }

    fn is_ignored(&self, piece: &[u8]) -> bool {
        let mut all = true;
        each_name(piece, &mut |name| all &= self.ignore.matches(name));
        all
    }

    /// Whether nothing is to be learned about this name.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        self.keep.matches(name) || COMMON.binary_search(&name).is_ok()
    }

    /// Whether that is so of all names in this piece of a query.
    pub(super) fn knows_all_of(&self, piece: &[u8]) -> bool {
        let mut all = true;
        each_name(piece, &mut |name| all &= self.knows(name));
        all
    }
}

/// The parts between `&`.
pub(super) fn pieces(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&byte| byte == b'&')
}

/// The pieces for which `is_out` is false, joined again; `None` if there is none.
pub(super) fn without(query: &[u8], is_out: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = pieces(query).filter(|piece| !is_out(piece)).collect();
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

/// The names that an origin may read in one piece of a query, in canonical form: some origins
/// separate parameters by `;` as well.
pub(super) fn each_name(piece: &[u8], tell: &mut dyn FnMut(&[u8])) {
    for part in piece.split(|&byte| byte == b';') {
        match part.iter().position(|&byte| byte == b'=') {
            Some(at) => tell(&canonical(&part[..at])),
            None => tell(BARE),
        }
    }
}

/// All queries without a name (`?about`, `?12345`) count as one parameter.
pub(super) const BARE: &[u8] = b"";
/// Names with a slash (`?/news/5=`): whole paths, one parameter.
const PATHS: &[u8] = b"/";

/// A name as the most lenient origins read it: decoded, in lower case, and as PHP registers it (cut
/// at `[` and NUL, leading spaces dropped, dots and spaces as underscores). Names that any of them
/// takes for the same are the same here, so that none hides behind another spelling.
pub(super) fn canonical(raw: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !raw.is_empty() && raw.iter().all(is_plain) {
        return Cow::Borrowed(raw);
    }
    let mut name = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let escaped = match raw[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        at += if escaped.is_some() { 3 } else { 1 };
        match escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }) {
            0 | b'[' => break,
            b'/' => return Cow::Borrowed(PATHS),
            b' ' if name.is_empty() => {}
            b' ' | b'.' => name.push(b'_'),
            other => name.push(other.to_ascii_lowercase()),
        }
    }
    Cow::Owned(name)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Names that mean something on so many sites that they are part of the key everywhere, unless the
/// operator leaves them out. An unknown value of these often gives the default page, which would
/// teach the wrong thing. Sorted.
const COMMON: [&[u8]; 117] = [
    b"a",
    b"act",
    b"action",
    b"album",
    b"amp",
    b"article",
    b"attachment_id",
    b"author",
    b"b",
    b"c",
    b"callback",
    b"cat",
    b"category",
    b"cid",
    b"city",
    b"cmd",
    b"comments",
    b"controller",
    b"country",
    b"cpage",
    b"currency",
    b"cursor",
    b"d",
    b"date",
    b"day",
    b"debug",
    b"dir",
    b"display",
    b"do",
    b"doc",
    b"download",
    b"edition",
    b"embed",
    b"event",
    b"f",
    b"feed",
    b"fields",
    b"file",
    b"filter",
    b"format",
    b"forum",
    b"from",
    b"g",
    b"group",
    b"height",
    b"hl",
    b"hour",
    b"i",
    b"id",
    b"image",
    b"item",
    b"k",
    b"key",
    b"keyword",
    b"keywords",
    b"l",
    b"lang",
    b"language",
    b"layout",
    b"limit",
    b"loc",
    b"locale",
    b"m",
    b"mobile",
    b"mode",
    b"module",
    b"month",
    b"n",
    b"name",
    b"news",
    b"node",
    b"o",
    b"offset",
    b"op",
    b"option",
    b"order",
    b"orderby",
    b"output",
    b"p",
    b"page",
    b"page_id",
    b"paged",
    b"per_page",
    b"pg",
    b"photo",
    b"post",
    b"post_type",
    b"preview",
    b"print",
    b"product",
    b"q",
    b"query",
    b"r",
    b"region",
    b"replytocom",
    b"rest_route",
    b"s",
    b"search",
    b"section",
    b"size",
    b"sort",
    b"start",
    b"t",
    b"tab",
    b"tag",
    b"template",
    b"theme",
    b"title",
    b"to",
    b"topic",
    b"type",
    b"u",
    b"url",
    b"user",
    b"view",
    b"w",
    b"year",
];

#[cfg(test)]
mod tests {
    use super::{COMMON, QueryRules, canonical};

    #[test]
    fn common_names_are_sorted_and_canonical() {
        assert!(COMMON.is_sorted());
        for name in COMMON {
            assert_eq!(&*canonical(name), name);
        }
    }

    #[test]
    fn a_name_is_read_as_the_most_lenient_origin_reads_it() {
        let cases: [(&str, &str); 12] = [
            ("s", "s"),
            ("S", "s"),
            ("%73", "s"),
            ("s[]", "s"),
            ("s%5B0%5D", "s"),
            ("+s", "s"),
            ("%20s", "s"),
            ("s%00x", "s"),
            ("page.id", "page_id"),
            ("page+id", "page_id"),
            ("/news/5", "/"),
            ("%zz", "%zz"),
        ];
        for (raw, want) in cases {
            assert_eq!(&*canonical(raw.as_bytes()), want.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn what_the_operator_leaves_out_is_left_out_and_nothing_else() {
        let cases: [(&str, Option<&str>); 9] = [
            ("", Some("")),
            ("a=1", Some("a=1")),
            ("utm_source=x", None),
            ("UTM_Source=x&fbclid=1", None),
            ("a=1&utm_source=x&b=2", Some("a=1&b=2")),
            ("utm_source=x&a=1&a=2", Some("a=1&a=2")),
            ("utm_source=1;s=2", Some("utm_source=1;s=2")),
            ("utm_source", Some("utm_source")),
            ("fbclid=1&", Some("")),
        ];
        for (query, want) in cases {
            let shortened = QueryRules::default().shorten(query.as_bytes());
            assert_eq!(shortened.as_deref(), want.map(str::as_bytes), "{query}");
        }
    }
}
