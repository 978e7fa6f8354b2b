//! Pages, filled from the top.

use pdf_writer::{Content, Finish as _, Name, Str, TextStr};

use crate::document::{Block, Figure, Part, Text};

use super::figure;
use super::layout::{Font, Line, lines};
use super::table;

/// A4, in points.
pub(super) const PAGE: [f64; 2] = [595.28, 841.89];
/// Left and right.
pub(super) const SIDE: f64 = 48.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Of the words on a page.
pub(super) const WIDTH: f64 = PAGE[0] - 2.0 * SIDE;
/// Size of words, and from one line to the next.
const BODY: f64 = 9.5;
const SMALL: f64 = 8.0;
const LEADING: f64 = 1.32;

/// Where a part begins.
pub(super) struct Mark {
    pub(super) title: String,
    pub(super) page: usize,
    pub(super) y: f64,
}

/// What is written on.
pub(super) struct Paper {
    pages: Vec<Content>,
    /// The base of what was written last.
    pub(super) y: f64,
    marks: Vec<Mark>,
    /// Where page numbers of the contents belong: page, and base of the line.
    listed: Vec<(usize, f64)>,
    label: String,
    title: String,
}

impl Paper {
    pub(super) fn new(label: &str, title: &str) -> Self {
        let first = Mark { title: "In short".to_owned(), page: 0, y: PAGE[1] };
        Self {
            pages: vec![Content::new()],
            y: PAGE[1] - TOP,
            marks: vec![first],
            listed: Vec::new(),
            label: label.to_owned(),
            title: title.to_owned(),
        }
    }

    /// Pages with their marking and number, and where parts begin.
    pub(super) fn finish(mut self) -> (Vec<Content>, Vec<Mark>) {
        let all = self.pages.len();
        for (mark, (page, y)) in self.marks.iter().skip(1).zip(&self.listed) {
            let number = one(&(mark.page + 1).to_string(), Font::Regular, BODY);
            let x = PAGE[0] - SIDE - number.width;
            if let Some(content) = self.pages.get_mut(*page) {
                show(content, &number, x, *y);
            }
        }
        for (place, content) in self.pages.iter_mut().enumerate() {
            content.set_fill_rgb(0.0, 0.0, 0.0);
            let label = one(&self.label, Font::Bold, SMALL);
            let number = one(&format!("Page {} of {all}", place + 1), Font::Regular, SMALL);
            let title = lines(&Text::foreign(&self.title), Font::Regular, SMALL, WIDTH - 120.0);
            for y in [PAGE[1] - 32.0, 28.0] {
                show(content, &label, PAGE[0] - SIDE - label.width, y);
            }
            if place > 0 {
                title.iter().take(1).for_each(|line| show(content, line, SIDE, PAGE[1] - 32.0));
            }
            show(content, &number, SIDE, 28.0);
        }
        (self.pages, self.marks)
    }

    pub(super) fn content(&mut self) -> &mut Content {
        if self.pages.is_empty() {
            self.pages.push(Content::new());
        }
        let last = self.pages.len() - 1;
        &mut self.pages[last]
    }

    /// Begins a page unless there are `height` points left on this one. Says whether it did.
    pub(super) fn need(&mut self, height: f64) -> bool {
        let is_fresh = self.y >= PAGE[1] - TOP - 0.1;
        let is_full = self.y - height < BOTTOM && !is_fresh;
        if is_full {
            self.turn();
        }
        is_full
    }

    fn turn(&mut self) {
        self.pages.push(Content::new());
        self.y = PAGE[1] - TOP;
    }

    /// Lines below each other, from `x` on.
    pub(super) fn lines(&mut self, lines: &[Line], x: f64, size: f64) {
        for line in lines {
            self.need(size * LEADING);
            self.y -= size * LEADING;
            let y = self.y;
            show(self.content(), line, x, y);
        }
    }

    fn words(&mut self, text: &Text, font: Font, size: f64, indent: f64) {
        let made = lines(text, font, size, WIDTH - indent);
        self.lines(&made, SIDE + indent, size);
    }

    /// What the marking allows.
    pub(super) fn note(&mut self, text: &str) {
        self.need(20.0);
        self.words(&text.into(), Font::Regular, SMALL, 0.0);
    }

    pub(super) fn title(&mut self, heading: &Text, subtitle: &Text) {
        self.y -= 6.0;
        self.words(heading, Font::Bold, 16.0, 0.0);
        self.y -= 2.0;
        self.words(subtitle, Font::Regular, SMALL, 0.0);
    }

    pub(super) fn banner(&mut self, text: &Text) {
        let made = lines(text, Font::Regular, BODY, WIDTH - 16.0);
        let height = made.len() as f64 * BODY * LEADING + 10.0;
        self.need(height + 6.0);
        let top = self.y - 6.0;
        self.y = top - 3.0;
        self.lines(&made, SIDE + 8.0, BODY);
        let base = top - height;
        self.y = base - 2.0;
        let content = self.content();
        content.set_stroke_rgb(0.55, 0.11, 0.07).set_line_width(1.2);
        content.rect(SIDE as f32, base as f32, WIDTH as f32, height as f32).stroke();
    }

