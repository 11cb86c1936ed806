//! What a validator knows of its subnet at one moment, as plain data. The node fills it.
//!
//! Hotkeys are texts here: an answer repeats them thousands of times, and encoding one costs
//! more than copying it.

use std::collections::BTreeMap;
use std::sync::Arc;

use leoma_protocol::verdict::{AspectScores, Observation};

/// A hotkey as its SS58 text.
pub type HotkeyText = Arc<str>;

/// Everything that pages and answers are computed from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The program's version.
    pub version: String,
    /// The subnet's number.
    pub netuid: u16,
    /// The chain's genesis hash, in hexadecimal.
    pub genesis: String,
    /// The hotkey of the validator that serves this; `None` for `leoma api`.
    pub own_hotkey: Option<HotkeyText>,
    /// The newest final block.
    pub head: u64,
    /// When that block was seen, in seconds since 1970.
    pub head_seen_at: i64,
    /// Milliseconds between two blocks, as measured on the chain; `None` where that is not known.
    pub block_ms: Option<u64>,
    /// The chain as `NETWORK` names it, where it is not the live one and others can reach it.
    pub network: Option<String>,
    /// Blocks between two settings of weights.
    pub epoch_blocks: u64,
    /// The boundary of the head's epoch.
    pub epoch: u64,
    /// The next boundary.
    pub next_epoch: u64,
    /// The mechanism that is served, as `MECHANISM` has it, where it is not video's.
    pub mechanism: Option<String>,
    /// Whether a task is about a clip of a video: then it has a first frame and a source clip, and
    /// answers are videos.
    pub has_clips: bool,
    /// Whose turn it is; `None` without an allowlist.
    pub turn: Option<Turn>,
    /// The validators: those on the allowlist, and those with a permit.
    pub validators: Vec<Validator>,
    /// Every hotkey with a commitment to a model or an axon, and every other that a held file or an
    /// epoch names as a miner.
    pub miners: Vec<Miner>,
    /// What validators on the allowlist gossip of the miners, the newest of each.
    pub reports: Vec<GossipedReport>,
    /// The verdict files that are held, by task and then by producer.
    pub files: Vec<TaskFile>,
    /// First and last task of the window; `None` before a task is settled.
    pub window: Option<(u64, u64)>,
    /// Epochs, newest first.
    pub epochs: Vec<Epoch>,
    /// Connections of the mesh, as this validator sees them.
    pub links: Vec<Link>,
    /// What is wrong with the validator that serves this.
    pub own_faults: OwnFaults,
}

/// What a validator knows to be wrong with itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFaults {
    /// Whether another machine runs with its hotkey.
    pub is_doubled: bool,
    /// The newest epoch by whose boundary its witness should have been on chain, if it was not.
    pub missed_witness: Option<u64>,
    /// The newest epoch whose committed weights should have been revealed, if they were not, or
    /// went to another miner than the winner.
    pub missed_reveal: Option<u64>,
    /// Scoring processes that are up, and all of them; `None` where there are none.
    pub scorers: Option<(usize, usize)>,
    /// Whether the CPU scores because every GPU failed.
    pub cpu_instead_of_gpu: bool,
}

/// Whose turn it is to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The task that the head lies in.
    pub task_id: u64,
    /// Its first block.
    pub start_block: u64,
    /// Blocks that a task takes.
    pub interval: u64,
    /// Blocks after which the next producer may step in.
    pub grace_blocks: u64,
    /// Who samples, and who stands in for it, in order.
    pub producers: Vec<HotkeyText>,
    /// How many of these have missed their time.
    pub step: usize,
}

/// One validator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validator {
    /// Its hotkey.
    pub hotkey: HotkeyText,
    /// Its slot; `None` when it is not registered.
    pub uid: Option<u16>,
    /// Its stake in TAO. For information: it decides nothing.
    pub stake: f64,
    /// Whether it is on the allowlist.
    pub listed: bool,
    /// Whether this validator is connected to it, or is it; for `leoma api`, which is connected to
    /// none, whether it was seen to work lately.
    pub online: bool,
    /// The software that it claims to run.
    pub agent: Option<String>,
    /// Tasks of the window that were its turn.
    pub expected_turns: u32,
    /// Tasks for which it provably signed two files.
    pub double_signatures: u32,
}

