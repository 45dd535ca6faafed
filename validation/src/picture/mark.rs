//! Marks on the picture of the field: shapes and colours that stay apart for the colour-blind and in print.

use super::field::FieldMark;
use std::fmt::Write;

/// Outline of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Dot,
    Square,
    Diamond,
    Triangle,
    Plus,
    Cross,
}

/// How the marks of a layer look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// What they mark: the status in the table of matches, or `truth`, `peak`.
    pub key: &'static str,
    /// Name beside the switch.
    pub name: &'static str,
    pub shape: Shape,
    pub colour: &'static str,
    pub is_shown: bool,
}

const fn style(key: &'static str, name: &'static str, shape: Shape, colour: &'static str, is_shown: bool) -> Style {
    Style { key, name, shape, colour, is_shown }
}

/// All layers, in the order in which they are drawn and switched.
pub(crate) const STYLES: [Style; 11] = [
    style("unusable", "truth, not usable", Shape::Dot, "#aaaaaa", false),
    style("ignored", "detections, not counted", Shape::Dot, "#aaaaaa", false),
    style("peak", "peaks", Shape::Cross, "#ffffff", false),
    style("truth", "truth", Shape::Plus, "#f0e442", false),
    style("matched", "matched", Shape::Circle, "#2fd6a0", true),
    style("real", "real (control run)", Shape::Circle, "#8fb8ff", true),
    style("detected", "detected", Shape::Circle, "#56b4e9", true),
    style("blended", "blended into another", Shape::Triangle, "#f0e442", true),
    style("missed", "missed", Shape::Diamond, "#e69f00", true),
    style("shred", "shred", Shape::Square, "#e58fc0", true),
    style("spurious", "spurious", Shape::Square, "#ff6a2b", true),
];

impl Style {
    /// Elements in a box of 20 x 20.
    pub fn swatch(&self) -> String {
        let line = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"", self.colour);
        format!("<path transform=\"translate(10 10)\" d=\"{}\" {line}/>", self.shape.path(7.0))
    }

    /// The layer: one shape, used at every place, which says what it is when pointed at.
    pub fn svg(&self, id: &str, marks: &[FieldMark], height: usize, radius: f64) -> String {
        let mut text = format!(
            "<defs><path id=\"{id}\" d=\"{}\" vector-effect=\"non-scaling-stroke\"/></defs><g fill=\"none\" stroke=\"{}\" stroke-width=\"1.7\">",
            self.shape.path(radius),
            self.colour
        );
        for mark in marks {
            let (x, y) = (mark.at.0 + 0.5, height as f64 - mark.at.1 - 0.5);
            // Writing to a String cannot fail.
            let _ = write!(text, "<use href=\"#{id}\" x=\"{x:.1}\" y=\"{y:.1}\"><title>{}</title></use>", mark.text);
        }
        text + "</g>"
    }
}

impl Shape {
    /// Path around the origin.
    fn path(self, radius: f64) -> String {
        let points = |unit: &[(f64, f64)]| {
            let at = unit.iter().map(|(x, y)| format!("{:.2} {:.2}", x * radius, y * radius));
            format!("M{}Z", at.collect::<Vec<_>>().join("L"))
        };
        let circle = |r: f64| format!("M{:.2} 0a{r:.2} {r:.2} 0 1 0 {:.2} 0a{r:.2} {r:.2} 0 1 0 {:.2} 0", -r, 2.0 * r, -2.0 * r);
        match self {
            Self::Circle => circle(radius),
            Self::Dot => circle(0.45 * radius),
            Self::Square => points(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            Self::Diamond => points(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
            Self::Triangle => points(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            Self::Plus => format!("M{a:.2} 0H{b:.2}M0 {a:.2}V{b:.2}", a = -0.55 * radius, b = 0.55 * radius),
            Self::Cross => format!("M{a:.2} {a:.2}L{b:.2} {b:.2}M{a:.2} {b:.2}L{b:.2} {a:.2}", a = -0.4 * radius, b = 0.4 * radius),
        }
    }
}
