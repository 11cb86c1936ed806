//! The numbers that every validator must share. Every hello and every verdict file carries their
//! digest.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::python_json::Value;
use crate::{BlockNumber, Digest, TaskId};

/// An exact fraction, never a float: 3/20 against 2/20 + 1/20 must be a tie on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fraction {
    /// The numerator.
    pub numerator: u32,
    /// The denominator; never zero.
    pub denominator: u32,
}

impl Fraction {
    /// `numerator / denominator`; `None` for a zero denominator.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if denominator == 0 { None } else { Some(Self { numerator, denominator }) }
    }
}

/// The consensus constants of a subnet from some block on; [`crate::ConsensusSchedule`] says from
/// which. No environment variable changes them, because validators that differ in one would
/// disagree about the winner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusParams {
    /// The number of newest tasks that decide the winner.
    pub window_tasks: u32,
    /// The number of newest task numbers that do not count yet, because their files are still being
    /// written or fetched.
    pub settle_margin: u64,
    /// Share of the interval, rounded down, before an epoch block in which validators witness what
    /// they hold; at least [`Self::witness_least`].
    pub witness_share: Fraction,
    /// The least number of blocks for witnesses, whatever the interval is: a transaction needs some
    /// blocks to be included, and endpoints lag.
    pub witness_least: u64,
    /// Blocks before the epoch block within which a task must end.
    pub lookback_blocks: u64,
    /// Share of the window's tasks on which a miner must have been evaluated.
    pub completeness: Fraction,
    /// Share of the active validators, rounded up and at least one, that must have evaluated a
    /// miner.
    pub distinct_validators: Fraction,
    /// By how much a later miner must beat every earlier one.
    pub dominance: Fraction,
    /// Blocks between two settings of weights.
    pub epoch_blocks: u64,
    /// The first epoch block. A hotkey has one commitment for all mechanisms of a subnet, so their
    /// witnesses must be due at different blocks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch_offset: u64,
    /// Blocks that a producer has before the next one may step in; `None` means half of the
    /// interval, at least one block.
    pub failover_grace: Option<u64>,
    /// Whether verdict files without an envelope, as the Python implementation writes them, count.
    pub accept_v1: bool,
    /// The policy record that turns files into weights; `None` for video's own rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for ConsensusParams {
    fn default() -> Self {
        Self {
            window_tasks: 100,
            settle_margin: 2,
            witness_share: Fraction { numerator: 1, denominator: 8 },
            witness_least: 8,
            lookback_blocks: 30_000,
            completeness: Fraction { numerator: 4, denominator: 5 },
            distinct_validators: Fraction { numerator: 1, denominator: 2 },
            dominance: Fraction { numerator: 1, denominator: 20 },
            epoch_blocks: 180,
            epoch_offset: 0,
            failover_grace: None,
            accept_v1: false,
            policy: None,
        }
    }
}

impl ConsensusParams {
    /// SHA-256 over a domain and the canonical JSON of all fields. Fields that video leaves at
    /// their default are omitted, so that its digest is the same as in releases without these
    /// fields.
    pub fn digest(&self) -> Digest {
        let fraction = |f: Fraction| {
            Value::Array(vec![u64::from(f.numerator).into(), u64::from(f.denominator).into()])
        };
        let mut fields = vec![
            ("window_tasks", u64::from(self.window_tasks).into()),
            ("settle_margin", self.settle_margin.into()),
            ("witness_share", fraction(self.witness_share)),
            ("witness_least", self.witness_least.into()),
            ("lookback_blocks", self.lookback_blocks.into()),
            ("completeness", fraction(self.completeness)),
            ("distinct_validators", fraction(self.distinct_validators)),
            ("dominance", fraction(self.dominance)),
            ("epoch_blocks", self.epoch_blocks.into()),
            ("failover_grace", self.failover_grace.map_or(Value::Null, Value::from)),
            ("accept_v1", self.accept_v1.into()),
        ];
        if self.epoch_offset != 0 {
            fields.push(("epoch_offset", self.epoch_offset.into()));
        }
        if let Some(policy) = self.policy {
            fields.push(("policy", policy.to_string().as_str().into()));
        }
        let value = Value::object(fields);
        Digest::of_parts(&[b"leoma:consensus-params:1\0", value.to_string().as_bytes()])
    }

    /// The first block of the epoch of `block`: the largest multiple of the epoch length up to it,
    /// counted from the offset on. Before that it is block 0.
    pub fn epoch_block(&self, block: BlockNumber) -> BlockNumber {
        let length = self.epoch_blocks.max(1);
        let since = block.0.checked_sub(self.epoch_offset);
        BlockNumber(since.map_or(0, |since| since / length * length + self.epoch_offset))
    }

