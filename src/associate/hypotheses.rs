//! Other sets of objects that the peaks of a parent may be, with their evidence.
//!
//! Every peak that is an object of its own or is explained by others has odds, given the set that was chosen. Taking the others as given, a set that
//! differs in some of them is less likely by the product of their odds.

use super::outcome::{Outcome, Rejection, Role};

/// Odds beyond this are not doubted: e^7 = 1100.
const MAX_LOG_ODDS: f64 = 7.0;
/// Peaks that may be doubted at once: the least certain.
const MAX_DOUBTED: usize = 10;

/// A set of objects.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObjectSet {
    /// ln of its share among the sets that are kept.
    pub log_evidence: f64,
    /// Places of its peaks, rising.
    pub objects: Vec<usize>,
}

/// The `n` likeliest sets, the one that was chosen first; the parent as a single source, its most significant peak, is always one of them, however unlikely.
///
/// * `is_fixed`: objects that no set may leave out.
pub(super) fn hypotheses(outcomes: &[Outcome], significance: &[f64], is_fixed: &[bool], n: usize) -> Vec<ObjectSet> {
    let is_object = |p: usize| outcomes[p].role == Role::Object;
    let chosen: Vec<usize> = (0..outcomes.len()).filter(|&p| is_object(p)).collect();
    let may_differ = |p: &usize| match &outcomes[*p].role {
        Role::Object => !is_fixed[*p],
        Role::ExplainedBy(_) | Role::Rejected(Rejection::Shallow) => true,
        Role::SameAs(_) | Role::Rejected(_) => false,
    };
    let cost = |p: usize| outcomes[p].log_odds.abs();
    let mut doubted: Vec<usize> = (0..outcomes.len()).filter(may_differ).filter(|&p| cost(p) < MAX_LOG_ODDS).collect();
    doubted.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)).then(a.cmp(&b)));
    doubted.truncate(MAX_DOUBTED);
    let mut flips: Vec<(f64, u32)> = (0..1u32 << doubted.len())
        .map(|bits| ((0..doubted.len()).filter(|k| bits >> k & 1 == 1).map(|k| cost(doubted[k])).sum::<f64>(), bits))
        .filter(|(cost, _)| *cost < MAX_LOG_ODDS)
        .collect();
    flips.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let flipped = |bits: u32| {
        let changes = |p: usize| doubted.iter().position(|&d| d == p).is_some_and(|k| bits >> k & 1 == 1);
        (0..outcomes.len()).filter(|&p| is_object(p) != changes(p)).collect::<Vec<usize>>()
    };
    let mut sets: Vec<(f64, Vec<usize>)> =
        flips.into_iter().map(|(cost, bits)| (cost, flipped(bits))).filter(|(_, set)| !set.is_empty()).collect();
    sets.truncate(n.max(1));
    let brightest = chosen.iter().copied().max_by(|&a, &b| significance[a].total_cmp(&significance[b]).then(b.cmp(&a)));
    if let Some(brightest) = brightest
        && sets.iter().all(|(_, set)| set != &[brightest])
    {
        let others =
            chosen.iter().filter(|&&p| p != brightest).map(|&p| if is_fixed[p] { f64::INFINITY } else { outcomes[p].log_odds.max(0.0) });
        if sets.len() >= n.max(2) {
            sets.pop();
        }
        sets.push((others.sum(), vec![brightest]));
    }
    let total: f64 = sets.iter().map(|(cost, _)| (-cost).exp()).sum();
    sets.into_iter().map(|(cost, objects)| ObjectSet { log_evidence: -cost - total.ln(), objects }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(role: Role, log_odds: f64) -> Outcome {
        Outcome { role, conditional: 0.0, log_odds }
    }

    /// A sure object, one that may be none, and a peak that is explained but may be one: the four combinations by their odds.
    #[test]
    fn doubts_combine() {
        let outcomes = [
            outcome(Role::Object, 50.0),
            outcome(Role::Object, 1.0),
            outcome(Role::ExplainedBy(vec![0]), -2.0),
            outcome(Role::SameAs(0), 0.1),
        ];
        let found = hypotheses(&outcomes, &[30.0, 6.0, 5.5, 20.0], &[false; 4], 8);
        assert_eq!(found.iter().map(|h| h.objects.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![0], vec![0, 1, 2], vec![0, 2]]);
        let shares: Vec<f64> = found.iter().map(|h| h.log_evidence.exp()).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((shares[0] / shares[1] - 1f64.exp()).abs() < 1e-9 && (shares[0] / shares[3] - 3f64.exp()).abs() < 1e-9);
    }

    /// The single source is there even where nothing is in doubt, and where there is no room; a known object is never left out by doubt.
    #[test]
    fn a_single_source_is_always_considered() {
        let sure = [outcome(Role::Object, 50.0), outcome(Role::Object, 40.0)];
        let found = hypotheses(&sure, &[30.0, 40.0], &[false; 2], 4);
        assert_eq!(found.iter().map(|h| h.objects.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![1]]);
        assert!((found[1].log_evidence + 50.0).abs() < 1e-6);
        let doubtful: Vec<Outcome> = (0..6).map(|_| outcome(Role::Object, 0.5)).collect();
        let found = hypotheses(&doubtful, &[9.0, 8.0, 7.0, 6.0, 5.0, 4.0], &[false; 6], 3);
        assert_eq!((found.len(), found[2].objects.as_slice()), (3, [0usize].as_slice()));
        let found = hypotheses(&doubtful, &[9.0, 8.0, 7.0, 6.0, 5.0, 4.0], &[true; 6], 3);
        assert_eq!(found.len(), 2);
        assert!(found[0].objects.len() == 6 && found[1].log_evidence == f64::NEG_INFINITY);
    }
}
