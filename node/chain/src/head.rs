//! A final block.

use leoma_protocol::{BlockNumber, Digest};

/// A block that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// The head to act on. With one or two `nodes` configured it is the highest head; with more,
    /// the highest that a second node has reached too, or the only one. The number of configured
    /// nodes decides, not the number that answer: otherwise whoever silences one of three nodes
    /// could make up heads with another. `None` without heads.
    pub(crate) fn believed(nodes: usize, mut heads: Vec<Self>) -> Option<Self> {
        heads.sort_by_key(|head| std::cmp::Reverse(head.number));
        let place = usize::from(nodes > 2 && heads.len() > 1);
        heads.get(place).copied()
    }
}
