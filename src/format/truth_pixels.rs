//! `fathom-truth-pixels` files: every true object alone, without noise, as the direct coadd shows it.
//!
//! # Format, version 1
//!
//! Root attributes `bands` (texts), `n_bands` (u64).
//!
//! | object | type, shape | unit | what |
//! |---|---|---|---|
//! | `/objects/id` | i64 `[object]` | | id in the truth catalog |
//! | `/objects/x0`, `y0`, `width`, `height` | i32 `[object]` | pixel | box in tract pixels |
//! | `/objects/offsets` | i64 `[object + 1]` | | object i owns the pixels `offsets[i]..offsets[i + 1]`, row by row of its box |
//! | `/values_njy` | f32 `[band, pixel]` | nJy | flux per pixel through the warps, weights and masks of the coadd; 0 where it has no data |

use super::FormatError;
use super::flat::{offsets, take_ranges};
use super::hdf5_io::{About, Node, Storage};
use super::product::{self, Header};
use crate::geometry::Box2;
use ndarray::{Array2, Array3, s};
use std::path::Path;

const FORMAT: (&str, u32) = ("fathom-truth-pixels", 1);

/// One object alone on the tract.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthPixels {
    /// Id in the truth catalog.
    pub id: i64,
    /// Pixels, in tract pixel coordinates.
    pub bbox: Box2,
    /// Flux per pixel \[nJy\], `[band, y, x]`.
    pub values_njy_byx: Array3<f32>,
}

/// Writes a batch of objects.
///
/// # Errors
/// [`FormatError`].
pub fn write(path: &Path, key: &str, bands: &[String], objects: &[TruthPixels]) -> Result<(), FormatError> {
    let header = Header { format: FORMAT.0, version: FORMAT.1, key: key.to_owned() };
    product::write(path, &header, |root| {
        let root = Node::new(path, root);
        root.put("n_bands", bands.len() as u64)?;
        if !bands.is_empty() {
            root.put_texts("bands", bands.iter().map(String::as_str))?;
        }
        let group = root.create("objects")?;
        group.write_column(About::new("id", "", "id in the truth catalog"), &objects.iter().map(|o| o.id).collect::<Vec<_>>())?;
        let column = |value: fn(&Box2) -> i32| -> Vec<i32> { objects.iter().map(|o| value(&o.bbox)).collect() };
        group.write_column(About::new("x0", "pixel", "first column of the box, tract pixels"), &column(|b| b.x0))?;
        group.write_column(About::new("y0", "pixel", "first row of the box"), &column(|b| b.y0))?;
        group.write_column(About::new("width", "pixel", "columns of the box"), &column(|b| b.width))?;
        group.write_column(About::new("height", "pixel", "rows of the box"), &column(|b| b.height))?;
        let starts = offsets(objects.iter().map(|o| o.bbox.n_pixels()));
        group.write_column(About::new("offsets", "", "first pixel of every object, and the number of pixels"), &starts)?;
        let mut values = Array2::<f32>::zeros((bands.len(), starts[objects.len()] as usize));
        for (o, start) in objects.iter().zip(&starts) {
            let n = o.bbox.n_pixels();
            let (ny, nx) = o.bbox.shape();
            if o.values_njy_byx.dim() != (bands.len(), ny, nx) {
                let expected = format!("[{}, {ny}, {nx}]", bands.len());
                return Err(root.content(&format!("pixels of object {}", o.id), &format!("{:?}", o.values_njy_byx.dim()), &expected));
            }
            for (b, plane) in o.values_njy_byx.outer_iter().enumerate() {
                let mut row = values.slice_mut(s![b, *start as usize..*start as usize + n]);
                row.iter_mut().zip(plane.iter()).for_each(|(to, from)| *to = *from);
            }
        }
        root.write(About::new("values_njy", "nJy", "flux per pixel of all objects [band, pixel]"), values.view(), Storage::Packed)
    })
}

/// Reads a batch: bands and objects.
///
/// # Errors
/// [`FormatError`].
pub fn read(path: &Path) -> Result<(Vec<String>, Vec<TruthPixels>), FormatError> {
    read_if(path, |_| true)
}

/// Reads the objects of a batch whose boxes are `wanted`; pixels of others are not touched.
///
/// # Errors
/// [`FormatError`].
pub fn read_if(path: &Path, wanted: impl Fn(&Box2) -> bool) -> Result<(Vec<String>, Vec<TruthPixels>), FormatError> {
    let root = Node::open(path, Some(FORMAT))?;
    let bands = if root.count("n_bands")? > 0 { root.texts("bands")? } else { Vec::new() };
    let group = root.child("objects", "the objects")?;
    let id = group.column::<i64>("id")?;
    let column = |name| group.column_of::<i32>(name, id.len());
    let (x0, y0, width, height) = (column("x0")?, column("y0")?, column("width")?, column("height")?);
    let (_, n_pixels) = root.shape_2d::<f32>("values_njy")?;
    let ranges = take_ranges(&group, "offsets", id.len(), n_pixels)?;
    let mut objects = Vec::new();
    for (i, range) in ranges.into_iter().enumerate() {
        let bbox = Box2::new(x0[i], y0[i], width[i], height[i]);
        if !wanted(&bbox) {
            continue;
        }
        let (ny, nx) = bbox.shape();
        let part = root.read_part::<f32>("values_njy", 0..bands.len(), range)?;
        let values_njy_byx = Array3::from_shape_vec((bands.len(), ny, nx), part.into_raw_vec_and_offset().0)
            .map_err(|_| group.wrong("offsets", "not the sizes of the boxes", "width x height pixels an object"))?;
        objects.push(TruthPixels { id: id[i], bbox, values_njy_byx });
    }
    Ok((bands, objects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back() {
        let object = |id, bbox: Box2| TruthPixels {
            id,
            bbox,
            values_njy_byx: Array3::from_shape_fn((2, bbox.shape().0, bbox.shape().1), |(b, y, x)| {
                (b * 100 + y * 10 + x) as f32 + id as f32
            }),
        };
        let objects = [object(5, Box2::new(-3, 7, 4, 3)), object(9, Box2::new(0, 0, 0, 0)), object(2, Box2::new(10, 20, 2, 5))];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.h5");
        let bands = ["g".to_owned(), "r".to_owned()];
        write(&path, "k", &bands, &objects).unwrap();
        assert_eq!(read(&path).unwrap(), (bands.to_vec(), objects.to_vec()));
        assert_eq!(read_if(&path, |b| b.x0 == 10).unwrap().1, objects[2..]);
        let wrong = TruthPixels { values_njy_byx: Array3::zeros((1, 3, 4)), ..objects[0].clone() };
        assert!(write(&path, "k", &bands, &[wrong]).unwrap_err().to_string().contains("pixels of object 5"));
    }
}
