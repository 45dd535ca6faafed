//! Draws the real galaxies of a catalog of stamps through a ground-based PSF, as they are and turned by 90 degrees, and says how much noise they bring:
//! `real_galaxies CATALOG.fits OUT.pgm`. Needs the feature `fits` of the workspace.

use fathom::format::galaxy_stamps;
use fathom::geometry::{PixelPoint, SkyPoint, Wcs};
use fathom::image::psf::PsfModel;
use fathom::image::{ApCorrMap, ExposureId, ExposureMeta, PhotoCalib, Psf};
use fathom_sim::{Morphology, Renderer, StampLibrary, TruthObject};
use ndarray::Array2;
use std::sync::Arc;

const SIDE: usize = 28;
const COLUMNS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (catalog, out) = arguments.next().zip(arguments.next()).ok_or("usage: real_galaxies CATALOG.fits OUT.pgm")?;
    let library = StampLibrary::of_stamps(&read(catalog.as_ref())?)?;
    let s = 0.2 / 3600.0;
    let meta = ExposureMeta {
        id: ExposureId("real".into()),
        band: "i".into(),
        mjd: 60_000.0,
        exposure_time_s: 30.0,
        shape: (400, 400),
        psf: Psf::new(PsfModel::Moffat { fwhm_px: 3.5, beta: 3.5, e1: 0.0, e2: 0.0, radius_px: 24, pixel_integrated: false })?,
        wcs: Wcs::tan(SkyPoint::from_degrees(150.0, 2.0), PixelPoint::new(200.0, 200.0), [[-s, 0.0], [0.0, s]])?,
        photo_calib: PhotoCalib::from_zero_point(27.0),
        ap_corr: ApCorrMap::default(),
        gain_e_per_adu: 1.0,
        read_noise_e: 1.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: None,
    };
    let renderer = Renderer::new(&meta);
    let names: Vec<_> = library.names().map(str::to_owned).collect();
    let n_rows = (2 * names.len()).div_ceil(COLUMNS);
    let mut picture = Array2::<f64>::zeros((n_rows * SIDE, COLUMNS * SIDE));
    let (mut shares, mut sizes) = (Vec::new(), Vec::new());
    for (i, name) in names.iter().enumerate() {
        let stamp = library.get(name).ok_or("listed above")?;
        sizes.push(stamp.half_light_radius_arcsec());
        for (j, angle) in [0.0, 90.0].into_iter().enumerate() {
            let object = TruthObject {
                half_light_radius_arcsec: stamp.half_light_radius_arcsec(),
                position_angle_deg: angle,
                sersic_n: 1.0,
                morphology: Morphology::Stamp(Arc::clone(stamp)),
                ..TruthObject::point(1, meta.wcs.pixel_to_sky(PixelPoint::new(200.0, 200.0)), 1.0)
            };
            let (_, pixels) = renderer.render_square(&object, SIDE).ok_or("on the exposure")?;
            let peak = pixels.iter().fold(0.0f64, |m, v| m.max(*v));
            if j == 0 {
                shares.push(renderer.stamp_noise_njy(&object) / peak);
            }
            let place = 2 * i + j;
            let (y, x) = (place / COLUMNS * SIDE, place % COLUMNS * SIDE);
            picture.slice_mut(ndarray::s![y..y + SIDE, x..x + SIDE]).assign(&(pixels / peak));
        }
    }
    let median = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        (v[v.len() / 2], v[v.len() - 1])
    };
    let (noise, most) = median(&mut shares);
    println!("{} galaxies, median half-light radius {:.2} arcsec", names.len(), median(&mut sizes).0);
    println!("noise of a pixel / peak: median {noise:.4}, at most {most:.4}");
    let picture = Array2::from_shape_fn((2 * picture.nrows(), 2 * picture.ncols()), |(j, i)| picture[[j / 2, i / 2]]);
    let (ny, nx) = picture.dim();
    let mut bytes = format!("P5\n{nx} {ny}\n255\n").into_bytes();
    for row in picture.rows().into_iter().rev() {
        bytes.extend(row.iter().map(|v| (40.0 + 200.0 * (v * 10.0).asinh() / 10f64.asinh()).clamp(0.0, 255.0) as u8));
    }
    std::fs::write(out, bytes)?;
    Ok(())
}

#[cfg(feature = "fits")]
fn read(catalog: &std::path::Path) -> Result<Vec<galaxy_stamps::GalaxyStamp>, Box<dyn std::error::Error>> {
    Ok(galaxy_stamps::read(catalog)?)
}

#[cfg(not(feature = "fits"))]
fn read(_: &std::path::Path) -> Result<Vec<galaxy_stamps::GalaxyStamp>, Box<dyn std::error::Error>> {
    Err("built without FITS: add --features fits".into())
}