    /// The first epoch block after `block`.
    pub fn next_epoch_block(&self, block: BlockNumber) -> BlockNumber {
        match block.0.checked_sub(self.epoch_offset) {
            Some(since) => {
                let epochs = (since / self.epoch_blocks.max(1)).saturating_add(1);
                let blocks = epochs.saturating_mul(self.epoch_blocks.max(1));
                BlockNumber(blocks.saturating_add(self.epoch_offset))
            }
            None => BlockNumber(self.epoch_offset),
        }
    }

    /// The offset of a mechanism's epochs: the sixteen places of an epoch are taken in an order
    /// that keeps the first mechanisms as far apart as they can be. The second begins in the
    /// middle, the third and fourth at the quarters.
    #[must_use]
    pub const fn epoch_offset_of(mecid: u8, epoch_blocks: u64) -> u64 {
        // The four bits of the id, the lowest first.
        let place = (mecid.reverse_bits() >> 4) as u64;
        // Below 2^60 blocks, which no chain reaches, this is exact.
        epoch_blocks / 16 * place + epoch_blocks % 16 * place / 16
    }

    /// How many blocks before an epoch block are free of another mechanism's boundary; at least the
    /// fewest blocks that witnesses take. A witness that is written earlier than this may replace
    /// one that another mechanism of the subnet still needs: a hotkey has one commitment.
    #[must_use]
    pub fn undisturbed_blocks(&self) -> u64 {
        (self.epoch_blocks / 16).max(self.witness_least)
    }

    /// How many blocks before an epoch block the witnesses are written, where a task has `interval`
    /// blocks.
    pub fn witness_blocks(&self, interval: u64) -> u64 {
        let Fraction { numerator, denominator } = self.witness_share;
        let share = u128::from(interval) * u128::from(numerator) / u128::from(denominator.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).max(self.witness_least)
    }

    /// The blocks in which a witness for an epoch must have been included: `[E - w, E)`. `interval`
    /// is that of the list in force at the epoch block.
    pub fn witness_span(&self, interval: u64, epoch_block: BlockNumber) -> Range<BlockNumber> {
        let first = epoch_block.0.saturating_sub(self.witness_blocks(interval));
        BlockNumber(first)..epoch_block
    }

    /// The first epoch block that may count a task. `interval` is that of the task's list here and
    /// below, so that a later change of the interval moves nothing.
    pub fn settles_at(&self, interval: u64, task_id: TaskId) -> BlockNumber {
        let first_unsettled = task_id.0.saturating_add(self.settle_margin);
        BlockNumber(first_unsettled.saturating_mul(interval))
    }

    /// The last head at which an honest validator attests to a file of the task. It lies two
    /// witness spans before the task settles: one for the certificate and the file to reach
    /// everybody, one for everybody to witness them.
    pub fn attestation_deadline(&self, interval: u64, task_id: TaskId) -> BlockNumber {
        let spans = self.witness_blocks(interval).saturating_mul(2);
        BlockNumber(self.settles_at(interval, task_id).0.saturating_sub(spans))
    }
}

/// The network that a message belongs to. Nothing signed for one network is valid on another.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    crate::codec::Encode,
    crate::codec::Decode,
)]
pub struct Network {
    /// The chain's genesis block hash.
    pub genesis: Digest,
    /// The subnet's mechanism: the storage index, which is the subnet's number for mechanism 0.
    pub netuid: crate::Netuid,
}

impl Network {
    /// The subnet that the mechanism belongs to: what its owner signs is signed for this.
    #[must_use]
    pub const fn subnet(self) -> Self {
        Self { genesis: self.genesis, netuid: self.netuid.subnet() }
    }
}

