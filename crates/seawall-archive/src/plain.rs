//! What a plain file of a site is: under which address, and of which type.
//!
//! Separate because a folder says neither. Names are read as `wget` writes them and as web servers show
//! folders; types come from a closed table, because a folder that is a site may hold what no server ever
//! showed: the source of its programs, dumps and logs. Pure: it opens nothing.

use encoding_rs::Encoding;
use memchr::memmem;

use crate::export::TYPES;
use crate::html::charset_in;

/// Where a file is shown. Both begin with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAddress {
    /// The path, and the query if its name has one: `news/index.html` is `/news/`, and `index.html?p=1`
    /// (as `wget` writes it) `/?p=1`.
    pub target: String,
    /// The path that is its name, as pages link to it that were made for a folder.
    pub literal: String,
    /// For the first file of a folder that is not the front page: the folder without the slash at its end.
    pub folder: Option<String>,
}

/// Where a file of this name is shown: bytes with `/` between its parts, from the root of the site.
/// `None` if it has no parts, or ones that no address has.
pub fn file_address(name: &[u8]) -> Option<FileAddress> {
    let mut parts = name.split(|&byte| byte == b'/');
    if name.is_empty() || parts.any(|part| matches!(part, b"" | b"." | b"..")) {
        return None;
    }
    let literal = format!("/{}", escaped(name, b"/"));
    let (path, query) = match name.iter().position(|&byte| byte == b'?') {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    };
    let cut = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let is_first = matches!(&path[cut..], b"index.html" | b"index.htm" | b"index.xhtml");
    let shown = if is_first { &path[..cut] } else { path };
    let mut target = format!("/{}", escaped(shown, b"/"));
    if let Some(query) = query {
        // What `wget --adjust-extension` adds.
        let query = query.strip_suffix(b".html").unwrap_or(query);
        target.push('?');
        target.push_str(&escaped(query, b"/?&="));
    }
    let folder =
        (is_first && query.is_none() && cut > 0).then(|| target.trim_end_matches('/').to_owned());
    Some(FileAddress { target, literal, folder })
}

/// The address that `seawall archive export --static` wrote as this address of a folder, if that is
/// another: `/news/~3Fpage=2/` was `/news/?page=2`.
pub fn exported_address(folder: &str) -> Option<String> {
    if !folder.contains('~') {
        return None;
    }
    let bytes = folder.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let byte = match bytes[at] {
            b'~' => {
                let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
                at += 2;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        };
        out.push(byte);
        at += 1;
    }
    let out = String::from_utf8(out).ok()?;
    let out = if out.contains('?') { out.trim_end_matches('/') } else { &out };
    Some(out.to_owned())
}

/// The media type of a file, with a charset where there is text in UTF-8 that does not say so itself.
/// `None` for what is not to be shown: a program's source, and types that are not known.
pub fn file_type(name: &[u8], content: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let name = name.rsplit('/').next().unwrap_or_default();
    let has_query = name.contains('?');
    let name = name.split('?').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let media_type = match ending {
        // Copied by `wget` it is what the program wrote.
        Some(ending) if RUN.contains(&ending) => page_or_data(content)?,
        Some("xml" | "rss" | "atom") => xml(content),
        Some("log") => return None,
        Some(ending) => match TYPES.iter().find(|(_, endings)| endings.contains(&ending)) {
            Some((media_type, _)) => media_type,
            None if DOWNLOADED.contains(&ending) => "application/octet-stream",
            None if has_query => page_or_data(content)?,
            None => return None,
        },
        None => page_or_data(content)?,
    };
    let is_text = media_type.starts_with("text/")
        || media_type.contains("xml")
        || media_type.contains("json")
        || media_type.contains("javascript");
    if !is_text {
        return Some(media_type.to_owned());
    }
    if is_source(content) {
        return None;
    }
    let begin = &content[..content.len().min(1_024)];
    let says_it = Encoding::for_bom(content).is_some() || charset_in(begin).is_some();
    let is_utf8 = !says_it && std::str::from_utf8(content).is_ok();
    Some(if is_utf8 { format!("{media_type}; charset=utf-8") } else { media_type.to_owned() })
}

/// Of what has no ending that says it: what a site shows, told by its first bytes.
fn page_or_data(content: &[u8]) -> Option<&'static str> {
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    let begins =
        |with: &[u8]| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    if [&b"<!doctype html"[..], b"<html", b"<head", b"<!-- "].iter().any(|with| begins(with)) {
        return Some("text/html");
    }
    if begins(b"<?xml") || begins(b"<rss") || begins(b"<feed") {
        return Some(xml(content));
    }
    MAGIC.iter().find(|(magic, _)| content.starts_with(magic)).map(|(_, media_type)| *media_type)
}

fn xml(content: &[u8]) -> &'static str {
    let begin = &content[..content.len().min(1_024)];
    let has = |what: &[u8]| memmem::find(begin, what).is_some();
    match () {
        () if has(b"<rss") => "application/rss+xml",
        () if has(b"<feed") => "application/atom+xml",
        () if has(b"<svg") => "image/svg+xml",
        () if has(b"xhtml1") || has(b"<html") => "application/xhtml+xml",
        () => "application/xml",
    }
}

