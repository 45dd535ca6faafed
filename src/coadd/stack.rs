//! Stacking: a run of warped pixels added to the sums of a direct coadd.

use super::mapping::Run;
use super::warp::{Outcome, WarpedRun};
use crate::image::MaskPlane;

/// One row of the sums.
pub(super) struct RowSums<'a> {
    pub flux: &'a mut [f64],
    pub variance: &'a mut [f64],
    pub weight: &'a mut [f64],
    pub mask: &'a mut [u32],
    pub inputs: &'a mut [u64],
}

/// Adds warped pixels of one exposure to the sums.
pub(super) struct RunAdder<'a> {
    /// Of the exposure.
    pub weight: f64,
    /// Of the exposure in its plane of inputs.
    pub bit: u64,
    /// The exposure's mask, row by row.
    pub mask: &'a [u32],
}

impl RunAdder<'_> {
    /// Adds a run; the number of its pixels that have a value.
    pub fn add(&self, warped: &WarpedRun, run: &Run, row: &mut RowSums) -> u64 {
        let (columns, factor) = (run.columns.clone(), self.weight * run.area);
        let sums = row.flux[columns.clone()].iter_mut().zip(&mut row.variance[columns.clone()]);
        // Without a value both are 0.
        for (i, (flux, variance)) in sums.enumerate() {
            *flux += factor * f64::from(warped.flux_njy[i]);
            *variance += factor * factor * f64::from(warped.variance_njy2[i]);
        }
        let mut n_values = 0;
        let others = row.weight[columns.clone()].iter_mut().zip(&mut row.inputs[columns.clone()]).zip(&mut row.mask[columns]);
        for (i, ((weight, inputs), mask)) in others.enumerate() {
            let outcome = warped.outcome[i];
            if outcome != Outcome::Value {
                *mask |= planes_of(outcome);
                if outcome != Outcome::Inexact {
                    continue;
                }
            }
            *weight += self.weight;
            *inputs |= self.bit;
            // Planes that do not make a pixel useless go through from the nearest pixel.
            *mask |= self.mask[warped.nearest[i]] & !MaskPlane::UNUSABLE;
            n_values += 1;
        }
        n_values
    }
}

/// Mask planes that an outcome sets.
fn planes_of(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Value | Outcome::Beyond => 0,
        Outcome::Inexact => MaskPlane::InexactPsf.bit(),
        Outcome::Masked => MaskPlane::InexactPsf.bit() | MaskPlane::Rejected.bit(),
        // On either side of the edge a source's light has other exposures: it has no one PSF.
        Outcome::Edge => MaskPlane::SensorEdge.bit() | MaskPlane::InexactPsf.bit(),
    }
}
