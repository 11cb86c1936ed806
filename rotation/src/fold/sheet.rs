//! What one file says in one pool.

use std::cmp::Ordering;

use leoma_protocol::Hotkey;
use leoma_protocol::verdict::Observation;

use crate::record::Pool;
use crate::{MinerObservations, TaskObservations};

/// One file's part in a pool: the miners, as indices, and what was observed of each.
pub(super) struct Sheet<'a> {
    pub(super) file: &'a TaskObservations,
    pub(super) rows: Vec<(usize, &'a Observation)>,
}

impl<'a> Sheet<'a> {
    /// Entries and miners are both sorted by hotkey, so one walk through both finds all.
    pub(super) fn new(pool: &Pool, file: &'a TaskObservations, miners: &[(Hotkey, usize)]) -> Self {
        let mut rest = miners;
        let row = |entry: &'a MinerObservations| {
            while let [(hotkey, index), after @ ..] = rest {
                match hotkey.cmp(&entry.miner) {
                    Ordering::Less => rest = after,
                    Ordering::Equal => return Some((*index, entry.of_pool(&pool.name)?)),
                    Ordering::Greater => return None,
                }
            }
            None
        };
        Self { file, rows: file.entries().iter().filter_map(row).collect() }
    }
}
