//! What became of a peak of one parent.

use serde::{Deserialize, Serialize};

/// Why a peak is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The dip between it and a higher one is what masked pixels make of smooth light.
    Masked,
    /// In no layer does it pass that layer's threshold.
    Culled,
    /// Neither near enough to an object to be the same nor far enough to be another (rules `lsst`).
    DeadZone,
    /// Seen in one layer only, and many in its parent are more significant (rules `lsst`).
    LowRank,
    /// It moves or flares: the layers' tables of movers and transients have it.
    Changing,
    /// Noise on light that no object models makes such a peak likelier than an object does (rules `likelihood`).
    Shallow,
}

/// What a peak is to the others of its parent, which are named by their places.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Role {
    /// An object.
    Object,
    /// The same object as that peak, seen in another layer.
    SameAs(usize),
    /// The light of these objects; the first has most of it.
    ExplainedBy(Vec<usize>),
    /// No object.
    Rejected(Rejection),
}

/// A peak's role, and how far the others explain it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub role: Role,
    /// Significance of what the (other) objects do not explain; NaN where the rules do not ask.
    pub conditional: f64,
    /// ln of the odds that it is an object of its own; NaN where the rules do not ask.
    pub log_odds: f64,
}

impl Outcome {
    /// Of rules that know no odds.
    pub fn plain(role: Role) -> Self {
        Self { role, conditional: f64::NAN, log_odds: f64::NAN }
    }
}
