//! The report as a PDF: the same words and figures as the page of HTML, made without a browser.
//!
//! Separate from `document`, which says what is in it. It is drawn with the fonts that each reader of PDF has
//! (Helvetica, Courier), so that nothing has to be embedded; they have no letters but those of western Europe. What is
//! written in others is shown in Latin letters or by numbers, and keeps its true letters for who copies, searches or
//! listens: see `letters` and docs/decisions/0012. It deliberately does **not** depend on anything but the report: the
//! same report makes the same bytes.
//!
//! Read next: `layout` (lines and tables), `paper` (pages), `figure` (drawings).

mod figure;
mod layout;
mod letters;
mod paper;
mod table;
mod widths;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::OutlineItemFlags;
use pdf_writer::{Filter, Finish as _, Name, Pdf, Rect, Ref, TextStr};
use std::io::Write as _;

use crate::document::{Document, document};
use crate::html::meaning;
use crate::{ExportError, ExportOptions, Report};

use self::layout::Font;
use self::paper::{PAGE, Paper};

/// The report as a PDF.
///
/// # Errors
/// When the edition and the marking do not go together.
pub fn render(report: &Report, options: &ExportOptions) -> Result<Vec<u8>, ExportError> {
    let document = document(report, options)?;
    let mut paper = Paper::new(document.tlp.label(), &document.title);
    paper.note(&format!("{} {}", document.tlp.label(), meaning(document.tlp)));
    paper.title(&document.heading, &document.subtitle);
    for banner in &document.banners {
        paper.banner(banner);
    }
    paper.blocks(&document.first);
    paper.contents(&document.parts);
    for (place, part) in document.parts.iter().enumerate() {
        paper.part(place + 1, part);
    }
    paper.note(&format!("{} {}", document.tlp.label(), meaning(document.tlp)));
    Ok(write(paper, &document, &options.reporter()))
}

/// Objects that there are once; pages, contents and bookmarks follow.
const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const INFO: Ref = Ref::new(3);
const OUTLINE: Ref = Ref::new(4);
const FONTS: [Ref; 3] = [Ref::new(5), Ref::new(6), Ref::new(7)];
const FIRST: i32 = 8;

fn write(paper: Paper, document: &Document, reporter: &str) -> Vec<u8> {
    let (pages, marks) = paper.finish();
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX / 4);
    let page = |place: i32| Ref::new(FIRST + place * 2);
    let mark = |place: i32| Ref::new(FIRST + count * 2 + place);
    let mut pdf = Pdf::new();
    let mut catalog = pdf.catalog(CATALOG);
    catalog.pages(PAGES).outlines(OUTLINE).lang(TextStr("en"));
    catalog.viewer_preferences().display_doc_title(true);
    catalog.finish();
    pdf.pages(PAGES).kids((0..count).map(page)).count(count);
    pdf.document_info(INFO)
        .title(TextStr(&document.title))
        .author(TextStr(reporter))
        .subject(TextStr(document.tlp.label()))
        .creator(TextStr("Seawall"));
    for (font, id) in Font::ALL.into_iter().zip(FONTS) {
        pdf.type1_font(id)
            .base_font(Name(font.name()))
            .encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    for (place, content) in (0..count).zip(pages) {
        let id = page(place);
        let mut object = pdf.page(id);
        object.parent(PAGES).media_box(Rect::new(0.0, 0.0, PAGE[0] as f32, PAGE[1] as f32));
        object.contents(Ref::new(id.get() + 1));
        let mut resources = object.resources();
        let mut fonts = resources.fonts();
        for (font, id) in Font::ALL.into_iter().zip(FONTS) {
            fonts.pair(Name(font.key()), id);
        }
        fonts.finish();
        resources.finish();
        object.finish();
        let packed = compressed(&content.finish());
        pdf.stream(Ref::new(id.get() + 1), &packed).filter(Filter::FlateDecode);
    }
    let last = i32::try_from(marks.len()).unwrap_or(i32::MAX / 4) - 1;
    pdf.outline(OUTLINE).first(mark(0)).last(mark(last)).count(last + 1);
    for (place, one) in (0..=last).zip(&marks) {
        let mut item = pdf.outline_item(mark(place));
        item.title(TextStr(&one.title)).parent(OUTLINE).flags(OutlineItemFlags::empty());
        if place > 0 {
            item.prev(mark(place - 1));
        }
        if place < last {
            item.next(mark(place + 1));
        }
        let target = page(i32::try_from(one.page).unwrap_or(0));
        item.dest().page(target).xyz(0.0, one.y as f32, None);
    }
    pdf.finish()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("a vector takes what is written")
}

#[cfg(test)]
mod tests;
