//! Names of files for URLs: safe on every file system, and never two alike.
//!
//! A name is the path of its URL, decoded, so that a web server which serves the folder answers under the old
//! addresses where that is possible: pages without `.html` are `PATH/index.html`. What a file system or a web
//! server would read in its own way is written as `~` and the two digits of each byte. Where that is too
//! long, or a name would be taken twice (also for systems that see no case), the name is a digest in the
//! folder `_`, in which nothing else lies but the list of pages.

use std::collections::HashSet;

use seawall_seal::Digest;

use crate::normal::escape_at;

/// The names given so far.
#[derive(Default)]
pub(super) struct Names {
    /// Files and folders, in lower case.
    files: HashSet<String>,
    folders: HashSet<String>,
}

/// Where the list of all pages lies.
pub(super) const LIST: &str = "_/pages.html";

/// Bytes of one part of a name: 255 is what most file systems take, and an ending may be added.
const MAX_PART: usize = 200;
/// Bytes of a whole name.
const MAX_NAME: usize = 600;
const MAX_PARTS: usize = 24;

impl Names {
    /// The name for `url` of the site at `base`, whose content has this media type. Relative, with `/`
    /// between its parts.
    pub(super) fn give(&mut self, base: &str, url: &str, media_type: &str) -> String {
        let path = url.strip_prefix(base).filter(|path| path.starts_with('/'));
        let plain = path.and_then(|path| plain(path, media_type));
        match plain.filter(|name| self.is_free(name)) {
            Some(name) => self.take(name),
            None => {
                let digest = &Digest::of(url.as_bytes()).to_string()[..32];
                self.take(format!("_/{digest}.{}", ending(media_type, "")))
            }
        }
    }

    /// Free is what is neither there, nor a folder, nor below a file.
    fn is_free(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut above = name.match_indices('/').map(|(at, _)| &name[..at]);
        !self.files.contains(&name)
            && !self.folders.contains(&name)
            && !above.any(|folder| self.files.contains(folder))
    }

    fn take(&mut self, name: String) -> String {
        let lower = name.to_lowercase();
        for (at, _) in lower.match_indices('/') {
            self.folders.insert(lower[..at].to_owned());
        }
        self.files.insert(lower);
        name
    }
}

/// The name that says where it comes from, if it can be had.
fn plain(path: &str, media_type: &str) -> Option<String> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut parts: Vec<String> = path[1..].split('/').map(|part| safe(&decoded(part))).collect();
    if parts[0] == "_" {
        // That folder is ours.
        return None;
    }
    let mut last = parts.pop().unwrap_or_default();
    if path.ends_with('/') {
        last.clear();
    }
    if let Some(query) = query {
        last.push_str("~3F");
        last.push_str(&closed(safe_inside(&decoded(query))));
    }
    let is_page = is_page(media_type);
    let known = last.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let wanted = ending(media_type, known.as_deref().unwrap_or_default());
    match (last.is_empty(), is_page) {
        (true, true) => last = "index.html".to_owned(),
        (true, false) => last = format!("index.{wanted}"),
        (false, _) if known.as_deref() == Some(wanted) => {}
        (false, true) => {
            parts.push(last);
            last = "index.html".to_owned();
        }
        (false, false) => last = format!("{last}.{wanted}"),
    }
    parts.push(last);
    let name = parts.join("/");
    let fits = name.len() <= MAX_NAME
        && parts.len() <= MAX_PARTS
        && parts.iter().all(|part| part.len() <= MAX_PART);
    fits.then_some(name)
}

fn is_page(media_type: &str) -> bool {
    matches!(media_type, "text/html" | "application/xhtml+xml")
}

/// Escapes undone, where that gives text.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match escape_at(bytes, at) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| part.to_owned())
}

/// One part of a name.
fn safe(part: &str) -> String {
    let mut out = safe_inside(part);
    // `.` and `..`, hidden files and what web servers read (`.htaccess`).
    if let Some(rest) = out.strip_prefix('.') {
        out = format!("~2E{rest}");
    }
    let stem = out.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = stem.len() == 4
        && (stem.starts_with("com") || stem.starts_with("lpt"))
        && stem.ends_with(|c: char| c.is_ascii_digit());
    if numbered || matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") {
        out = format!("~{:02X}{}", out.as_bytes()[0], &out[1..]);
    }
    // An empty part, from `//`.
    if out.is_empty() { "~2F".to_owned() } else { closed(out) }
}

/// Windows drops a dot at the end.
fn closed(part: String) -> String {
    match part.strip_suffix('.') {
        Some(rest) => format!("{rest}~2E"),
        None => part,
    }
}

