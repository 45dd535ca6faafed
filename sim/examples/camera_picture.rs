//! Pictures of one visit of a camera with all its effects: `camera_picture FOLDER` writes focal_plane.png (four detectors at half
//! size, gaps black), detector.png (a corner of one of them at twice its size) and detector_mask.png (the same, masked pixels
//! coloured: SAT red, CR green, BAD blue).

use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom::image::{Exposure, MaskPlane};
use fathom::random::keyed_rng;
use fathom_sim::{
    AstrometryConfig, CameraConfig, DetectorConfig, ExposurePlan, LayoutConfig, PhotometryConfig, PsfConfig, PsfLaw, SkyConfig,
    plan_exposures, simulate,
};
use rand::RngExt;
use std::path::Path;
use std::time::Instant;

const SEED: u64 = 7;
const GAP: usize = 40;
const SIZE: [usize; 2] = [600, 500];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: camera_picture FOLDER")?;
    let camera = CameraConfig {
        n_exposures: 1,
        // The stars that bleed would show the edge of the default stamp.
        psf_radius_px: 110,
        saturation_e: 30_000.0,
        cosmic_rays: 15.0,
        hot_pixel_fraction: 1e-4,
        size_px: SIZE,
        layout: LayoutConfig { detectors: [2, 2], gap_px: [GAP, GAP] },
        psf: PsfConfig { law: PsfLaw::Kolmogorov, size_variation: 0.03, ellipticity_variation: 0.02, ..PsfConfig::default() },
        sky: SkyConfig {
            detector_step: 0.01,
            amplifier_step: 0.008,
            scattered_light: 0.4,
            ghosts: 2.0,
            ghost_height: 0.1,
            ..SkyConfig::default()
        },
        detector: DetectorConfig {
            amplifiers: [4, 2],
            amplifier_gain_scatter: 0.05,
            amplifier_read_noise_scatter: 0.1,
            bleed: true,
            satellites: 2.0,
            satellite_e: [60.0, 600.0],
            ..DetectorConfig::default()
        },
        astrometry: AstrometryConfig { distortion_px: 10.0, ..AstrometryConfig::default() },
        photometry: PhotometryConfig { vignetting: [0.05, 0.3], ..PhotometryConfig::default() },
        ..CameraConfig::default()
    };
    let center = SkyPoint::from_degrees(150.1, 2.2);
    let start = Instant::now();
    let plans = plan_exposures(&camera, center, &["r".into()], SEED)?;
    println!("{} plans in {:.2?}", plans.len(), start.elapsed());
    let truth = sky(center)?;
    let mut exposures = Vec::new();
    for plan in &plans {
        let start = Instant::now();
        exposures.push(simulate(plan, &camera, &truth, &fathom_sim::StampLibrary::default(), SEED, 0)?);
        println!("exposure {} in {:.2?}", plan.meta.id, start.elapsed());
    }
    let folder = Path::new(&folder);
    focal_plane(&folder.join("focal_plane.png"), &plans, &exposures)?;
    let n_saturated = |e: &Exposure| e.mask.iter().filter(|m| **m & MaskPlane::Sat.bit() != 0).count();
    let most = (0..exposures.len()).max_by_key(|&i| n_saturated(&exposures[i])).unwrap_or(0);
    corner(&folder.join("detector.png"), &plans[most], &exposures[most], false)?;
    corner(&folder.join("detector_mask.png"), &plans[most], &exposures[most], true)
}

/// Stars of a steep law, some far above saturation, and exponential discs, over 6 x 6 arcmin.
fn sky(center: SkyPoint) -> Result<Table, Box<dyn std::error::Error>> {
    let n = 1500;
    let mut rng = keyed_rng(SEED, "picture-sky", 0, 0);
    let mut draw = || rng.random::<f64>();
    let places: Vec<_> = (0..n).map(|_| center.offset_by_arcsec(360.0 * (draw() - 0.5), 360.0 * (draw() - 0.5))).collect();
    let is_star: Vec<bool> = (0..n).map(|i| i % 3 == 0).collect();
    // log N ~ 0.3 m: flux ∝ u^(-1/0.75); galaxies end earlier.
    let mut flux: Vec<f64> =
        (0..n).map(|i| if is_star[i] { 60_000.0 * draw().max(1e-3).powf(-1.33) } else { 2000.0 * draw().max(3e-3).powf(-1.33) }).collect();
    // A few stars that bleed.
    flux.iter_mut().step_by(150).for_each(|f| *f = 2e9 + 100.0 * *f);
    let of = |star: f64, galaxy: f64| is_star.iter().map(|s| if *s { star } else { galaxy }).collect::<Vec<_>>();
    let mut table = Table::new();
    let mut push = |name: &str, data| table.push(name, "", "", data);
    push("id", ColumnData::I64((1..=n as i64).collect()))?;
    push("ra", ColumnData::F64(places.iter().map(SkyPoint::ra_deg).collect()))?;
    push("dec", ColumnData::F64(places.iter().map(SkyPoint::dec_deg).collect()))?;
    push("class", ColumnData::Text(is_star.iter().map(|s| if *s { "star" } else { "galaxy" }.to_owned()).collect()))?;
    push("r_flux", ColumnData::F64(flux))?;
    push("half_light_radius", ColumnData::F64(of(0.0, 0.6)))?;
    push("axis_ratio", ColumnData::F64((0..n).map(|_| 0.3 + 0.7 * draw()).collect()))?;
    push("position_angle", ColumnData::F64((0..n).map(|_| 180.0 * draw()).collect()))?;
    push("sersic_n", ColumnData::F64(of(0.0, 1.0)))?;
    push("is_injected", ColumnData::Bool(vec![false; n]))?;
    Ok(table)
}

