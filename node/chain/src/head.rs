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
    /// The head to act on: the highest of one or two, of more the highest that a second node has
    /// reached too.
    pub(crate) fn believed(mut heads: Vec<Self>) -> Option<Self> {
        heads.sort_by_key(|head| std::cmp::Reverse(head.number));
        let place = usize::from(heads.len() > 2);
        heads.get(place).copied()
    }
}