    /// The list of parts; their pages are known at the end.
    pub(super) fn contents(&mut self, parts: &[Part]) {
        self.turn();
        self.heading(2, &"In full".into());
        for (place, part) in parts.iter().enumerate() {
            self.words(
                &format!("{}. {}", place + 1, part.heading).into(),
                Font::Regular,
                BODY,
                0.0,
            );
            self.listed.push((self.pages.len() - 1, self.y));
        }
    }

    pub(super) fn part(&mut self, number: usize, part: &Part) {
        self.need(90.0);
        let title = format!("{number}. {}", part.heading);
        self.marks.push(Mark { title: title.clone(), page: self.pages.len() - 1, y: self.y });
        self.heading(2, &title.into());
        self.blocks(&part.blocks);
    }

    fn heading(&mut self, level: u8, text: &Text) {
        let (size, before) = if level == 2 { (12.5, 12.0) } else { (10.5, 8.0) };
        self.need(before + size * LEADING + 34.0);
        self.y -= before;
        self.words(text, Font::Bold, size, 0.0);
        self.y -= 1.0;
    }

    pub(super) fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            match block {
                Block::Heading(level, text) => self.heading(*level, text),
                Block::Paragraph(text) => {
                    self.y -= 3.0;
                    self.words(text, Font::Regular, BODY, 0.0);
                }
                Block::List(items) => items.iter().for_each(|item| self.item(item)),
                Block::Table(one) | Block::Data(one) => table::draw(self, one),
                Block::Statement(who, text) => self.statement(who, text),
                Block::Figure(one) => self.figure(one),
            }
        }
    }

    fn item(&mut self, text: &Text) {
        self.y -= 1.5;
        self.need(BODY * LEADING);
        let (bullet, y) = (one("\u{2022}", Font::Regular, BODY), self.y - BODY * LEADING);
        show(self.content(), &bullet, SIDE + 2.0, y);
        self.words(text, Font::Regular, BODY, 12.0);
    }

    fn statement(&mut self, who: &Text, text: &Text) {
        let (small, body) = (SMALL, BODY);
        let head = lines(who, Font::Regular, small, WIDTH - 14.0);
        let said = lines(text, Font::Regular, body, WIDTH - 14.0);
        let height = (head.len() as f64 * small + said.len() as f64 * body) * LEADING + 6.0;
        self.y -= 6.0;
        self.need(height.min(300.0));
        let (top, page) = (self.y, self.pages.len());
        self.lines(&head, SIDE + 12.0, small);
        self.lines(&said, SIDE + 12.0, body);
        if page == self.pages.len() {
            let base = self.y - 4.0;
            let content = self.content();
            content.set_stroke_rgb(0.6, 0.6, 0.6).set_line_width(2.0);
            content
                .move_to(SIDE as f32 + 3.0, top as f32)
                .line_to(SIDE as f32 + 3.0, base as f32)
                .stroke();
        }
        self.y -= 4.0;
    }

    fn figure(&mut self, figure: &Figure) {
        let scale = WIDTH / figure.wide.width;
        let height = figure.wide.height * scale;
        let caption = Text::strong(format!("{}. ", figure.caption)).and(&figure.says);
        let caption = lines(&caption, Font::Regular, SMALL, WIDTH);
        self.y -= 6.0;
        self.need(height + caption.len() as f64 * SMALL * LEADING);
        let top = self.y;
        // What is to be seen, in words, for who cannot see it.
        let content = self.content();
        content
            .begin_marked_content_with_properties(Name(b"Figure"))
            .properties()
            .pair(Name(b"Alt"), TextStr(&figure.says));
        figure::draw(content, &figure.wide, SIDE, top, scale);
        content.end_marked_content();
        self.y -= height;
        self.lines(&caption, SIDE, SMALL);
        self.y -= 3.0;
    }
}

/// Our own words in one line.
pub(super) fn one(text: &str, font: Font, size: f64) -> Line {
    lines(&text.into(), font, size, f64::INFINITY).into_iter().next().unwrap_or_default()
}

/// Writes a line with its base at `y`.
pub(super) fn show(content: &mut Content, line: &Line, x: f64, y: f64) {
    for run in &line.runs {
        if let Some(actual) = &run.actual {
            let mut marked = content.begin_marked_content_with_properties(Name(b"Span"));
            marked.properties().actual_text(TextStr(actual));
            marked.finish();
        }
        content.begin_text();
        content.set_font(Name(run.font.key()), run.size as f32);
        content.set_text_matrix([1.0, 0.0, 0.0, 1.0, (x + run.x) as f32, y as f32]);
        content.show(Str(&run.bytes));
        content.end_text();
        if run.actual.is_some() {
            content.end_marked_content();
        }
    }
}
