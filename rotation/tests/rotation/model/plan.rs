//! What a seed sets up.

use std::collections::BTreeSet;

use leoma_protocol::{ConsensusParams, Fraction, Hotkey, faulty};
use leoma_rotation::Allowlist;

use super::random::Random;

pub(super) const INTERVAL: u64 = 40;
pub(super) const SHORTER_INTERVAL: u64 = 30;
pub(super) const EPOCH_BLOCKS: u64 = 72;
/// The witness span of both intervals.
pub(super) const SPAN: u64 = 8;
/// How far a lagging head may be behind. It stays below two spans: a validator that lags more may
/// attest after its task has settled.
pub(super) const MOST_LAG: u64 = 12;
/// Blocks between a head and the newest final block.
pub(super) const FINALITY: u64 = 2;
/// Faults begin here.
pub(super) const FAULTS_FROM: u64 = 2 * EPOCH_BLOCKS;

/// Small enough that a run sees a full window, a lookback's end and several epochs.
pub(super) fn params() -> ConsensusParams {
    ConsensusParams {
        window_tasks: 8,
        settle_margin: 2,
        witness_share: Fraction { numerator: 1, denominator: 5 },
        witness_least: SPAN,
        lookback_blocks: 14 * INTERVAL,
        completeness: Fraction { numerator: 1, denominator: 4 },
        distinct_validators: Fraction { numerator: 1, denominator: 4 },
        // The best miner wins by any margin, so that nearly every other window has other weights.
        dominance: Fraction { numerator: 0, denominator: 1 },
        epoch_blocks: EPOCH_BLOCKS,
        ..ConsensusParams::default()
    }
}

/// What goes wrong in a run. Those of the network, the chain and the disks end with healing; liars
/// never stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The mesh and the buckets are cut in two around epoch blocks.
    Partition,
    /// Chain endpoints that are up to [`MOST_LAG`] blocks behind at epoch blocks.
    LaggingChain,
    /// Honest witnesses that the chain never includes.
    LostWitnesses,
    /// Disks that lose files.
    LostFiles,
    /// Producers that sign near the deadline or after it.
    SlowProducers,
    /// Validators that see another block at an epoch's height before it is final.
    Forks,
    /// The list loses and gains validators, committed around an epoch block.
    ListChange,
    /// The interval becomes shorter.
    IntervalChange,
    /// A liar signs two files for one task and shows each to another half.
    TwoFiles,
    /// A liar's file appears around its deadline or after its task has settled, to some.
    LateFiles,
    /// Liars vote late, and only to some.
    LateVotes,
    /// Liars witness what they please, when they please.
    FalseWitnesses,
    /// Evidence against a liar appears right after an epoch block, to some.
    LateEvidence,
}

impl Fault {
    pub(super) const ALL: [Self; 13] = [
        Self::Partition,
        Self::LaggingChain,
        Self::LostWitnesses,
        Self::LostFiles,
        Self::SlowProducers,
        Self::Forks,
        Self::ListChange,
        Self::IntervalChange,
        Self::TwoFiles,
        Self::LateFiles,
        Self::LateVotes,
        Self::FalseWitnesses,
        Self::LateEvidence,
    ];
}

/// One run.
#[derive(Debug)]
pub(super) struct Plan {
    /// Everybody who is a validator at some time, in the order of hotkeys.
    pub(super) hotkeys: Vec<Hotkey>,
    /// Who of them lies.
    pub(super) liars: u128,
    /// The first list.
    pub(super) first: u128,
    /// The second list: from which block it is committed, and its interval.
    pub(super) second: Option<(u64, u128, u64)>,
    pub(super) faults: BTreeSet<Fault>,
    /// Network, chain and disks work from this block on.
    pub(super) healed_at: u64,
}

