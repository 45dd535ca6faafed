//! Limits beside Monte Carlo, as a table: `cargo run --release -p fathom-validation --example limits`.

mod experiments;
mod monte_carlo;

use experiments::{Row, detected, errors, galaxy_errors, recognised};
use fathom_validation::limit::Autocorrelation;
use monte_carlo::{FWHM_PX, Galaxy, Star};

/// Noise realisations of every row.
const N: u64 = 10_000;

fn main() {
    println!("| limit | theory | {N} images | off by (standard errors) |\n|---|---|---|---|");
    let print = |row: Row| println!("| {} | {:.4} | {:.4} ± {:.4} | {:+.1} |", row.what, row.theory, row.found, row.error, row.pull());
    for snr in [3.0, 4.0, 4.5, 4.79, 5.0, 5.5, 6.0, 7.0] {
        print(detected(snr, N));
    }
    for snr in [10.0, 20.0, 50.0] {
        errors(&format!("alone, S/N {snr}"), &[Star::new(snr, 0.3, -0.2)], N).into_iter().for_each(print);
    }
    for (snr, ratio, separation) in [(50.0, 1.0, 1.5), (50.0, 0.5, 1.0), (100.0, 1.0, 0.8)] {
        let half = 0.5 * separation * FWHM_PX;
        let stars = [Star::new(snr, -half, 0.2), Star::new(snr * ratio, half, 0.2)];
        let name = format!("S/N {snr} with one of {} at {separation} FWHM", snr * ratio);
        errors(&name, &stars, N).into_iter().for_each(print);
    }
    for snr in [50.0, 100.0] {
        galaxy_errors(&format!("galaxy alone, S/N {snr}"), &[Galaxy::new(snr, 0.3, -0.2, [0.15, 0.1])], N).into_iter().for_each(print);
    }
    let half = 0.6 * FWHM_PX;
    let pair = [Galaxy::new(100.0, -half, 0.2, [0.15, 0.1]), Galaxy::new(100.0, half, -0.1, [-0.1, 0.1])];
    galaxy_errors("galaxy of S/N 100 with another at 1.2 FWHM", &pair, N).into_iter().for_each(print);
    let autocorrelation = Autocorrelation::of_gaussian();
    for (snr, ratio) in [(10.0, 1.0), (20.0, 1.0), (50.0, 1.0), (100.0, 1.0), (20.0, 0.5), (50.0, 0.5), (50.0, 0.2), (100.0, 0.1)] {
        let limit = autocorrelation.separation_limit_fwhm(snr, ratio);
        for share in [0.8, 0.9, 1.0, 1.1, 1.2] {
            print(recognised(snr, ratio, limit * share, N));
        }
    }
    println!("\n| S/N of the brighter | ratio 1 | 0.5 | 0.2 | 0.1 | 0.05 |\n|---|---|---|---|---|---|");
    for snr in [7.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0] {
        let limits = [1.0, 0.5, 0.2, 0.1, 0.05].map(|ratio| autocorrelation.separation_limit_fwhm(snr, ratio));
        let cells = limits.map(|d| if d.is_nan() { "-".to_owned() } else { format!("{d:.2}") });
        println!("| {snr} | {} |", cells.join(" | "));
    }
}