/// Grey of a pixel: asinh above the sky at the middle, in units of its noise; 32 levels keep the file small.
fn grey(plan: &ExposurePlan, adu: f64) -> u8 {
    let gain = plan.meta.gain_e_per_adu;
    let noise_adu = (plan.sky_e + plan.meta.read_noise_e.powi(2)).sqrt() / gain;
    (70.0 + 34.0 * ((adu - plan.sky_e / gain) / (1.5 * noise_adu)).asinh()).clamp(0.0, 255.0) as u8 & !7
}

fn focal_plane(path: &Path, plans: &[ExposurePlan], exposures: &[Exposure]) -> Result<(), Box<dyn std::error::Error>> {
    let (width, height) = ((2 * SIZE[0] + GAP) / 2, (2 * SIZE[1] + GAP) / 2);
    let mut pixels = vec![0u8; width * height * 3];
    for (plan, exposure) in plans.iter().zip(exposures) {
        let (x0, y0) = ((plan.detector % 2) * (SIZE[0] + GAP), (plan.detector / 2) * (SIZE[1] + GAP));
        for y in (0..SIZE[1]).step_by(2) {
            for x in (0..SIZE[0]).step_by(2) {
                let mean = exposure.image.slice(ndarray::s![y..y + 2, x..x + 2]).mapv(f64::from).mean().unwrap_or(0.0);
                // The last row first: y goes up.
                let at = ((height - 1 - (y0 + y) / 2) * width + (x0 + x) / 2) * 3;
                pixels[at..at + 3].fill(grey(plan, mean));
            }
        }
    }
    save(path, width, height, &pixels)
}

/// 300 x 240 pixels around the longest bleed trail, twice as large.
fn corner(path: &Path, plan: &ExposurePlan, exposure: &Exposure, is_masked: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (w, h) = (300, 240);
    let n_saturated = |x: usize| exposure.mask.column(x).iter().filter(|m| **m & MaskPlane::Sat.bit() != 0).count();
    let x = (0..SIZE[0]).max_by_key(|&x| n_saturated(x)).unwrap_or(0);
    let rows: Vec<usize> = (0..SIZE[1]).filter(|&y| exposure.mask[[y, x]] & MaskPlane::Sat.bit() != 0).collect();
    let y = rows.get(rows.len() / 2).copied().unwrap_or(0);
    let (x0, y0) = (x.saturating_sub(w / 2).min(SIZE[0] - w), y.saturating_sub(h / 2).min(SIZE[1] - h));
    let mut pixels = vec![0u8; w * h * 12];
    for j in 0..2 * h {
        for i in 0..2 * w {
            let (y, x) = (y0 + h - 1 - j / 2, x0 + i / 2);
            let mut colour = [grey(plan, f64::from(exposure.image[[y, x]])); 3];
            if is_masked {
                for (k, plane) in [MaskPlane::Sat, MaskPlane::Cr, MaskPlane::Bad].into_iter().enumerate() {
                    if exposure.mask[[y, x]] & plane.bit() != 0 {
                        colour = [30; 3];
                        colour[k] = 255;
                    }
                }
            }
            let at = (j * 2 * w + i) * 3;
            pixels[at..at + 3].copy_from_slice(&colour);
        }
    }
    let middle = plan.meta.psf.fwhm_px(PixelPoint::new(300.0, 250.0));
    println!("corner at ({x0}, {y0}); PSF of {middle:.2} pixel at the middle");
    save(path, 2 * w, 2 * h, &pixels)
}

fn save(path: &Path, width: usize, height: usize, rgb: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let mut encoder = png::Encoder::new(std::fs::File::create(path)?, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Best);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(())
}