impl Plan {
    pub(super) fn new(random: &mut Random) -> Self {
        // Small lists are the usual ones, and those that a cut hurts most.
        const SIZES: [usize; 20] =
            [4, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7, 8, 9, 10, 13, 16, 25, 40, 64];
        let number = SIZES[random.index(SIZES.len())];
        let mut faults: BTreeSet<Fault> =
            Fault::ALL.into_iter().filter(|_| random.chance(60)).collect();
        faults.insert(Fault::ALL[random.index(Fault::ALL.len())]);
        let healed_at = random.between(5 * EPOCH_BLOCKS, 6 * EPOCH_BLOCKS - 1);
        // A few, or so many that the new list bears more liars than the old one has validators.
        let newcomers = match random.below(2) {
            _ if !faults.contains(&Fault::ListChange) => 0,
            0 if number <= 8 => 3 * number,
            _ => 1 + number / 8,
        };

        let hotkeys: Vec<Hotkey> =
            (0..number + newcomers).map(|n| Hotkey::from_bytes([n as u8; 32])).collect();
        // Newcomers are anywhere in the order, so that a change moves everybody's turns.
        let mut places: Vec<usize> = (0..hotkeys.len()).collect();
        for index in (1..places.len()).rev() {
            places.swap(index, random.index(index + 1));
        }
        let joining = mask(&places[..newcomers]);
        let mut members = places[newcomers..].to_vec();
        members.sort_unstable();
        let first = mask(&members);
        // Evenly over the list, so that liars have turns in every run.
        let (liars, offset) = (faulty(number), random.index(number));
        let chosen = (0..liars).map(|n| members[(offset + n * number / liars) % number]);
        let liars = mask(&chosen.collect::<Vec<_>>());

        let second = Self::second(random, &faults, first, joining, liars);
        Self { hotkeys, liars, first, second, faults, healed_at }
    }

    fn second(
        random: &mut Random,
        faults: &BTreeSet<Fault>,
        first: u128,
        joining: u128,
        liars: u128,
    ) -> Option<(u64, u128, u64)> {
        let (list, interval) =
            (faults.contains(&Fault::ListChange), faults.contains(&Fault::IntervalChange));
        if !list && !interval {
            return None;
        }
        // Around an epoch block: witnesses are on their way, or epochs are being computed.
        let boundary = random.between(3, 4) * EPOCH_BLOCKS;
        let committed_at = match random.below(2) {
            0 => boundary - random.below(SPAN + 3),
            _ => boundary + random.between(FINALITY, FINALITY + 6),
        };
        let mut members = first;
        if list {
            members = (first & !random.subset(first & !liars, 20)) | joining;
            // No list may have more liars than it bears.
            for bit in 0..128 {
                let excess =
                    (members & liars).count_ones() as usize > faulty(members.count_ones() as usize);
                if excess {
                    members &= !(liars & (1 << bit));
                }
            }
        }
        Some((committed_at, members, if interval { SHORTER_INTERVAL } else { INTERVAL }))
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(super) fn list(&self, members: u128, interval: u64) -> Allowlist {
        let is_member = |index: &usize| members >> index & 1 == 1;
        let listed = (0..self.hotkeys.len()).filter(is_member).map(|index| self.hotkeys[index]);
        Allowlist::new(interval, listed).unwrap()
    }

    /// The members of a list.
    pub(super) fn members(&self, list: &Allowlist) -> u128 {
        (0..self.hotkeys.len())
            .filter(|index| list.contains(&self.hotkeys[*index]))
            .map(|index| 1 << index)
            .sum()
    }

    pub(super) fn honest(&self) -> u128 {
        ((1 << self.hotkeys.len()) - 1) & !self.liars
    }

    pub(super) fn place(&self, hotkey: &Hotkey) -> usize {
        usize::from(hotkey.as_bytes()[0])
    }

    /// The epochs that every honest validator must set: the second one after healing, and the next.
    pub(super) fn healed_epochs(&self) -> [u64; 2] {
        let first = (self.healed_at / EPOCH_BLOCKS + 1) * EPOCH_BLOCKS;
        [first + EPOCH_BLOCKS, first + 2 * EPOCH_BLOCKS]
    }

    pub(super) fn end(&self) -> u64 {
        self.healed_epochs()[1] + EPOCH_BLOCKS - 1
    }
}

pub(super) fn mask(places: &[usize]) -> u128 {
    places.iter().map(|place| 1u128 << place).sum()
}
