//! Counter-based random numbers, keyed by what they are for, never by order or rank.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The stream of random numbers of one thing: (seed, what, id, row).
///
/// The same key gives the same stream on every rank, in any order, and with every version of the
/// `rand` crates: ChaCha is fixed by its specification (RFC 7539, here with 8 rounds).
#[must_use]
pub fn keyed_rng(seed: u64, what: &str, id: u64, row: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((what.len() as u64).to_le_bytes());
    hash.update(what.as_bytes());
    hash.update(id.to_le_bytes());
    hash.update(row.to_le_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::keyed_rng;
    use rand::Rng;

    #[test]
    fn streams_depend_on_every_part_of_the_key() {
        let first = |seed, what, id, row| keyed_rng(seed, what, id, row).next_u64();
        let reference = first(1, "sky", 2, 3);
        assert_eq!(reference, first(1, "sky", 2, 3));
        for other in [first(2, "sky", 2, 3), first(1, "cosmic", 2, 3), first(1, "sky", 3, 3), first(1, "sky", 2, 4)] {
            assert_ne!(reference, other);
        }
    }
}
