//! The report as one file of HTML that loads nothing, runs nothing and prints well.
//!
//! Separate from `document`, which says what is in it. All text of others is escaped here, once, by `escape`; there is
//! no other way from words into markup.

use std::fmt::Write as _;

use crate::document::{Block, Document, Figure, SpanKind, Table, Text, document};
use crate::{ExportError, ExportOptions, Report, Tlp, svg};

/// The report in HTML.
///
/// # Errors
/// When the edition and the marking do not go together.
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let document = document(report, options)?;
    let mut page = String::with_capacity(256 * 1024);
    head(&mut page, &document);
    marking(&mut page, document.tlp, "header");
    page.push_str("<main>\n<h1>");
    text(&mut page, &document.heading);
    page.push_str("</h1>\n<p class=\"sub\">");
    text(&mut page, &document.subtitle);
    page.push_str("</p>\n");
    for banner in &document.banners {
        page.push_str("<p class=\"banner\">");
        text(&mut page, banner);
        page.push_str("</p>\n");
    }
    blocks(&mut page, &document.first);
    contents(&mut page, &document);
    for (place, part) in document.parts.iter().enumerate() {
        let _ = write!(
            page,
            "<section aria-labelledby=\"{0}\">\n<h2 id=\"{0}\">{1}. {2}</h2>\n",
            part.id,
            place + 1,
            escape(&part.heading)
        );
        blocks(&mut page, &part.blocks);
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n");
    marking(&mut page, document.tlp, "footer");
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

/// Nothing is loaded, run or sent, even if an escape were forgotten.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

fn head(page: &mut String, document: &Document) {
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<style>\n{}@page {{ @top-right {{ content: \"{}\"; font: bold 9pt sans-serif; }} }}\n</style>\n</head>\n<body>\n",
        escape(&document.title),
        include_str!("html/style.css"),
        document.tlp.label(),
    );
}

fn marking(page: &mut String, tlp: Tlp, element: &str) {
    let (label, what) = (tlp.label(), meaning(tlp));
    let _ = writeln!(
        page,
        "<{element} class=\"tlp\"><p><strong>{label}</strong> {what}</p></{element}>"
    );
}

/// What a marking allows, for who never saw one.
pub(crate) const fn meaning(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "May be passed on to anybody.",
        Tlp::Green => "May be passed on within the community, and not to the public.",
        Tlp::Amber => {
            "May be passed on to who needs to know in the receiving organisation and among those it serves."
        }
        Tlp::AmberStrict => {
            "May be passed on to who needs to know in the receiving organisation only."
        }
        Tlp::Red => "For the persons who received it only. May not be passed on.",
    }
}

fn contents(page: &mut String, document: &Document) {
    page.push_str("<nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">In full</h2>\n<ol>\n");
    for part in &document.parts {
        let _ = writeln!(page, "<li><a href=\"#{}\">{}</a></li>", part.id, escape(&part.heading));
    }
    page.push_str("</ol>\n</nav>\n");
}

fn blocks(page: &mut String, blocks: &[Block]) {
    for block in blocks {
        match block {
            Block::Heading(level, words) => {
                let _ = write!(page, "<h{level}>");
                text(page, words);
                let _ = writeln!(page, "</h{level}>");
            }
            Block::Paragraph(words) => wrapped(page, "p", words),
            Block::List(items) => {
                page.push_str("<ul>\n");
                items.iter().for_each(|item| wrapped(page, "li", item));
                page.push_str("</ul>\n");
            }
            Block::Table(one) => table(page, one),
            Block::Data(one) => {
                let _ = writeln!(page, "<details>\n<summary>{}</summary>", escape(&one.caption));
                table(page, one);
                page.push_str("</details>\n");
            }
            Block::Statement(who, words) => {
                page.push_str("<div class=\"said\">\n");
                wrapped(page, "p", who);
                page.push_str("<blockquote>");
                wrapped(page, "p", words);
                page.push_str("</blockquote>\n</div>\n");
            }
            Block::Figure(one) => figure(page, one),
        }
    }
}

fn wrapped(page: &mut String, element: &str, words: &Text) {
    let _ = write!(page, "<{element}>");
    text(page, words);
    let _ = writeln!(page, "</{element}>");
}

fn figure(page: &mut String, figure: &Figure) {
    let _ = writeln!(page, "<figure id=\"{}\">", figure.id);
    for (class, drawing) in [("wide", &figure.wide), ("narrow", &figure.narrow)] {
        svg::draw(page, figure, drawing, class);
    }
    let _ = writeln!(
        page,
        "<figcaption><strong>{}.</strong> {}</figcaption>\n</figure>",
        escape(&figure.caption),
        escape(&figure.says)
    );
}

fn table(page: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let caption = escape(&table.caption);
    let _ = writeln!(
        page,
        "<section class=\"scroll\" aria-label=\"Table: {caption}\" tabindex=\"0\">\n<table>\n<caption>{caption}</caption>"
    );
    page.push_str("<thead>\n<tr>");
    for column in &table.columns {
        let class = if column.is_number { " class=\"n\"" } else { "" };
        let _ = write!(page, "<th scope=\"col\"{class}>{}</th>", escape(&column.name));
    }
    page.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (place, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
            let class = if column.is_number { " class=\"n\"" } else { "" };
            let (open, close) = if place == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            let _ = write!(page, "<{open}{class}>");
            text(page, cell);
            let _ = write!(page, "</{close}>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn text(page: &mut String, text: &Text) {
    for span in &text.0 {
        let (open, close) = match span.kind {
            SpanKind::Plain => ("", ""),
            SpanKind::Strong => ("<strong>", "</strong>"),
            SpanKind::Code => ("<code>", "</code>"),
            // Set apart, so that words written from right to left do not reorder what is around them.
            SpanKind::Foreign => ("<bdi>", "</bdi>"),
            // A prefix stays in one line.
            SpanKind::ForeignCode if span.text.len() <= 24 => {
                ("<bdi><code class=\"k\">", "</code></bdi>")
            }
            SpanKind::ForeignCode => ("<bdi><code>", "</code></bdi>"),
        };
        let _ = write!(page, "{open}{}{close}", escape(&span.text));
    }
}

/// The text as it may stand anywhere in markup: between elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