fn safe_inside(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for c in part.chars() {
        // The joiners are letters' own in Persian and Indian writing.
        if c.is_alphanumeric()
            || matches!(c, '.' | '-' | '_' | '=' | ',' | '+' | '\u{200c}' | '\u{200d}')
        {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("~{byte:02X}"));
            }
        }
    }
    out
}

/// The ending for a media type: the one that is there, if it means that, else the usual one.
fn ending<'a>(media_type: &str, known: &'a str) -> &'a str {
    let listed = TYPES.iter().find(|(name, _)| *name == media_type).map(|(_, endings)| *endings);
    match listed {
        Some(endings) => match endings.iter().find(|ending| **ending == known) {
            Some(_) => known,
            None => endings[0],
        },
        // Of a type that says nothing the ending may say more, if it is one that no server runs.
        None if PLAIN.contains(&known)
            || TYPES.iter().any(|(_, endings)| endings.contains(&known)) =>
        {
            known
        }
        None => "bin",
    }
}

/// Endings of files that are downloaded.
const PLAIN: [&str; 19] = [
    "7z", "apk", "bz2", "deb", "dmg", "doc", "docx", "exe", "gz", "odp", "ods", "odt", "ppt",
    "pptx", "rpm", "tar", "xls", "xlsx", "xz",
];

