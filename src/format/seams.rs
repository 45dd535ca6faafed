//! `fathom-seams` files: what association must know of a patch in the others.
//!
//! # Format, version 1
//!
//! Root attributes: `n_pixels`, `n_peaks`, `n_near`, `n_negative` (u64), the patch's share of what is counted over the field: pixels of the layer
//! of the narrowest sources, its peaks, those below twice the threshold, negative ones below that.
//!
//! | object | type, shape | what |
//! |---|---|---|
//! | `/first_x`, `/first_y` | i32 `[part]` | first pixel of every part of the patch's grown footprints that may go on in another patch |
//! | `/changing/x`, `y`, `mark` | f64, f64, u8 `[place]` | places near the border of what moves or flares, and the bit of its mark ([`super::layers`]) |
//! | `/spans` | spans ([`super::layers`]), one item a part | its pixels that others may reach or touch |

use super::FormatError;
use super::flat::{put_spans, take_spans};
use super::hdf5_io::{About, Node};
use super::product::{self, Header};
use crate::associate::{ChangingLight, Seam, SeamCounts, SeamPart};
use crate::footprint::PeakMark;
use crate::geometry::PixelPoint;
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-seams", 1);

/// Writes the seam of a patch.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, seam: &Seam) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        let c = &seam.counts;
        for (name, n) in [("n_pixels", c.n_pixels), ("n_peaks", c.n_peaks), ("n_near", c.n_near), ("n_negative", c.n_negative)] {
            root.put(name, n)?;
        }
        let column = |of: fn(&SeamPart) -> i32| -> Vec<i32> { seam.parts.iter().map(of).collect() };
        root.write_column(About::new("first_x", "pixel", "column of the part's first pixel in the tract"), &column(|p| p.first.0))?;
        root.write_column(About::new("first_y", "pixel", "row of the part's first pixel in the tract"), &column(|p| p.first.1))?;
        let group = root.create("changing")?;
        let column = |of: fn(&ChangingLight) -> f64| -> Vec<f64> { seam.changing.iter().map(of).collect() };
        group.write_column(About::new("x", "pixel", "column in the tract"), &column(|c| c.at.x))?;
        group.write_column(About::new("y", "pixel", "row in the tract"), &column(|c| c.at.y))?;
        let marks: Vec<u8> = seam.changing.iter().map(|c| c.mark.bit()).collect();
        group.write_column(About::new("mark", "", "bit: 2 mover, 4 transient"), &marks)?;
        put_spans(&root, &seam.parts.iter().map(|p| &p.spans).collect::<Vec<_>>())
    })
}

/// Reads it.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<Seam, FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let counts = SeamCounts {
        n_pixels: root.count("n_pixels")?,
        n_peaks: root.count("n_peaks")?,
        n_near: root.count("n_near")?,
        n_negative: root.count("n_negative")?,
    };
    let x = root.column::<i32>("first_x")?;
    let y = root.column_of::<i32>("first_y", x.len())?;
    let spans = take_spans(&root, x.len())?;
    let group = root.child("changing", "the group of what moves or flares")?;
    let at_x = group.column::<f64>("x")?;
    let (at_y, bits) = (group.column_of::<f64>("y", at_x.len())?, group.column_of::<u8>("mark", at_x.len())?);
    let place = |(i, bit): (usize, &u8)| {
        let mark = PeakMark::ALL.into_iter().find(|m| m.bit() == *bit);
        let mark = mark.ok_or_else(|| group.wrong("mark", &bit.to_string(), "1, 2, 4 or 8"))?;
        Ok(ChangingLight { mark, at: PixelPoint::new(at_x[i], at_y[i]) })
    };
    let changing = bits.iter().enumerate().map(place).collect::<Result<_, FormatError>>()?;
    let parts = x.into_iter().zip(y).zip(spans).map(|(first, spans)| SeamPart { first, spans }).collect();
    Ok(Seam { parts, changing, counts })
}
