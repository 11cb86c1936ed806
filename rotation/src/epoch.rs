//! The one function that a validator sets weights by and that anyone recomputes a winner with.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use leoma_protocol::{BlockNumber, ConsensusParams, Digest, FileId, Hotkey, Uid};

use crate::policy::Policy;
use crate::rank::{Ineligible, Ranked, rank};
use crate::window::{HeldFile, LeftOut, Window, WindowRange, canonical_files};
use crate::{Aggregates, AllowlistHistory, Certificates, TaskVerdicts, aggregate};

/// A miner of the subnet as the chain has it at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miner {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its slot at that block.
    pub uid: Uid,
    /// The block of its model commitment; `None` where it cannot be told.
    pub commit_block: Option<BlockNumber>,
}

/// Everything that is read from the chain, all of it at the hash of one block: the epoch block.
/// Reading any of it later gives validators different answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSnapshot {
    /// The epoch block.
    pub block: BlockNumber,
    /// The subnet's neurons at that block, in any order.
    pub miners: Vec<Miner>,
}

/// What the outcome of an epoch follows from. `F` is a [`TaskVerdicts`] or anything that holds one,
/// as an `Arc` does.
#[derive(Debug)]
pub struct ConsensusInput<'a, F> {
    /// The subnet's constants.
    pub params: &'a ConsensusParams,
    /// The allowlists up to the epoch block.
    pub history: &'a AllowlistHistory,
    /// The chain at the epoch block.
    pub snapshot: &'a EpochSnapshot,
    /// Every verified file that we hold, in any order; more than the window needs does no harm.
    pub files: &'a [F],
    /// The digests that are certified.
    pub certificates: &'a Certificates,
    /// Task and producer of each proven equivocation.
    pub evidence: &'a [FileId],
}

/// Who won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winner {
    /// The miner.
    pub hotkey: Hotkey,
    /// Its slot at the epoch block. It means nothing at any other.
    pub uid: Uid,
}

/// All that an epoch's files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The epoch block.
    pub epoch_block: BlockNumber,
    /// The window's tasks, oldest first, and who speaks for each.
    pub window: Vec<FileId>,
    /// The distinct producers of the window, sorted.
    pub active_validators: Vec<Hotkey>,
    /// How many distinct validators a miner needs.
    pub required_distinct: usize,
    /// All miners with a verdict in the window.
    pub aggregates: Aggregates,
    /// The eligible miners, the winner first.
    pub ranks: Vec<Ranked>,
    /// The others, sorted, each with its reason.
    pub ineligible: Vec<(Hotkey, Ineligible)>,
    /// The winner; `None` where no miner is eligible.
    pub winner: Option<Winner>,
    /// Certified files of the window that were not given. With any of these the outcome is not
    /// everybody's: fetch them and compute again.
    pub missing: Vec<FileId>,
    /// Files that have no part in the outcome, sorted, each with its reason.
    pub left_out: Vec<(FileId, LeftOut)>,
}

/// Computes an epoch's outcome. The same inputs give the same outcome on every machine, in whatever
/// order they come.
#[must_use]
pub fn consensus<F: Borrow<TaskVerdicts>>(input: &ConsensusInput<'_, F>) -> Outcome {
    let ConsensusInput { params, history, snapshot, files, certificates, evidence } = *input;
    let range = WindowRange::new(params, history, snapshot.block);
    let equivocators = range.equivocators(history, evidence);
    let InTime { files, certificates, left_out: late } =
        in_time(&range, history, files, certificates);
    let held: Vec<HeldFile> = files.iter().map(|file| HeldFile::from(*file)).collect();
    let canonical = canonical_files(params, history, &held, &certificates, &equivocators);
    let window = Window::select(params, history, &range, &canonical.files);

    let policy = Policy::video(params);
    let active_validators = window.active_validators();
    let required_distinct = policy.required_validators(active_validators.len());
    let in_window: Vec<&TaskVerdicts> =
        window.files.iter().filter_map(|file| files.get(file.held?).copied()).collect();
    let aggregates = aggregate(&in_window);
    let miners = miners_by_hotkey(&snapshot.miners);
    let registered = miners.iter().map(|(hotkey, miner)| (*hotkey, miner.commit_block)).collect();
    let ranking = rank(&policy, &aggregates, &registered, required_distinct);

    let winner =
        ranking.winner().and_then(|hotkey| Some(Winner { hotkey, uid: miners.get(&hotkey)?.uid }));
    let mut left_out = canonical.left_out;
    left_out.extend(window.left_out);
    left_out.extend(late);
    left_out.sort_unstable();
    Outcome {
        epoch_block: snapshot.block,
        window: window.files.iter().map(|file| file.id).collect(),
        active_validators,
        required_distinct,
        aggregates,
        ranks: ranking.ranks,
        ineligible: ranking.ineligible,
        winner,
        missing: window.missing,
        left_out,
    }
}

/// What there was when the last file that counts was signed.
struct InTime<'a> {
    files: Vec<&'a TaskVerdicts>,
    certificates: Certificates,
    left_out: BTreeSet<(FileId, LeftOut)>,
}

/// Without the files of settled tasks that were signed too late for the epoch: whoever computes
/// before they reach it has to come to the same outcome. A late file's certificate goes with it,
/// and any other file in its place: which of the two is there is no matter of when one looks.
fn in_time<'a, F: Borrow<TaskVerdicts>>(
    range: &WindowRange,
    history: &AllowlistHistory,
    files: &'a [F],
    certificates: &Certificates,
) -> InTime<'a> {
    let is_late = |file: &&TaskVerdicts| {
        range.check(history, file.id.task_id).is_ok() && range.check_signed(file.signed_at).is_err()
    };
    let (late, mut files): (Vec<_>, Vec<_>) = files.iter().map(Borrow::borrow).partition(is_late);
    let mut left_out: BTreeSet<_> = late
        .iter()
        .map(|file| (file.id, LeftOut::SignedLate { signed_at: file.signed_at }))
        .collect();
    let certified = late.iter().filter(|file| certificates.get(&file.id) == Some(file.digest));
    let certified: BTreeMap<FileId, Digest> =
        certified.map(|file| (file.id, file.digest)).collect();
    files.retain(|file| match certified.get(&file.id) {
        Some(&certified) => {
            left_out.insert((file.id, LeftOut::NotTheCertified { certified }));
            false
        }
        None => true,
    });
    let certificates =
        certificates.iter().filter(|(file, _)| !certified.contains_key(file)).collect();
    InTime { files, certificates, left_out }
}

/// A chain lists no hotkey twice; a hand-made snapshot may, and then the lowest uid counts,
/// whatever the order.
fn miners_by_hotkey(miners: &[Miner]) -> BTreeMap<Hotkey, Miner> {
    let mut by_hotkey: BTreeMap<Hotkey, Miner> = BTreeMap::new();
    for miner in miners {
        let kept = by_hotkey.entry(miner.hotkey).or_insert(*miner);
        if (miner.uid, miner.commit_block) < (kept.uid, kept.commit_block) {
            *kept = *miner;
        }
    }
    by_hotkey
}
