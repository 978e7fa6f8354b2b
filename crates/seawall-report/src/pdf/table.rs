//! Tables on paper: columns as wide as what is in them wants, the head again on each page.

use crate::document::{Table, Text};

use super::layout::{Font, Line, extent, lines};
use super::paper::{Paper, SIDE, WIDTH, show};

const SIZE: f64 = 7.8;
const LEADING: f64 = SIZE * 1.25;
/// Between columns, and above and below words of a row.
const GAP: f64 = 8.0;
const PAD: f64 = 2.0;

/// Draws a table with its caption.
pub(super) fn draw(paper: &mut Paper, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let columns = Columns::of(table);
    let names: Vec<Text> =
        table.columns.iter().map(|column| Text::strong(column.name.as_str())).collect();
    let head = columns.cells(&names, Font::Bold);
    let caption = lines(&Text::strong(table.caption.as_str()), Font::Bold, 8.5, WIDTH);
    paper.y -= 7.0;
    paper.need(caption.len() as f64 * 12.0 + height(&head) + 3.0 * LEADING);
    paper.lines(&caption, SIDE, 8.5);
    paper.y -= 2.0;
    columns.row(paper, table, &head, true);
    for row in &table.rows {
        let cells = columns.cells(row, Font::Regular);
        if paper.need(height(&cells)) {
            columns.row(paper, table, &head, true);
        }
        columns.row(paper, table, &cells, false);
    }
    paper.y -= 4.0;
}

fn height(cells: &[Vec<Line>]) -> f64 {
    cells.iter().map(Vec::len).max().unwrap_or(1) as f64 * LEADING + 2.0 * PAD
}

/// From where to how far each goes.
struct Columns(Vec<[f64; 2]>);

impl Columns {
    fn of(table: &Table) -> Self {
        let room = WIDTH - GAP * (table.columns.len().saturating_sub(1)) as f64;
        let mut wanted: Vec<[f64; 2]> = table
            .columns
            .iter()
            .map(|column| {
                let name = Text::plain(column.name.as_str());
                let [whole, widest] = extent(&name, Font::Bold, SIZE);
                // A name may take two lines.
                [(whole * 0.6).max(widest), widest]
            })
            .collect();
        for row in &table.rows {
            for (want, cell) in wanted.iter_mut().zip(row) {
                let [whole, widest] = extent(cell, Font::Regular, SIZE);
                *want = [want[0].max(whole), want[1].max(widest.min(room / 3.0))];
            }
        }
        let (whole, least) =
            wanted.iter().fold((0.0, 0.0), |sum, want| (sum.0 + want[0], sum.1 + want[1]));
        let mut left = 0.0;
        let spans = wanted.iter().map(|[wide, narrow]| {
            let width = if whole <= room {
                wide + (room - whole) / wanted.len() as f64
            } else if least >= room {
                narrow * room / least
            } else {
                narrow + (wide - narrow) * (room - least) / (whole - least)
            };
            let span = [left, width];
            left += width + GAP;
            span
        });
        Self(spans.collect())
    }

    fn cells(&self, row: &[Text], font: Font) -> Vec<Vec<Line>> {
        // A hundredth more, because sums of widths are not exact.
        row.iter()
            .zip(&self.0)
            .map(|(cell, [_, width])| lines(cell, font, SIZE, width + 0.01))
            .collect()
    }

    fn row(&self, paper: &mut Paper, table: &Table, cells: &[Vec<Line>], is_head: bool) {
        let top = paper.y - PAD;
        let height = height(cells);
        for ((cell, [left, width]), column) in cells.iter().zip(&self.0).zip(&table.columns) {
            for (place, line) in cell.iter().enumerate() {
                let indent = if column.is_number { width - line.width } else { 0.0 };
                let y = top - LEADING * (place + 1) as f64 + 2.0;
                show(paper.content(), line, SIDE + left + indent, y);
            }
        }
        paper.y -= height;
        let (y, shade) = (paper.y as f32, if is_head { 0.2 } else { 0.8 });
        let content = paper.content();
        content.set_stroke_gray(shade).set_line_width(if is_head { 0.8 } else { 0.4 });
        content.move_to(SIDE as f32, y).line_to((SIDE + WIDTH) as f32, y).stroke();
    }
}
