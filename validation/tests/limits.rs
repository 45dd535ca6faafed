//! The limits agree with 10⁴ noise realisations of isolated sources and of pairs, within the error of so many (4 standard errors).

#[allow(dead_code)] // names of rows, which the example prints
#[path = "../examples/limits/experiments.rs"]
mod experiments;
#[path = "../examples/limits/monte_carlo.rs"]
mod monte_carlo;

use experiments::{Row, detected, errors, galaxy_errors, recognised};
use fathom_validation::limit::Autocorrelation;
use monte_carlo::{FWHM_PX, Galaxy, Star};

const N: u64 = 10_000;

fn assert_agrees(row: &Row, allowed: f64) {
    assert!((row.found - row.theory).abs() < 4.0 * row.error + allowed, "{row:?}: {:.1} standard errors", row.pull());
}

#[test]
fn the_completeness_curve_is_that_of_noisy_images() {
    [4.0, 4.79, 5.5].into_iter().for_each(|snr| assert_agrees(&detected(snr, N), 0.0));
}

#[test]
fn errors_of_isolated_stars_are_the_bounds() {
    errors("alone", &[Star::new(30.0, 0.3, -0.2)], N).iter().for_each(|row| assert_agrees(row, 0.0));
}

#[test]
fn errors_of_members_of_pairs_are_the_bounds() {
    let half = 0.5 * 1.2 * FWHM_PX;
    let stars = [Star::new(60.0, -half, 0.2), Star::new(40.0, half, 0.2)];
    errors("pair", &stars, N).iter().for_each(|row| assert_agrees(row, 0.0));
}

/// The bound is the linear one: at S/N 100 what is left out is the square of a shape's error, (2/100)².
#[test]
fn shapes_of_galaxies_alone_and_in_a_pair_scatter_by_the_bounds() {
    let galaxy = Galaxy::new(100.0, 0.3, -0.2, [0.15, 0.1]);
    galaxy_errors("galaxy", &[galaxy], N).iter().for_each(|row| assert_agrees(row, 0.0));
    let half = 0.75 * FWHM_PX;
    let pair = [Galaxy::new(150.0, -half, 0.2, [0.15, 0.1]), Galaxy::new(150.0, half, -0.1, [-0.1, 0.1])];
    galaxy_errors("pair of galaxies", &pair, N).iter().for_each(|row| assert_agrees(row, 0.0));
}

#[test]
fn pairs_are_recognised_from_the_separation_on_that_theory_says() {
    let limit = Autocorrelation::of_gaussian().separation_limit_fwhm(20.0, 0.5);
    assert_agrees(&recognised(20.0, 0.5, limit, N), 0.0);
}
