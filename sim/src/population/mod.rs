//! What the sky holds: laws for the numbers, positions, shapes and colours of objects, one kind a file.
//!
//! ```text
//! counts ─► magnitude ─┬► galaxies (redshift, type, size, bulge) ─┐
//!                      ├► stars (colour, distance, motion)         ├► Source ─► truth catalog
//! clustering ─► where  ├► variables, transients, movers           ─┘
//! sed (templates, redshift, bands) ─► flux in every band
//! ```
//!
//! Magnitudes are those of the i band and everything else follows from them, each quantity by its own stream of random numbers
//! (seed, what, arm, number): neither the other bands nor the other objects change an object.

pub(crate) mod blends;
pub(crate) mod clustering;
pub(crate) mod counts;
pub(crate) mod galaxies;
pub(crate) mod movers;
pub(crate) mod sed;
mod source;
pub(crate) mod stars;
pub(crate) mod transients;
pub(crate) mod variables;

pub use blends::{BlendFraction, blend_fraction};
pub(crate) use source::{Bulge, Motion, Source, Variability, to_table};

use fathom::random::keyed_rng;
use rand::Rng;

/// Where the random numbers of an arm's objects come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub seed: u64,
    pub arm: u64,
}

impl Draws {
    /// The stream of one quantity of one object.
    pub fn of(self, what: &str, number: u64) -> impl Rng + use<> {
        keyed_rng(self.seed, what, self.arm, number)
    }
}

/// Linear interpolation in a table of rising abscissae; constant beyond its ends.
pub(crate) fn interpolate(table: &[(f64, f64)], x: f64) -> f64 {
    let i = table.partition_point(|(a, _)| *a <= x);
    match (i.checked_sub(1).map(|j| table[j]), table.get(i)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some(&(_, y))) => y,
        (None, None) => f64::NAN,
    }
}
