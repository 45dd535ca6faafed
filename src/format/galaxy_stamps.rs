//! Stamps of real galaxies with their PSFs: catalogs in the layout of GalSim's COSMOS and AEGIS samples, read from FITS.
//!
//! A table with one row a galaxy, in the first HDU that holds one: `IDENT`; `GAL_FILENAME`, `GAL_HDU` (its image), `PSF_FILENAME`,
//! `PSF_HDU` (its PSF, on the same pixels); `PIXEL_SCALE` \[arcsec\]; `NOISE_VARIANCE` of an image pixel. Files stand beside the
//! catalog, compressed (`.gz`) or not.

use ndarray::Array2;

/// One galaxy as a telescope saw it, sky subtracted.
#[derive(Debug, Clone, PartialEq)]
pub struct GalaxyStamp {
    /// `IDENT`, as text.
    pub name: String,
    /// `[y, x]`, in the stamp's own counts.
    pub image: Array2<f64>,
    /// `[y, x]`, on the same pixels.
    pub psf: Array2<f64>,
    /// Arcsec per pixel.
    pub pixel_arcsec: f64,
    /// Standard deviation of an image pixel's noise.
    pub noise_sigma: f64,
}

/// Reads all galaxies of a catalog, in its order.
///
/// # Errors
/// [`FormatError`](super::FormatError) naming the file and the column, HDU or value that is missing or wrong.
#[cfg(feature = "fits")]
pub fn read(catalog: &std::path::Path) -> Result<Vec<GalaxyStamp>, super::FormatError> {
    use super::FormatError;
    use super::fits::{Fits, Hdu};
    use std::collections::BTreeMap;

    let mut table = Fits::open(catalog)?;
    let mut numbers = |name: &str| table.column_i64(&Hdu::FirstTable, name).map(|(values, _)| values);
    let (ident, image_hdu, psf_hdu) = (numbers("IDENT")?, numbers("GAL_HDU")?, numbers("PSF_HDU")?);
    let (scale, _) = table.column_f64(&Hdu::FirstTable, "PIXEL_SCALE")?;
    let (variance, _) = table.column_f64(&Hdu::FirstTable, "NOISE_VARIANCE")?;
    let image_file = table.column_text(&Hdu::FirstTable, "GAL_FILENAME")?;
    let psf_file = table.column_text(&Hdu::FirstTable, "PSF_FILENAME")?;

    let mut open: BTreeMap<String, Fits> = BTreeMap::new();
    let mut pixels = |file: &str, hdu: i64, key: &str| {
        let number = usize::try_from(hdu).map_err(|_| FormatError::Content {
            path: catalog.to_owned(),
            key: key.to_owned(),
            found: hdu.to_string(),
            expected: "an HDU's number, 0 the first".to_owned(),
        })?;
        if !open.contains_key(file) {
            let plain = catalog.with_file_name(file);
            let path = if plain.exists() { plain } else { catalog.with_file_name(format!("{file}.gz")) };
            open.insert(file.to_owned(), Fits::open(&path)?);
        }
        open.get_mut(file).expect("opened above").image_f64(&Hdu::Number(number), 0)
    };
    let mut stamps = Vec::with_capacity(ident.len());
    for i in 0..ident.len() {
        stamps.push(GalaxyStamp {
            name: ident[i].to_string(),
            image: pixels(&image_file[i], image_hdu[i], "GAL_HDU")?,
            psf: pixels(&psf_file[i], psf_hdu[i], "PSF_HDU")?,
            pixel_arcsec: scale[i],
            noise_sigma: variance[i].max(0.0).sqrt(),
        });
    }
    Ok(stamps)
}