/// Names a verdict file: the task and its producer.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    crate::codec::Encode,
    crate::codec::Decode,
)]
pub struct FileId {
    /// The task.
    pub task_id: TaskId,
    /// The validator that produced the file.
    pub producer: crate::Hotkey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_moves_the_digest() {
        let base = ConsensusParams::default();
        let changed = [
            ConsensusParams { window_tasks: 99, ..base.clone() },
            ConsensusParams { settle_margin: 3, ..base.clone() },
            ConsensusParams {
                witness_share: Fraction { numerator: 1, denominator: 4 },
                ..base.clone()
            },
            ConsensusParams { witness_least: 9, ..base.clone() },
            ConsensusParams { lookback_blocks: 1, ..base.clone() },
            ConsensusParams {
                completeness: Fraction { numerator: 8, denominator: 10 },
                ..base.clone()
            },
            ConsensusParams {
                distinct_validators: Fraction { numerator: 1, denominator: 3 },
                ..base.clone()
            },
            ConsensusParams {
                dominance: Fraction { numerator: 1, denominator: 10 },
                ..base.clone()
            },
            ConsensusParams { epoch_blocks: 360, ..base.clone() },
            ConsensusParams { failover_grace: Some(50), ..base.clone() },
            ConsensusParams { accept_v1: true, ..base.clone() },
            ConsensusParams { epoch_offset: 90, ..base.clone() },
            ConsensusParams { policy: Some(Digest::of(b"a record")), ..base.clone() },
            ConsensusParams { policy: Some(Digest::of(b"another")), ..base.clone() },
        ];
        let mut digests: Vec<_> = changed.iter().map(ConsensusParams::digest).collect();
        digests.push(base.digest());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), changed.len() + 1);
    }

    #[test]
    fn video_keeps_the_digest_and_the_json_of_releases_without_records() {
        let base = ConsensusParams::default();
        let digest = "d17f63e292a252df02e1a4ecfe802198f930edef0246b6e6e2c883ed7632f5c2";
        assert_eq!(base.digest().to_string(), digest);
        let json = serde_json::to_value(&base).unwrap();
        assert!(json.get("policy").is_none() && json.get("epoch_offset").is_none());
        let read: ConsensusParams = serde_json::from_value(json).unwrap();
        assert_eq!(read, base);
    }

    #[test]
    fn mechanisms_have_their_epochs_at_different_blocks() {
        let offsets = [0, 1, 2, 3].map(|mecid| ConsensusParams::epoch_offset_of(mecid, 180));
        assert_eq!(offsets, [0, 90, 45, 135]);
        let params = ConsensusParams { epoch_offset: 90, ..ConsensusParams::default() };
        let boundaries = [0, 89, 90, 269, 270, u64::MAX].map(BlockNumber);
        let boundaries = boundaries.map(|block| params.epoch_block(block).0);
        assert_eq!(boundaries[..5], [0, 0, 90, 90, 270]);
        let next = [0, 89, 90, 269, 270].map(BlockNumber);
        assert_eq!(next.map(|block| params.next_epoch_block(block).0), [90, 90, 270, 270, 450]);
        let video = ConsensusParams::default();
        let next = [0, 179, 180].map(BlockNumber);
        assert_eq!(next.map(|block| video.next_epoch_block(block).0), [180, 180, 360]);
        // With any length, all sixteen fit and no two are due together.
        for length in [16, 17, 100, 180, 7200] {
            let mut offsets: Vec<u64> =
                (0..16).map(|mecid| ConsensusParams::epoch_offset_of(mecid, length)).collect();
            offsets.sort_unstable();
            offsets.dedup();
            assert_eq!((offsets.len(), offsets[0]), (16, 0));
            assert!(offsets[15] < length);
        }
    }

    #[test]
    fn the_epoch_block_is_the_boundary_at_or_before() {
        let params = ConsensusParams::default();
        for (block, boundary) in [(0, 0), (179, 0), (180, 180), (181, 180), (540, 540)] {
            assert_eq!(params.epoch_block(BlockNumber(block)), BlockNumber(boundary));
        }
    }

    #[test]
    fn a_task_is_attested_to_until_two_witness_spans_before_it_settles() {
        let params = ConsensusParams::default();
        // An eighth of 100 blocks is 12; an eighth of 40 is less than the least.
        assert_eq!((params.witness_blocks(100), params.witness_blocks(40)), (12, 8));
        assert_eq!(params.settles_at(100, TaskId(7)), BlockNumber(900));
        assert_eq!(params.attestation_deadline(100, TaskId(7)), BlockNumber(876));
        assert_eq!(params.attestation_deadline(40, TaskId(7)), BlockNumber(344));
        let span = params.witness_span(100, BlockNumber(900));
        assert_eq!(span, BlockNumber(888)..BlockNumber(900));
        assert_eq!(params.witness_span(100, BlockNumber(5)), BlockNumber(0)..BlockNumber(5));
        // Numbers from a hostile message do not overflow.
        let end = TaskId(u64::MAX);
        assert_eq!(params.settles_at(u64::MAX, end), BlockNumber(u64::MAX));
        assert!(params.attestation_deadline(u64::MAX, end) < BlockNumber(u64::MAX));
    }
}