/// Media types with the endings that mean them, the usual one first.
pub(crate) const TYPES: [(&str, &[&str]); 44] = [
    ("text/html", &["html", "htm"]),
    ("application/xhtml+xml", &["html", "htm", "xhtml"]),
    ("text/css", &["css"]),
    ("text/javascript", &["js", "mjs"]),
    ("application/javascript", &["js", "mjs"]),
    ("application/x-javascript", &["js", "mjs"]),
    ("application/json", &["json", "map"]),
    ("application/manifest+json", &["webmanifest", "json"]),
    ("application/rss+xml", &["xml", "rss"]),
    ("application/atom+xml", &["xml", "atom"]),
    ("application/xml", &["xml", "xsl", "rss", "atom", "svg"]),
    ("text/xml", &["xml", "xsl", "rss", "atom"]),
    ("text/xsl", &["xsl"]),
    ("text/plain", &["txt", "md", "csv", "log"]),
    ("text/csv", &["csv"]),
    ("text/vtt", &["vtt"]),
    ("text/calendar", &["ics"]),
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/svg+xml", &["svg"]),
    ("image/bmp", &["bmp"]),
    ("image/tiff", &["tif", "tiff"]),
    ("image/x-icon", &["ico"]),
    ("image/vnd.microsoft.icon", &["ico"]),
    ("font/woff", &["woff"]),
    ("font/woff2", &["woff2"]),
    ("font/ttf", &["ttf"]),
    ("font/otf", &["otf"]),
    ("application/font-woff", &["woff"]),
    ("application/vnd.ms-fontobject", &["eot"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["ogg", "oga"]),
    ("audio/mp4", &["m4a"]),
    ("audio/wav", &["wav"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/webm", &["webm"]),
    ("video/ogg", &["ogv"]),
    ("application/pdf", &["pdf"]),
    ("application/zip", &["zip"]),
    ("application/epub+zip", &["epub"]),
    ("application/wasm", &["wasm"]),
];

/// `to` as a link in the file `from`.
pub(super) fn link(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let shared = from[..from.len() - 1]
        .iter()
        .zip(&to[..to.len() - 1])
        .take_while(|(here, there)| here == there)
        .count();
    let mut link = "../".repeat(from.len() - 1 - shared);
    for (at, part) in to[shared..].iter().enumerate() {
        if at > 0 {
            link.push('/');
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~=,+".contains(&byte) {
                link.push(char::from(byte));
            } else {
                link.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{Names, link};
    use crate::normal::normal_url;

    const BASE: &str = "https://example.org";

    #[track_caller]
    fn check(path: &str, media_type: &str, want: &str) {
        let got = Names::default().give(BASE, &format!("{BASE}{path}"), media_type);
        assert_eq!(got, want, "{path}");
    }

    #[test]
    fn names_follow_their_addresses() {
        for (path, media_type, want) in [
            ("/", "text/html", "index.html"),
            ("/news/", "text/html", "news/index.html"),
            ("/news", "text/html", "news/index.html"),
            ("/a.html", "text/html", "a.html"),
            ("/a.HTM", "text/html", "a.HTM"),
            ("/a.php", "text/html", "a.php/index.html"),
            ("/?p=1&q=2", "text/html", "~3Fp=1~26q=2/index.html"),
            ("/news/?page=2", "text/html", "news/~3Fpage=2/index.html"),
            ("/css/a.css?ver=1.2", "text/css", "css/a.css~3Fver=1.2.css"),
            ("/feed/", "application/rss+xml", "feed/index.xml"),
            ("/img/a", "image/png", "img/a.png"),
            ("/a.jpeg", "image/jpeg", "a.jpeg"),
            ("/run.php", "application/octet-stream", "run.php.bin"),
            ("/run.php", "text/plain", "run.php.txt"),
            ("/a.docx", "application/vnd.openxmlformats", "a.docx"),
            ("/%D8%AE%D8%A8%D8%B1/", "text/html", "خبر/index.html"),
            ("/a%20b~c", "image/png", "a~20b~7Ec.png"),
            ("/.htaccess", "text/plain", "~2Ehtaccess.txt"),
            ("/%2e%2e/%2e%2e/etc/passwd", "text/plain", "~2E~2E/~2E~2E/etc/passwd.txt"),
            ("/..%2f..%2fx", "image/png", "~2E.~2F..~2Fx.png"),
            ("/a\\..\\b", "image/png", "a~5C..~5Cb.png"),
            ("/con/aux.png", "image/png", "~63on/~61ux.png"),
            ("/a./b", "image/png", "a~2E/b.png"),
            ("//a", "image/png", "~2F/a.png"),
        ] {
            check(path, media_type, want);
        }
    }

    #[test]
    fn what_has_no_plain_name_has_a_digest() {
        let mut names = Names::default();
        let mut give = |path: &str| names.give(BASE, &format!("{BASE}{path}"), "text/html");
        assert_eq!(give("/a/"), "a/index.html");
        for path in
            ["/A/", "/a", "/a/index.html", "/_/pages.html", &format!("/{}", "x".repeat(300))]
        {
            let name = give(path);
            assert!(
                name.starts_with("_/") && name.ends_with(".html") && name.len() == 39,
                "{name}"
            );
        }
        // A file cannot be a folder as well, whichever comes first.
        assert_eq!(names.give(BASE, "https://example.org/x.js", "text/javascript"), "x.js");
        assert!(
            names.give(BASE, "https://example.org/x.js/y.js", "text/javascript").starts_with("_/")
        );
        assert_eq!(
            names.give(BASE, "https://example.org/y.js/y.js", "text/javascript"),
            "y.js/y.js"
        );
        assert!(names.give(BASE, "https://example.org/y.js", "text/javascript").starts_with("_/"));
        // Of another host.
        assert!(names.give(BASE, "https://example.org.evil/x", "text/css").starts_with("_/"));
    }

    #[test]
    fn links_lead_from_file_to_file() {
        for (from, to, want) in [
            ("index.html", "news/index.html", "news/index.html"),
            ("news/index.html", "index.html", "../index.html"),
            ("news/a/index.html", "news/b/index.html", "../b/index.html"),
            ("a.html", "a.html", "a.html"),
            ("a/b.html", "a/c d.html", "c%20d.html"),
            ("a.html", "خ.html", "%D8%AE.html"),
        ] {
            assert_eq!(link(from, to), want, "{from} {to}");
        }
    }

    proptest! {
        #[test]
        fn names_stay_in_the_folder_and_never_meet(
            paths in prop::collection::vec("(/|[./%2eEfF?&aA~_:\\\\ é]|\\.\\./|%2e|%2F|%00|con|_/|index\\.html){0,12}", 1..40),
            types in prop::collection::vec(0_usize..5, 40),
        ) {
            let types_of = ["text/html", "text/css", "image/png", "", "application/x-php"];
            let urls: HashSet<String> = paths
                .iter()
                .filter_map(|path| normal_url(None, &format!("{BASE}/{path}")))
                .collect();
            let mut names = Names::default();
            let mut given: Vec<String> = Vec::new();
            for (url, kind) in urls.iter().zip(&types) {
                let name = names.give(BASE, url, types_of[*kind]);
                prop_assert!(name.len() < 700 && !name.contains(['\\', ':', '\0', '?', '%']), "{}", name);
                for part in name.split('/') {
                    prop_assert!(!part.is_empty() && !part.starts_with('.'), "{}", name);
                    prop_assert!(!part.ends_with(['.', ' ']) && part.len() <= 255, "{}", name);
                }
                prop_assert!(name != super::LIST, "{}", name);
                given.push(name.to_lowercase());
            }
            let files: HashSet<&String> = given.iter().collect();
            prop_assert_eq!(files.len(), given.len());
            for name in &given {
                for (at, _) in name.match_indices('/') {
                    prop_assert!(!files.contains(&name[..at].to_owned()), "{} is a file and a folder", name);
                }
            }
        }
    }
}
