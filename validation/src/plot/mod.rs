//! The plots of the report: described as data, drawn as SVG for the page and as PNG beside it.
//!
//! A metric family makes its plots beside its records, so that numbers, curves and page cannot part.

mod draw;

pub(crate) use draw::{png, register_fonts, svg};

use serde::{Deserialize, Serialize};

/// Colours that stay apart for the colour-blind (Okabe & Ito 2008); one a band or layer.
pub(crate) const COLOURS: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (60, 60, 60)];

/// Where on the page a plot stands: a stage of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Backgrounds.
    Background,
    /// Coadds: depth, PSF, noise.
    Coadd,
    /// Completeness, purity, false positives.
    Detection,
    /// Peaks and parents.
    Association,
    /// Blends.
    Deblending,
    /// Fluxes and colours.
    Photometry,
    /// Positions.
    Astrometry,
    /// Shapes, sizes, star/galaxy separation.
    Shapes,
}

/// One figure of the report: panels beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// File name without ending.
    pub name: String,
    /// Stage that it belongs to.
    pub section: Section,
    /// Heading on the page.
    pub title: String,
    /// What is seen, in words.
    pub caption: String,
    /// Panels, left to right.
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Label with unit.
    pub x_label: String,
    /// Label with unit.
    pub y_label: String,
    /// Ends of the axis.
    pub x: (f64, f64),
    /// Ends of the axis; of log10 if `log_y`.
    pub y: (f64, f64),
    /// Logarithmic y.
    pub log_y: bool,
    /// What is drawn.
    pub marks: Vec<Mark>,
    /// Where the legend stands.
    pub legend: Corner,
}

/// Place of a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corner {
    /// Top right.
    UpperRight,
    /// Bottom right.
    LowerRight,
    /// Bottom left.
    LowerLeft,
}

/// One series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Text of the legend; empty: not in it.
    pub label: String,
    /// Colour.
    pub colour: (u8, u8, u8),
    /// Shape.
    pub kind: MarkKind,
}

/// Shape of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Points with error bars: x, y, low, high.
    Points(Vec<[f64; 4]>),
    /// Line through points.
    Line(Vec<(f64, f64)>),
    /// Dashed line through points.
    Dashed(Vec<(f64, f64)>),
    /// Steps: left edge, right edge, height.
    Steps(Vec<[f64; 3]>),
}
