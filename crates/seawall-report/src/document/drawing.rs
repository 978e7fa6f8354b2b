//! What a figure is made of: lines, areas and words in a plane whose origin is at the upper left.

/// A picture, in units that are points on paper and pixels on a screen.
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

/// A thing that is drawn. Later ones lie on top.
pub(crate) enum Shape {
    /// A filled rectangle: left, top, width, height.
    Box([f64; 4], Ink),
    /// The same, hatched.
    Hatch([f64; 4], Ink),
    /// A line through points.
    Line(Vec<[f64; 2]>, Ink),
    /// What lies between points, filled.
    Area(Vec<[f64; 2]>, Ink),
    /// Words at the base line.
    Words { at: [f64; 2], anchor: Anchor, text: String, ink: Ink },
}

/// Which end of words is where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// What something is drawn with. Each differs from those beside it in more than its colour: dashes, hatching or words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Words and axes.
    Text,
    /// Words of less weight.
    Muted,
    /// Lines to read values by.
    Grid,
    /// What was asked for.
    Asked,
    /// What was refused.
    Refused,
    /// What is ordinary: dashed.
    Ordinary,
    /// What the origin worked for: dotted.
    Origin,
    /// What readers got.
    Served,
    /// A time of which nothing is known.
    Gap,
    /// A quiet surface.
    Quiet,
    /// A loud one.
    Alarm,
    /// In between.
    Warning,
}

impl Ink {
    /// Its name in style sheets.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Muted => "muted",
            Self::Grid => "grid",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Ordinary => "ordinary",
            Self::Origin => "origin",
            Self::Served => "served",
            Self::Gap => "gap",
            Self::Quiet => "quiet",
            Self::Alarm => "alarm",
            Self::Warning => "warning",
        }
    }

    /// Lengths of dashes and of what is between.
    pub(crate) const fn dashes(self) -> Option<[f64; 2]> {
        match self {
            Self::Ordinary => Some([7.0, 4.0]),
            Self::Origin => Some([1.5, 3.0]),
            _ => None,
        }
    }
}

impl Drawing {
    pub(super) const fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn put(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    pub(super) fn words(
        &mut self,
        at: [f64; 2],
        anchor: Anchor,
        text: impl Into<String>,
        ink: Ink,
    ) {
        self.put(Shape::Words { at, anchor, text: text.into(), ink });
    }
}
