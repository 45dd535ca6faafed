//! Takes one exposure of the default field and writes it as a picture: `picture OUT.pgm [FIELD]`.

use fathom::geometry::{SkyMapConfig, Tract};
use fathom::image::MaskPlane;
use fathom_sim::{CameraConfig, FieldConfig, make_truth, plan_exposures, simulate};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: picture OUT.pgm [FIELD]")?;
    let field = FieldConfig { field: arguments.next().unwrap_or("survey".into()), ..FieldConfig::default() };
    let (camera, bands, seed) = (CameraConfig::default(), vec!["r".to_owned()], 1);
    let tract = Tract::new(&SkyMapConfig::default())?;
    let start = Instant::now();
    let plans = plan_exposures(&camera, tract.center(), &bands, seed)?;
    println!("{} plans in {:.2?}", plans.len(), start.elapsed());
    let start = Instant::now();
    let truth = make_truth(&field, &tract, &bands, &plans, seed, 0)?;
    println!("{} objects in {:.2?}", truth.n_rows(), start.elapsed());
    let mut last = None;
    for plan in plans.iter().take(2) {
        let start = Instant::now();
        last = Some(simulate(plan, &camera, &truth, seed, 0)?);
        println!("exposure {} in {:.2?}", plan.meta.id, start.elapsed());
    }
    let exposure = last.ok_or("no exposure")?;
    let sky_adu = plans[1].sky_e / exposure.meta.gain_e_per_adu;
    let noise_adu = f64::from(exposure.variance.mean().unwrap_or(1.0)).sqrt().min(sky_adu);
    let (ny, nx) = exposure.image.dim();
    let mut bytes = format!("P5\n{nx} {ny}\n255\n").into_bytes();
    // North is up in most viewers only if the last row comes first.
    for (row, mask) in exposure.image.rows().into_iter().zip(exposure.mask.rows()).rev() {
        bytes.extend(row.iter().zip(mask).map(|(z, m)| {
            let scaled = ((f64::from(*z) - sky_adu) / noise_adu).asinh();
            if m & MaskPlane::UNUSABLE != 0 { 255 } else { (60.0 + 40.0 * scaled).clamp(0.0, 255.0) as u8 }
        }));
    }
    std::fs::write(path, bytes)?;
    Ok(())
}
