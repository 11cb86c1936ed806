//! Counts what published verdict files say about each miner. They are read from the storage's
//! folder, as anyone could read the buckets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leoma_protocol::Hotkey;
use leoma_protocol::verdict::MAX_FILE_BYTES;
use serde::{Deserialize, Serialize};

use super::MinerPlan;
use super::played::Played;

/// One miner in all published verdict files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerVerdicts {
    /// The miner's hotkey.
    pub hotkey: Hotkey,
    /// Its place on the subnet.
    pub uid: u16,
    /// Its role.
    pub role: Played,
    /// Its entries, by status.
    pub entries: BTreeMap<String, u64>,
    /// Entries that name what a cheat does or, of other miners, that passed.
    pub as_expected: u64,
    /// Entries that say something else of an answer. One without an answer says nothing of it.
    #[serde(default)]
    pub unexpected: u64,
}

/// What an entry says where no answer came: on a busy machine, any miner's may be late.
const NO_ANSWER: [&str; 3] = ["no_response", "timeout", "http_error"];
/// One in so many answers of an honest miner may fail. The calibration asks no more of the judge.
const HONEST_MAY_FAIL: u64 = 5;

impl MinerVerdicts {
    /// Whether its verdicts are what its role is for: each answer of a cheat is named, and most of
    /// an honest miner's pass.
    pub fn is_as_expected(&self) -> bool {
        let answers = self.as_expected + self.unexpected;
        match self.role.expected() {
            Some(_) => self.unexpected == 0,
            None => self.unexpected * HONEST_MAY_FAIL <= answers,
        }
    }
}

/// What is read of a file.
#[derive(Deserialize)]
struct File {
    data: Vec<Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    hotkey: Hotkey,
    status: String,
    reasoning: String,
}

/// All miners in the order of their uids, in the verdict files of these buckets. Files that cannot
/// be read are left out: one may be in the middle of its upload.
pub(super) fn of_miners(
    storage: &Path,
    buckets: &[String],
    miners: &[MinerPlan],
) -> Vec<MinerVerdicts> {
    let entries: Vec<Entry> = files(storage, buckets)
        .iter()
        .filter_map(|path| read(path))
        .flat_map(|file| file.data)
        .collect();
    let of_miner = |miner: &MinerPlan| {
        let (hotkey, role) = (miner.account.hotkey, miner.played());
        let mut verdicts = MinerVerdicts {
            hotkey,
            uid: miner.uid,
            role,
            entries: BTreeMap::new(),
            as_expected: 0,
            unexpected: 0,
        };
        for entry in entries.iter().filter(|entry| entry.hotkey == hotkey) {
            *verdicts.entries.entry(entry.status.clone()).or_default() += 1;
            if is_expected(role, entry) {
                verdicts.as_expected += 1;
            } else if !NO_ANSWER.contains(&entry.status.as_str()) {
                verdicts.unexpected += 1;
            }
        }
        verdicts
    };
    miners.iter().map(of_miner).collect()
}

fn is_expected(role: Played, entry: &Entry) -> bool {
    match role.expected() {
        Some(expected) => {
            entry.status == expected.status && entry.reasoning.contains(expected.reason)
        }
        None => entry.status == "passed",
    }
}

/// `BUCKET/TASK/evaluation_results/HOTKEY.json` of these buckets.
fn files(storage: &Path, buckets: &[String]) -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path())
    };
    let folder = storage.join("buckets");
    let tasks = buckets.iter().map(|bucket| folder.join(bucket)).flat_map(list);
    let mut files: Vec<PathBuf> =
        tasks.flat_map(|task| list(task.join("evaluation_results"))).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files
}

fn read(path: &Path) -> Option<File> {
    let length = std::fs::metadata(path).ok()?.len();
    if length > MAX_FILE_BYTES as u64 {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{Options, SubnetPlan};
    use crate::miners::Role;

    #[test]
    fn entries_are_counted_by_what_they_say() {
        let plan = SubnetPlan::draw(&Options { miners: 3, ..Options::default() });
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("buckets/one/7/evaluation_results");
        std::fs::create_dir_all(&results).unwrap();
        let blur = plan.miners.iter().find(|miner| miner.entry.role == Role::Blur).unwrap();
        let hotkey = blur.account.hotkey;
        let entry = |status: &str, reason: &str| serde_json::json!({"hotkey": hotkey, "status": status, "reasoning": reason});
        let data =
            [entry("failed", "40.0: detail 0.1"), entry("failed", "slow"), entry("timeout", "")];
        let file = serde_json::json!({ "data": data });
        std::fs::write(results.join("a.json"), file.to_string()).unwrap();
        std::fs::write(results.join("b.json"), "{\"data\": [").unwrap();
        let found = of_miners(folder.path(), &["one".to_owned()], &plan.miners);
        let of_blur = found.iter().find(|miner| miner.role == Played::Video(Role::Blur)).unwrap();
        assert_eq!((of_blur.entries.get("failed"), of_blur.as_expected), (Some(&2), 1));
        // Another reason is unexpected; no answer is nobody's verdict.
        assert!(of_blur.unexpected == 1 && !of_blur.is_as_expected());
        assert!(
            found
                .iter()
                .filter(|miner| miner.role != Played::Video(Role::Blur))
                .all(|miner| miner.entries.is_empty())
        );
    }
    #[test]
    fn an_honest_miner_may_fail_now_and_then_and_a_cheat_may_not_pass_once() {
        let of = |role, as_expected, unexpected| MinerVerdicts {
            hotkey: Hotkey::from_bytes([1; 32]),
            uid: 1,
            role: Played::Video(role),
            entries: BTreeMap::new(),
            as_expected,
            unexpected,
        };
        assert!(of(Role::Good, 4, 1).is_as_expected() && !of(Role::Good, 3, 1).is_as_expected());
        assert!(of(Role::Good, 0, 0).is_as_expected(), "nothing was said of it");
        assert!(of(Role::Loop, 9, 0).is_as_expected() && !of(Role::Loop, 9, 1).is_as_expected());
    }
}