/// Whether a miner may be sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Validity {
    /// It may be.
    Valid,
    /// It may not, for this reason.
    Invalid(String),
    /// It was not checked.
    #[default]
    Unknown,
}

/// One miner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Miner {
    /// Its hotkey.
    pub hotkey: HotkeyText,
    /// Its slot; `None` when it has left the subnet.
    pub uid: Option<u16>,
    /// The block of its newest commitment.
    pub commit_block: Option<u64>,
    /// The model's repository.
    pub model_name: Option<String>,
    /// The committed revision.
    pub model_revision: Option<String>,
    /// SHA-256 over the hashes of the model's weight files.
    pub model_hash: Option<String>,
    /// The chute that serves it.
    pub chute_id: Option<String>,
    /// The name of that chute's endpoint.
    pub chute_slug: Option<String>,
    /// Whether it may be sampled.
    pub validity: Validity,
    /// The block at which that was found out.
    pub checked_at: Option<u64>,
}

/// What a validator says of the miners over the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipedReport {
    /// The validator.
    pub validator: HotkeyText,
    /// The block at which it looked.
    pub block: u64,
    /// The miners that it names, each with the reason where it may not be sampled.
    pub miners: Vec<(HotkeyText, Option<String>)>,
}

/// One verdict file.
#[derive(Clone, Debug)]
pub struct TaskFile {
    /// What it says.
    pub verdict: Arc<Verdict>,
    /// Whether it speaks for its task in the window.
    pub in_window: bool,
    /// Whether enough validators attested to it.
    pub certified: bool,
    /// Who attested to it.
    pub attesters: Vec<HotkeyText>,
    /// Who refused it, each with the reason.
    pub refusals: Vec<(HotkeyText, String)>,
    /// Why the newest epoch left it out.
    pub left_out: Option<String>,
}

/// What a verdict file says. It never changes, so snapshots share it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The task.
    pub task_id: u64,
    /// Who sampled and signed.
    pub producer: HotkeyText,
    /// The file's digest, in hexadecimal.
    pub digest: String,
    /// The head when it was signed; 0 in files that name none.
    pub block: u64,
    /// What judged.
    pub judge: String,
    /// What that asks of an answer.
    pub needed: Needed,
    /// One for each miner, by hotkey.
    pub entries: Vec<Entry>,
}

/// What a judge asks of an answer, in tenths of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The overall score of a pass.
    pub overall: u16,
    /// Each aspect by itself, in the order of [`AspectScores::named`]; 0 where it needs nothing.
    pub aspects: [u16; 6],
    /// A measure below this takes points from its whole aspect.
    pub measure: u16,
}

/// One miner's result. A window has tens of thousands, so each is kept small.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The miner.
    pub miner: HotkeyText,
    /// The one bit that counts.
    pub passed: bool,
    /// Why, in one word.
    pub status: Box<str>,
    /// The judge's confidence, 0 to 100.
    pub confidence: u8,
    /// Why, in words.
    pub reasoning: Box<str>,
    /// Time to the complete answer.
    pub latency_ms: u64,
    /// The score in tenths of a point, 0 to 1000.
    pub score: Option<u16>,
    /// The aspects.
    pub aspects: Option<AspectScores>,
    /// Whether there is a video of the answer.
    pub has_video: bool,
    /// What was measured, where the mechanism folds more than passes.
    pub observations: Box<[Observation]>,
    /// Whether it is no miner's result, but what the producer read itself.
    pub is_reading: bool,
}

/// One epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epoch {
    /// Its boundary.
    pub block: u64,
    /// `decided`, `abstained`, `committed`, `set`, `refused`, or [`Epoch::COMPUTED`].
    pub state: String,
    /// Why these weights.
    pub reason: String,
    /// Who gets the weight; `None` when it is burned or unknown.
    pub winner: Option<HotkeyText>,
    /// The slot of the weight.
    pub winner_uid: Option<u16>,
    /// Validators that a miner must have been judged by.
    pub required_validators: u32,
    /// The files that counted.
    pub counted: Vec<FileName>,
    /// The files that did not, each with the reason.
    pub left_out: Vec<(FileName, String)>,
    /// Files that counted and are not held here.
    pub missing: Vec<FileName>,
    /// The eligible miners, the winner first.
    pub ranks: Vec<Rank>,
    /// The others, each with the reason.
    pub ineligible: Vec<(HotkeyText, String)>,
    /// The validators with a fresh witness at the boundary; empty where that is not known.
    pub witnesses: Vec<HotkeyText>,
    /// How many witnesses a file needs.
    pub required_witnesses: u32,
    /// Who witnesses each file.
    pub witnessed: Vec<Witnessed>,
    /// The weights that each validator has on chain, read back; empty where that is not known.
    pub weights: Vec<WeightsOnChain>,
    /// SHA-256 of the allowlist that the chain named at the boundary, where it is known.
    pub allowlist: Option<String>,
}