/// Whether it is for a server to run.
fn is_source(content: &[u8]) -> bool {
    let has = |what: &[u8]| memmem::find(content, what).is_some();
    has(b"<?php") || has(b"<?=") || content.starts_with(b"#!") || has(b"<%@")
}

/// Everything but what addresses may have, as escapes (RFC 3986 §3.3).
fn escaped(text: &[u8], kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric()
            || b"-._~!$'()*+,;:@=&".contains(&byte)
            || kept.contains(&byte)
        {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Endings of programs that a server runs.
const RUN: [&str; 14] = [
    "php", "php3", "php4", "php5", "php7", "phtml", "asp", "aspx", "jsp", "cfm", "cgi", "pl", "do",
    "shtml",
];

/// Endings of files that are downloaded.
const DOWNLOADED: [&str; 12] =
    ["doc", "docx", "odp", "ods", "odt", "ppt", "pptx", "xls", "xlsx", "apk", "dmg", "deb"];

const MAGIC: [(&[u8], &str); 6] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"wOF2", "font/woff2"),
    (b"wOFF", "font/woff"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{exported_address, file_address, file_type};

    #[track_caller]
    fn check(name: &str, target: &str, literal: &str, folder: Option<&str>) {
        let found = file_address(name.as_bytes()).expect("an address");
        assert_eq!(
            (found.target.as_str(), found.literal.as_str(), found.folder.as_deref()),
            (target, literal, folder)
        );
    }

    #[test]
    fn names_are_addresses_as_servers_and_wget_have_them() {
        check("index.html", "/", "/index.html", None);
        check("news/index.html", "/news/", "/news/index.html", Some("/news"));
        check("news/one two.html", "/news/one%20two.html", "/news/one%20two.html", None);
        check("index.html?p=1&q=a b", "/?p=1&q=a%20b", "/index.html%3Fp=1&q=a%20b", None);
        check(
            "w/index.php?title=A.html",
            "/w/index.php?title=A",
            "/w/index.php%3Ftitle=A.html",
            None,
        );
        check("100%/ä", "/100%25/%C3%A4", "/100%25/%C3%A4", None);
        for none in ["", "/a", "a//b", "a/../b", "./a", "a/"] {
            assert_eq!(file_address(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn an_exported_name_says_its_address() {
        let of = |folder: &str| exported_address(folder);
        assert_eq!(of("/news/~3Fpage=2/").as_deref(), Some("/news/?page=2"));
        assert_eq!(of("/a~20b/").as_deref(), Some("/a b/"));
        assert_eq!(of("/news/"), None);
        for broken in ["/~", "/~3", "/~zz/", "/~FF/", "/~ä"] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }

    #[test]
    fn types_come_from_names_and_first_bytes() {
        for (name, content, want) in [
            ("a.html", "<p>ä", Some("text/html; charset=utf-8")),
            ("a.html", "<meta charset=utf-8>", Some("text/html")),
            ("a.CSS", "b{}", Some("text/css; charset=utf-8")),
            ("a.xml", "<?xml?><rss>", Some("application/rss+xml; charset=utf-8")),
            ("a.png", "x", Some("image/png")),
            ("LICENSE", "words", None),
            ("about", "<!DOCTYPE html><p>x", Some("text/html; charset=utf-8")),
            ("picture", "GIF89a", Some("image/gif")),
            ("view.php?id=3", "<html>x", Some("text/html; charset=utf-8")),
            ("style.css?ver=6", "b{}", Some("text/css; charset=utf-8")),
            ("a.odt", "x", Some("application/octet-stream")),
        ] {
            assert_eq!(file_type(name.as_bytes(), content.as_bytes()).as_deref(), want, "{name}");
        }
        let latin = b"<!doctype html><p>\xe4";
        assert_eq!(file_type(b"a.html", latin).as_deref(), Some("text/html"));
    }

    #[test]
    fn what_a_server_runs_or_hides_is_not_shown() {
        for (name, content) in [
            ("wp-config.php", "<?php define('DB_PASSWORD', 'x');"),
            ("index.php", "<html><?php echo 1 ?>"),
            ("page.html", "<p><?= $secret ?>"),
            ("tool.cgi", "#!/bin/sh"),
            ("dump.sql", "insert"),
            ("debug.log", "secret"),
            ("index.html.bak", "<html>"),
            ("id_rsa", "-----BEGIN"),
            ("settings.ini", "x"),
        ] {
            assert_eq!(file_type(name.as_bytes(), content.as_bytes()), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_gives_an_address_in_printable_ascii_or_none(
            name in prop::collection::vec(any::<u8>(), 0..60),
            content in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = file_type(&name, &content);
            if let Some(found) = file_address(&name) {
                for text in [&found.target, &found.literal] {
                    prop_assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()));
                    let _ = exported_address(text);
                }
                prop_assert!(!found.literal.contains('?') && !found.literal.contains('#'));
            }
        }
    }
}
