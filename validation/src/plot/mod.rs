//! The plots of the report: described as data, drawn as SVG for the page and as PNG beside it.
//!
//! A metric family makes its plots beside its records, so that numbers, curves and page cannot part.

mod csv;
mod draw;
mod marks;
mod plots_file;

pub(crate) use csv::csv;
pub(crate) use draw::{png, png_panels, register_fonts, svg_panels};
pub use plots_file::PlotsFile;

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

impl Section {
    /// All, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Background,
        Self::Coadd,
        Self::Detection,
        Self::Association,
        Self::Deblending,
        Self::Photometry,
        Self::Astrometry,
        Self::Shapes,
    ];

    /// Anchor on the page.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Coadd => "coadd",
            Self::Detection => "detection",
            Self::Association => "association",
            Self::Deblending => "deblending",
            Self::Photometry => "photometry",
            Self::Astrometry => "astrometry",
            Self::Shapes => "shapes",
        }
    }

    /// Heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Background => "Exposures and background",
            Self::Coadd => "Coadds",
            Self::Detection => "Detection",
            Self::Association => "Association",
            Self::Deblending => "Deblending",
            Self::Photometry => "Photometry",
            Self::Astrometry => "Astrometry",
            Self::Shapes => "Shapes and classes",
        }
    }

    /// The stage that a metric belongs to, by the first part of its name; none if that is unknown.
    #[must_use]
    pub fn of_metric(name: &str) -> Option<Self> {
        Some(match name.split('.').next()? {
            "background" | "visit" => Self::Background,
            "coadd" => Self::Coadd,
            "detection" => Self::Detection,
            "association" => Self::Association,
            "deblend" => Self::Deblending,
            "photometry" | "colour" | "repeatability" => Self::Photometry,
            "astrometry" => Self::Astrometry,
            "shape" | "star_galaxy" => Self::Shapes,
            _ => return None,
        })
    }
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
    /// Top left.
    UpperLeft,
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
    /// The same with the number of objects behind each: x, y, low, high, n. The legend shows the least and the most.
    Sampled(Vec<[f64; 5]>),
    /// Many small dots: a scatter plot.
    Dots(Vec<(f64, f64)>),
    /// Line through points.
    Line(Vec<(f64, f64)>),
    /// Dashed line through points.
    Dashed(Vec<(f64, f64)>),
    /// Filled between two curves: x, low, high.
    Band(Vec<[f64; 3]>),
    /// Steps: left edge, right edge, height.
    Steps(Vec<[f64; 3]>),
    /// Colours on a regular grid with a bar that explains them: a map or a matrix.
    Heat {
        /// Outer ends of the grid.
        x: (f64, f64),
        /// Outer ends of the grid.
        y: (f64, f64),
        /// Rows from low y to high, each from low x to high; none: no value there.
        values_yx: Vec<Vec<Option<f32>>>,
        /// Values of the first and last colour; beyond them the colour stays.
        range: (f64, f64),
        /// Quantity and unit of the values.
        label: String,
        /// Colours.
        palette: Palette,
    },
}

/// Colours of [`MarkKind::Heat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Palette {
    /// Dark to light (viridis): more is lighter.
    Sequential,
    /// Blue through white to orange: below, at and above the middle of the range.
    Diverging,
}

impl Plot {
    /// Too many marks for an SVG, or cells, between which an SVG would show seams.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        let kinds = || self.panels.iter().flat_map(|p| &p.marks).map(|m| &m.kind);
        kinds().any(|k| matches!(k, MarkKind::Heat { .. })) || kinds().map(MarkKind::len).sum::<usize>() > DENSE
    }
}

impl Panel {
    /// What it shows: the quantity of a map, else that of its y axis.
    #[must_use]
    pub fn name(&self) -> &str {
        let map = self.marks.iter().find_map(|m| match &m.kind {
            MarkKind::Heat { label, .. } => Some(label.as_str()),
            _ => None,
        });
        map.unwrap_or(&self.y_label)
    }
}

/// Marks of a plot beyond which it is drawn as PNG: an SVG would be larger.
const DENSE: usize = 2500;

impl MarkKind {
    /// Name in files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Points(_) => "points",
            Self::Sampled(_) => "sampled",
            Self::Dots(_) => "dots",
            Self::Line(_) => "line",
            Self::Dashed(_) => "dashed",
            Self::Band(_) => "band",
            Self::Steps(_) => "steps",
            Self::Heat { .. } => "heat",
        }
    }

    /// Points with their bars: x, y, low, high.
    pub(crate) fn bars(&self) -> Vec<[f64; 4]> {
        match self {
            Self::Points(points) => points.clone(),
            Self::Sampled(points) => points.iter().map(|p| [p[0], p[1], p[2], p[3]]).collect(),
            _ => Vec::new(),
        }
    }

    /// Number of points or cells.
    fn len(&self) -> usize {
        match self {
            Self::Points(v) => v.len(),
            Self::Sampled(v) => v.len(),
            Self::Dots(v) | Self::Line(v) | Self::Dashed(v) => v.len(),
            Self::Band(v) | Self::Steps(v) => v.len(),
            Self::Heat { values_yx, .. } => values_yx.iter().map(Vec::len).sum(),
        }
    }
}
