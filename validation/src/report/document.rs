//! A report as data: chapters of texts, tables, plots and pictures.
//!
//! [`super::html`] and [`super::markdown`] write it down. A run's report and a comparison are both of this form.

use crate::plot::Plot;

/// A report.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Heading.
    pub title: String,
    /// Line below it.
    pub subtitle: String,
    /// Command that made the numbers, e.g. `fathom validate`; stands below every plot.
    pub command: String,
    /// File beside the page that holds them, e.g. `../metrics.json`.
    pub numbers: String,
    /// The first is the summary.
    pub chapters: Vec<Chapter>,
    /// What may differ between two runs of the same configuration; only on the page, in a section `provenance` of its own.
    pub provenance: Vec<Block>,
}

/// A section of the page.
#[derive(Debug, Clone)]
pub struct Chapter {
    /// Anchor: lower case, no spaces, unique.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What stands in it, in order.
    pub blocks: Vec<Block>,
}

/// A piece of a chapter.
#[derive(Debug, Clone)]
pub enum Block {
    /// Small heading.
    Heading(String),
    /// Paragraph.
    Text(String),
    /// Large figures beside each other.
    Headlines(Vec<Headline>),
    /// Sortable table.
    Table(Grid),
    /// Plot, with its caption; its numbers go into `plots/<name>.csv`.
    Plot(Plot),
    /// Plot of products, not of figures.
    Map {
        /// The plot.
        plot: Plot,
        /// Files that it is drawn from.
        source: String,
    },
    /// Picture with layers that can be switched.
    Picture(Picture),
    /// Small images in rows.
    Stamps(StampGrid),
    /// Text as it is.
    Code(String),
    /// Hidden until it is asked for.
    Fold {
        /// What is shown instead.
        summary: String,
        /// What is hidden.
        blocks: Vec<Block>,
    },
}

/// A figure that a reader should see first: a line for each band or condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// What it is.
    pub label: String,
    /// Large: the value with its unit, of the first band.
    pub value: String,
    /// Small, below: interval, limit, the other bands.
    pub lines: Vec<String>,
}

/// A table of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    /// Heads of the columns, with units.
    pub heads: Vec<String>,
    /// Rows; as many cells as heads.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table without rows.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|&h| h.to_owned()).collect(), rows: Vec::new() }
    }
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Anchor and name of its file.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What is seen, in words.
    pub caption: String,
    /// Files that the pixels come from.
    pub source: String,
    /// Width and height \[pixel\]: the frame of the layers.
    pub size: (usize, usize),
    /// The picture itself.
    pub png: Vec<u8>,
    /// Transparent layers on top, in order.
    pub layers: Vec<Layer>,
}

/// A transparent layer on a picture.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Name beside its switch.
    pub name: String,
    /// Things in it, beside the name.
    pub n: usize,
    /// Shown from the start.
    pub is_shown: bool,
    /// SVG elements in a box of 20 x 20: what its marks look like.
    pub swatch: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// Content of a layer.
#[derive(Debug, Clone)]
pub enum Drawing {
    /// SVG elements in the picture's pixels.
    Svg(String),
    /// PNG with transparency, as large as the picture.
    Png(Vec<u8>),
}

/// Rows of small images with the same columns.
#[derive(Debug, Clone, Default)]
pub struct StampGrid {
    /// What the columns show.
    pub heads: Vec<String>,
    /// Label of a row and its images; none where there is none.
    pub rows: Vec<(String, Vec<Option<Stamp>>)>,
    /// What is seen, in words.
    pub caption: String,
    /// Files that the pixels come from.
    pub source: String,
}

/// A small image, magnified on the page.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// In words, for those who cannot see it.
    pub alt: String,
    /// The image.
    pub png: Vec<u8>,
}

impl Document {
    /// All plots, in the order of the page.
    pub fn plots(&self) -> Vec<&Plot> {
        fn add<'a>(blocks: &'a [Block], found: &mut Vec<&'a Plot>) {
            for block in blocks {
                match block {
                    Block::Plot(plot) | Block::Map { plot, .. } => found.push(plot),
                    Block::Fold { blocks, .. } => add(blocks, found),
                    _ => {}
                }
            }
        }
        let mut found = Vec::new();
        self.chapters.iter().for_each(|c| add(&c.blocks, &mut found));
        found
    }
}
