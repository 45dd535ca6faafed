//! What is left of the sky: recovered less true background of one exposure, by scale.

use fathom::catalog::{ColumnData, Table, TableError};
use ndarray::{ArrayView2, s};

/// Sides of the superpixels at which the residual is looked at \[exposure pixel\].
pub const SCALES_PX: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// Residual background of one exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct BackgroundResidual {
    /// Exposure.
    pub exposure: String,
    /// Band.
    pub band: String,
    /// Mean \[ADU\].
    pub mean_adu: f64,
    /// Rms about it of the means of superpixels of [`SCALES_PX`] \[ADU\].
    pub rms_adu: [f64; SCALES_PX.len()],
    /// Noise of a source-free pixel \[ADU\].
    pub pixel_sigma_adu: f64,
    /// Surface brightness of one ADU a pixel \[nJy/arcsec²\].
    pub njy_arcsec2_per_adu: f64,
    /// Free numbers of the background model; 0: it was not fitted.
    pub n_nodes: usize,
    /// Pixels that were compared.
    pub n_pixels: usize,
}

/// Mean of a residual map, and the rms about it of the means of its superpixels, for every scale.
///
/// The map is cut into superpixels of as nearly the asked side as divides it evenly, as the background mesh is; NaN are left out.
#[must_use]
pub fn residual_by_scale(residual: ArrayView2<f64>) -> (f64, [f64; SCALES_PX.len()]) {
    let (ny, nx) = residual.dim();
    let sum_of = |part: ArrayView2<f64>| part.iter().filter(|r| !r.is_nan()).fold((0.0, 0.0), |(sum, n), r| (sum + r, n + 1.0));
    let (sum, n) = sum_of(residual);
    let mean = if n > 0.0 { sum / n } else { f64::NAN };
    let rms = SCALES_PX.map(|side| {
        let cells = |n: usize| ((n as f64 / side as f64).round() as usize).max(1);
        let (rows, columns) = (cells(ny), cells(nx));
        let (mut sum, mut n) = (0.0, 0.0);
        for j in 0..rows {
            for i in 0..columns {
                let part = residual.slice(s![j * ny / rows..(j + 1) * ny / rows, i * nx / columns..(i + 1) * nx / columns]);
                let (of_part, weight) = sum_of(part);
                if weight > 0.0 {
                    sum += weight * (of_part / weight - mean).powi(2);
                    n += weight;
                }
            }
        }
        (sum / n).sqrt()
    });
    (mean, rms)
}

/// The table `/backgrounds`: one row an exposure.
///
/// # Errors
/// [`TableError`], never in practice: all columns have one row an exposure.
pub fn background_table(rows: &[BackgroundResidual]) -> Result<Table, TableError> {
    let mut table = Table::new();
    let numbers = |value: &dyn Fn(&BackgroundResidual) -> f64| ColumnData::F64(rows.iter().map(value).collect());
    table.push("exposure", "", "exposure", ColumnData::Text(rows.iter().map(|r| r.exposure.clone()).collect()))?;
    table.push("band", "", "band", ColumnData::Text(rows.iter().map(|r| r.band.clone()).collect()))?;
    table.push("mean", "pixel sigma", "mean of recovered less true background", numbers(&|r| r.mean_adu / r.pixel_sigma_adu))?;
    for (i, scale) in SCALES_PX.iter().enumerate() {
        let what = format!("rms about the mean of superpixels of {scale} pixels");
        table.push(&format!("rms_{scale}px"), "pixel sigma", &what, numbers(&move |r| r.rms_adu[i] / r.pixel_sigma_adu))?;
    }
    table.push("pixel_sigma", "nJy/arcsec2", "noise of a source-free pixel", numbers(&|r| r.pixel_sigma_adu * r.njy_arcsec2_per_adu))?;
    table.push("n_nodes", "", "free numbers of the background model; 0: not fitted", numbers(&|r| r.n_nodes as f64))?;
    table.push("n_pixels", "", "pixels of the exposure", numbers(&|r| r.n_pixels as f64))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use ndarray::Array2;

    /// A wave of 128 pixels keeps its rms 1/√2 in small superpixels and vanishes in those of its own length; a constant is only mean.
    #[test]
    fn a_wave_is_seen_below_its_length() {
        let map = Array2::from_shape_fn((512, 512), |(_, x)| 3.0 + (std::f64::consts::TAU * x as f64 / 128.0).sin());
        let (mean, rms) = residual_by_scale(map.view());
        assert_relative_eq!(mean, 3.0, epsilon = 1e-10);
        // Over a superpixel of side s the wave keeps sinc(s / 128).
        for (side, rms) in SCALES_PX.iter().zip(rms).take(3) {
            let phase = std::f64::consts::PI * *side as f64 / 128.0;
            assert_relative_eq!(rms, phase.sin() / phase / 2f64.sqrt(), max_relative = 1e-3);
        }
        assert!(rms[4] < 1e-10 && rms[5] < 1e-10);
    }

    /// A map smaller than a superpixel has a mean and no rms at that scale.
    #[test]
    fn small_maps() {
        let (mean, rms) = residual_by_scale(Array2::from_shape_fn((10, 12), |(y, _)| y as f64).view());
        assert_relative_eq!(mean, 4.5);
        assert_relative_eq!(rms[5], 0.0);
    }
}
