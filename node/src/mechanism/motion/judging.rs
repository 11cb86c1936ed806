//! What an answer is worth, and its entry.

use leoma_protocol::verdict::{EntryStatus, Name, Observation, VerdictEntry};
use leoma_protocol::{Digest, Hotkey, Nano};
use leoma_scoring::motion::{
    Bvh, Clip, MAX_DISTANCE, clip_of_answer, correctness, distance, speed, value,
};
use serde::{Deserialize, Serialize};

/// What judges, for the envelope of a verdict file: the formula and its constants.
pub(crate) const JUDGE: &str = "motion/1";
/// The pool of the observations.
pub(crate) const POOL: &str = "motion";

/// What a value follows from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// How many frames the answer has.
    pub(crate) frames: usize,
    /// How far it is from the reference.
    pub(crate) distance: f64,
    /// The parts of its value.
    pub(crate) correctness: f64,
    /// As above.
    pub(crate) speed: f64,
}

/// An answer beside its reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    /// Whether it is near enough to be an answer at all.
    pub(crate) passed: bool,
    /// Its value, and nothing for a file that cannot be compared.
    pub(crate) value: Option<Nano>,
    /// Why, for people.
    pub(crate) reason: String,
    /// What the value follows from, where there is one.
    pub(crate) evidence: Option<Evidence>,
}

/// Judges a file that came after so many milliseconds. Entries hold the time in these, so everybody
/// computes the same value.
pub(crate) fn judge(file: &[u8], took_ms: u64, reference: &Clip) -> Judged {
    let read = Bvh::parse(file).and_then(|bvh| clip_of_answer(&bvh));
    let clip = match read {
        Ok(clip) => clip,
        Err(error) => {
            let reason = error.to_string();
            return Judged { passed: false, value: None, reason, evidence: None };
        }
    };
    let seconds = took_ms as f64 / 1000.0;
    let found = distance(&clip, reference);
    let evidence = Evidence {
        frames: clip.frames(),
        distance: found,
        correctness: correctness(found),
        speed: speed(seconds),
    };
    let passed = found <= MAX_DISTANCE;
    let said = if passed { "away from the reference" } else { "away: another motion" };
    Judged {
        passed,
        value: Nano::from_f64(value(Some(found), seconds)),
        reason: format!("{found:.3} {said}"),
        evidence: Some(evidence),
    }
}

impl Judged {
    /// The entry of the miner that sent the file with this hash.
    pub(crate) fn entry(&self, miner: Hotkey, took_ms: u64, sha256: Digest) -> VerdictEntry {
        let status = match (self.value, self.passed) {
            (None, _) => EntryStatus::Malformed,
            (Some(_), false) => EntryStatus::Failed,
            (Some(_), true) => EntryStatus::Passed,
        };
        VerdictEntry {
            passed: self.passed,
            video_sha256: Some(sha256),
            score: self.value.map(tenths),
            observations: observed(self.value),
            ..VerdictEntry::unusable(miner, status, self.reason.clone(), took_ms)
        }
    }
}

/// The observation of a value; a null for a miner that was asked and gave nothing usable.
pub(crate) fn observed(value: Option<Nano>) -> Vec<Observation> {
    let pool: Option<Name> = POOL.parse().ok();
    let of_pool = |pool| Observation { pool, values: vec![value], counts: Vec::new() };
    pool.map(of_pool).into_iter().collect()
}

/// The value in tenths of a point out of a hundred, for people.
pub(crate) fn tenths(value: Nano) -> u16 {
    let tenths = (value.to_f64() * 1000.0).round();
    // A value is between 0 and 1.
    if (0.0..=1000.0).contains(&tenths) { tenths as u16 } else { 0 }
}
