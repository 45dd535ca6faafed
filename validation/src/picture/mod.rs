//! Pictures of the report: the field in colour with its layers, and blends taken apart.

mod blend;
mod colour;
mod field;
mod mark;
pub(crate) mod png;
mod sheet;

pub use blend::{BlendChild, BlendSheet};
pub(crate) use blend::{CHILD_HEADS, SHEET_HEADS, child_stamps, sheet_stamps};
pub(crate) use field::field_picture;
pub use field::{BandImage, FieldImage, FieldMark};
pub use sheet::{Panel2d, PanelPixels, White, write_sheet};
