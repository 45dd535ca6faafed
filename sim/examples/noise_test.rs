//! The variance plane against the scatter of 200 realisations: `noise_test OUT.svg` prints a table and draws it.
//!
//! A small exposure with four amplifiers of different gain and read noise, vignetting, a sloping sky and twelve stars; pixels are
//! gathered by their variance. The scatter over n realisations of m pixels has a relative error of √(2/(n m)).

use fathom::catalog::{ColumnData, Table};
use fathom::geometry::{PixelPoint, SkyPoint};
use fathom_sim::{CameraConfig, DetectorConfig, NoiseLaw, PhotometryConfig, VariancePlane, plan_exposures, simulate};
use ndarray::Array2;
use std::fmt::Write;

const SEED: u64 = 21;
const N: u64 = 200;
const SIZE: [usize; 2] = [128, 128];

/// (variance \[ADU²\], scatter²/variance - 1, its error, pixels) of each bin.
type Bins = Vec<(f64, f64, f64, usize)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: noise_test OUT.svg")?;
    let mut series = Vec::new();
    for (noise, variance) in [(NoiseLaw::Poisson, VariancePlane::Observed), (NoiseLaw::Gaussian, VariancePlane::Expected)] {
        let name = format!("{noise:?} noise, {variance:?} counts").to_lowercase();
        let bins = measure(noise, variance)?;
        println!("{name}\n  variance [adu2]   scatter^2 / variance - 1 [%]   error [%]   pixels");
        for (v, off, error, m) in &bins {
            println!("  {v:12.1} {:18.2} {:18.2} {m:14}", 100.0 * off, 100.0 * error);
        }
        series.push((name, bins));
    }
    std::fs::write(path, svg(&series))?;
    Ok(())
}

fn measure(noise: NoiseLaw, variance: VariancePlane) -> Result<Bins, Box<dyn std::error::Error>> {
    let camera = CameraConfig {
        n_exposures: 1,
        size_px: SIZE,
        dither_arcsec: 0.0,
        n_bad_columns: 0,
        hot_pixel_fraction: 0.0,
        cosmic_rays: 0.0,
        noise,
        variance,
        background_gradient: 0.2,
        detector: DetectorConfig {
            amplifiers: [2, 2],
            amplifier_gain_scatter: 0.08,
            amplifier_read_noise_scatter: 0.2,
            ..DetectorConfig::default()
        },
        photometry: PhotometryConfig { vignetting: [0.2, 0.2], ..PhotometryConfig::default() },
        ..CameraConfig::default()
    };
    let plan = plan_exposures(&camera, SkyPoint::from_degrees(150.1, 2.2), &["r".into()], SEED)?.remove(0);
    let truth = stars(|x, y| plan.meta.wcs.pixel_to_sky(PixelPoint::new(x, y)))?;
    let take = |arm| simulate(&plan, &camera, &truth, &fathom_sim::StampLibrary::default(), SEED, arm);
    // Offsets from the first realisation: squares of whole counts would lose digits.
    let first = take(0)?.image.mapv(f64::from);
    let zeros = || Array2::<f64>::zeros(first.dim());
    let (mut sum, mut sum_sq, mut planes) = (zeros(), zeros(), zeros());
    for arm in 0..N {
        let exposure = take(arm)?;
        let off = exposure.image.mapv(f64::from) - &first;
        sum += &off;
        sum_sq += &(&off * &off);
        planes += &exposure.variance.mapv(f64::from);
    }
    let n = N as f64;
    let scatter = (&sum_sq - &(&sum * &sum / n)) / (n - 1.0);
    let mut pixels: Vec<(f64, f64)> = (planes / n).iter().copied().zip(scatter.iter().copied()).collect();
    pixels.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Bins of a tenth each, the brightest pixels by themselves.
    let (rest, bright) = pixels.split_at(pixels.len() - 400);
    let bin = |part: &[(f64, f64)]| {
        let m = part.len();
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| part.iter().map(f).sum::<f64>() / m as f64;
        (mean(&|p| p.0), mean(&|p| p.1 / p.0) - 1.0, (2.0 / (n * m as f64)).sqrt(), m)
    };
    Ok(rest.chunks(rest.len().div_ceil(9)).chain(bright.chunks(100)).map(bin).collect())
}

/// Twelve stars from faint to a tenth of saturation.
fn stars(sky: impl Fn(f64, f64) -> SkyPoint) -> Result<Table, Box<dyn std::error::Error>> {
    let n = 12;
    let places: Vec<_> = (0..n).map(|i| sky(f64::from(i % 4) * 32.0 + 16.3, f64::from(i / 4) * 42.0 + 21.4)).collect();
    let mut table = Table::new();
    let mut push = |name: &str, data| table.push(name, "", "", data);
    push("id", ColumnData::I64((1..=i64::from(n)).collect()))?;
    push("ra", ColumnData::F64(places.iter().map(SkyPoint::ra_deg).collect()))?;
    push("dec", ColumnData::F64(places.iter().map(SkyPoint::dec_deg).collect()))?;
    push("class", ColumnData::Text(vec!["star".into(); n as usize]))?;
    push("r_flux", ColumnData::F64((0..n).map(|i| 3e4 * 2f64.powi(i)).collect()))?;
    for (name, value) in [("half_light_radius", 0.0), ("axis_ratio", 1.0), ("position_angle", 0.0), ("sersic_n", 0.0)] {
        push(name, ColumnData::F64(vec![value; n as usize]))?;
    }
    push("is_injected", ColumnData::Bool(vec![false; n as usize]))?;
    Ok(table)
}

/// Points with error bars; logarithmic variance, ± 3 per cent.
fn svg(series: &[(String, Bins)]) -> String {
    let (w, h, left, bottom) = (640.0, 360.0, 60.0, 310.0);
    let x = |v: f64| left + (v.log10() - 2.0) / 2.0 * (w - left - 20.0);
    let y = |off: f64| 165.0 - off * 100.0 * 45.0;
    let mut out =
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" font-family=\"sans-serif\" font-size=\"12\">\n");
    out += &format!("<rect width=\"{w}\" height=\"{h}\" fill=\"white\"/>\n");
    for percent in -3..=3 {
        let at = y(f64::from(percent) / 100.0);
        let colour = if percent == 0 { "#444" } else { "#ddd" };
        let _ = writeln!(out, "<line x1=\"{left}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"{colour}\"/>", w - 20.0);
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent}</text>", left - 6.0, at + 4.0);
    }
    for v in [100.0, 300.0, 1000.0, 3000.0, 10_000.0] {
        let _ = writeln!(out, "<line x1=\"{0}\" x2=\"{0}\" y1=\"20\" y2=\"{bottom}\" stroke=\"#eee\"/>", x(v));
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{v}</text>", x(v), bottom + 16.0);
    }
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">variance plane [adu²]</text>", 0.5 * (w + left), h - 10.0);
    let _ = writeln!(
        out,
        "<text transform=\"translate(16,165) rotate(-90)\" text-anchor=\"middle\">scatter² / variance - 1 [%], 200 realisations</text>"
    );
    for (k, (name, bins)) in series.iter().enumerate() {
        let (colour, shift) = (["#1f6fb4", "#c44e1a"][k % 2], 3.0 * k as f64);
        for &(v, off, error, _) in bins {
            let (px, py) = (x(v) + shift, y(off));
            let _ = writeln!(
                out,
                "<line x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
                y(off - error),
                y(off + error)
            );
            let _ = writeln!(out, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>", left + 12.0, 36.0 + 16.0 * k as f64);
    }
    out + "</svg>\n"
}