impl Epoch {
    /// The state of an epoch that was computed from files alone, by a process that has no part in
    /// the mesh: no validator decided it, and nobody can ask here for its certificates.
    pub const COMPUTED: &str = "computed";

    /// The files that enough validators witness for them to count.
    pub fn witnessed_files(&self) -> impl Iterator<Item = &FileName> {
        let required = (self.required_witnesses as usize).max(1);
        let enough = self.witnessed.iter().filter(move |one| one.by.len() >= required);
        enough.map(|one| &one.file)
    }

    /// Whether it was computed from files alone.
    pub fn is_uncertified(&self) -> bool {
        self.state == Self::COMPUTED
    }
}

/// A verdict file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The task.
    pub task_id: u64,
    /// Who sampled.
    pub producer: HotkeyText,
}

/// Who says on chain to hold a file with its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The file.
    pub file: FileName,
    /// The validators that say so.
    pub by: Vec<HotkeyText>,
}

/// An eligible miner in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// From 1, the winner.
    pub rank: u32,
    /// The miner.
    pub miner: HotkeyText,
    /// Its passed verdicts.
    pub passed: u32,
    /// The mean of the validators' pass rates.
    pub rate: f64,
    /// The block of its commitment.
    pub block: Option<u64>,
    /// Its share of all weight, of 1, where a policy record pays more than one miner.
    pub share: Option<f64>,
}

/// What one validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsOnChain {
    /// The validator.
    pub validator: HotkeyText,
    /// Slots and weights.
    pub weights: Vec<(u16, u16)>,
    /// Beside what this validator decided: `same`, `other`, `nothing` for a validator that set none
    /// in this epoch, `unseen` where they cannot be compared yet.
    pub compared: String,
}

/// One connection of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The peer.
    pub hotkey: HotkeyText,
    /// Whether each side hears the other.
    pub mutual: bool,
    /// Round-trip time of the last ping.
    pub rtt_ms: Option<f64>,
    /// Its head.
    pub head: Option<u64>,
    /// Whether it is connected through a relay.
    pub relayed: bool,
}

/// What a task's sampler published beside its verdicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRecord {
    /// What the miners were asked for.
    pub prompt: Option<String>,
    /// What they were given: `ti2v`, `t2v` or `i2v`; of other mechanisms their name.
    pub task_type: String,
    /// How the task was chosen, in order: what, and its value.
    pub proof: Vec<(&'static str, String)>,
    /// Each miner's raw measures, by hotkey.
    pub measures: BTreeMap<String, Vec<Measure>>,
    /// SHA-256 of the allowlist that the task was made under, where it is known.
    pub allowlist: Option<String>,
}

/// A raw measure of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// What it does to an aspect; `None` for one that does nothing by itself.
    pub held_to: Option<HeldTo>,
}

/// How a measure feeds an aspect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldTo {
    /// The aspect.
    pub aspect: &'static str,
    /// The value that gives no points.
    pub none: f64,
    /// The value that gives all points.
    pub full: f64,
    /// The points that it gives, 0 to 100.
    pub points: f64,
}

impl Snapshot {
    /// When a block was made, in seconds since 1970, counted back from the head: an estimate.
    pub fn time_of(&self, block: u64) -> Option<i64> {
        if block == 0 {
            return None;
        }
        let behind = i64::try_from(self.head).ok()? - i64::try_from(block).ok()?;
        let block_ms = i64::try_from(self.block_ms?).ok()?;
        self.head_seen_at.checked_sub(behind.checked_mul(block_ms)? / 1000)
    }
}
