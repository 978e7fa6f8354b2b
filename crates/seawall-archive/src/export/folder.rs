//! A folder of plain files.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use seawall_model::WallTime;

use super::names::{self, LIST, Names};
use super::{Exported, Page, Shelf, pages};
use crate::capture::Capture;
use crate::dates::with_seconds;
use crate::entity::escape_html;
use crate::error::ArchiveError;
use crate::normal::normal_url;

/// Writes everything on the shelf into `out`, which must not exist or be empty: pages with links that lead
/// from file to file, redirects as small pages, and `_/pages.html`, a list of all pages. Nothing is
/// overwritten, and nothing is written outside.
///
/// # Errors
/// [`ArchiveError::Io`]; what was written until then stays.
pub fn export_folder(shelf: &Shelf, made: WallTime, out: &Path) -> Result<Exported, ArchiveError> {
    let base = shelf.base().unwrap_or_default().to_owned();
    let mut given = Names::default();
    let mut names = HashMap::with_capacity(shelf.len());
    for (url, page) in &shelf.pages {
        if let Some(kind) = kind(page) {
            names.insert(url.as_str(), given.give(&base, url, kind));
        }
    }
    let mut exported = Exported::default();
    for (url, page) in &shelf.pages {
        let Some(name) = names.get(url.as_str()) else { continue };
        let Ok(capture) = shelf.capture(page) else {
            exported.left_out += 1;
            continue;
        };
        let find = |url: &str| names.get(url).map(|to| names::link(name, to));
        let content = content(&capture, &find);
        write(out, name, &content)?;
        exported.urls += 1;
        exported.bytes += content.len() as u64;
    }
    list(shelf, &base, made, &names, out)?;
    Ok(exported)
}

/// The media type by which the file is named; `None` for what is not shown by itself.
fn kind(page: &Page) -> Option<&str> {
    match page.status {
        200 | 203 => Some(&page.mime),
        // They become pages.
        301..=303 | 307 | 308 => Some("text/html"),
        _ => None,
    }
}

fn content(capture: &Capture, find: pages::Find<'_>) -> Vec<u8> {
    if capture.status >= 300 {
        let location = capture.field("location").unwrap_or_default();
        let location = String::from_utf8_lossy(location);
        let url = normal_url(Some(&capture.url), &location).unwrap_or_else(|| capture.url.clone());
        let to = escape_html(&find(&url).unwrap_or(url));
        return format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Moved</title>\n\
             <meta http-equiv=\"refresh\" content=\"0;url={to}\"></head>\n\
             <body><p><a href=\"{to}\">This page is here now.</a></p></body></html>\n"
        )
        .into_bytes();
    }
    match capture.media_type().as_str() {
        "text/html" | "application/xhtml+xml" => pages::page(capture, find),
        "text/css" => pages::style_sheet(capture, find),
        _ => capture.body.to_vec(),
    }
}

fn write(out: &Path, name: &str, content: &[u8]) -> Result<(), ArchiveError> {
    let written = || -> io::Result<()> {
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(content)
    };
    written().map_err(ArchiveError::io("write the exported files"))
}

/// The list of all pages; it is the front page too where there is none.
fn list(
    shelf: &Shelf,
    base: &str,
    made: WallTime,
    names: &HashMap<&str, String>,
    out: &Path,
) -> Result<(), ArchiveError> {
    let unwritten = || ArchiveError::io("write the list of pages");
    let path = out.join(LIST);
    fs::create_dir_all(out.join("_")).map_err(unwritten())?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(unwritten())?;
    let mut text = BufWriter::new(file);
    let (base, made) = (escape_html(base), with_seconds(made));
    let head = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\"><title>All pages of {base}</title></head>\n\
         <body><h1>All pages of {base}</h1>\n<p>A copy, written on <time>{made}</time>. \
         Each line says when its page was copied.</p>\n<ul>\n"
    );
    let mut put = |line: &str| text.write_all(line.as_bytes()).map_err(unwritten());
    put(&head)?;
    for (url, page) in &shelf.pages {
        let is_html = page.mime == "text/html" || page.mime == "application/xhtml+xml";
        let Some(name) = names.get(url.as_str()).filter(|_| is_html && page.status == 200) else {
            continue;
        };
        let title = page.title.as_deref().filter(|title| !title.is_empty()).unwrap_or(url);
        let (link, title, at) =
            (names::link(LIST, name), escape_html(title), with_seconds(page.captured));
        put(&format!("<li><a href=\"{link}\"><bdi>{title}</bdi></a> <time>{at}</time></li>\n"))?;
    }
    put("</ul></body></html>\n")?;
    text.flush().map_err(unwritten())?;
    if names.values().any(|name| name.eq_ignore_ascii_case("index.html")) {
        return Ok(());
    }
    let front = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{base}</title>\n\
         <meta http-equiv=\"refresh\" content=\"0;url={LIST}\"></head>\n\
         <body><p><a href=\"{LIST}\">All pages</a></p></body></html>\n"
    );
    write(out, "index.html", front.as_bytes())
}
