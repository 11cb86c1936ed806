//! What another validator's file says, computed again from its `metadata.json` and the chain.
//!
//! | checked | against |
//! |---|---|
//! | `metadata.json` | the digest that its producer signed |
//! | first block, its hash and clock, the moments of forecasts and reading | the chain |
//! | every entry, drawn or not | what follows from `metadata.json` |
//! | a file whose forecasts count has come before its deadline | the head when it arrived here |
//!
//! What nobody can check again: that a miner said what is written (answers have no signature), that
//! it was asked at all, and what the producer's feed said. One false reading among many moves no
//! median.

use std::sync::Arc;

use leoma_chain::{ChainClient, ChainError, Head};
use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::{Envelope, VerdictEntry};
use leoma_protocol::{BlockNumber, Digest, Hotkey, TaskId};
use leoma_storage::TaskObject;

use super::hours::new_york_text;
use super::proof::{JUDGE, OracleMetadata, SCHEMA};
use super::rules::Rules;
use crate::corpus::{MAX_PROOF_BYTES, Seed};
use crate::mechanism::asked::Admission;
use crate::rescoring::{Objects, Unread, read_object};
use crate::verdicts::{Owed, Recheck, Rescored};

/// Reads a task's `metadata.json`, as the producer of `envelope` signed it.
///
/// # Errors
/// The first [`Unread`] that applies.
pub(crate) async fn read_metadata(
    bucket: &dyn Objects,
    envelope: &Envelope,
) -> Result<OracleMetadata, Unread> {
    let bytes =
        read_object(bucket, envelope.task_id, TaskObject::Metadata, MAX_PROOF_BYTES).await?;
    parse(&bytes, envelope)
}

fn parse(bytes: &[u8], envelope: &Envelope) -> Result<OracleMetadata, Unread> {
    let found = Digest::of(bytes);
    if envelope.metadata_sha256 != Some(found) {
        let signed = envelope.metadata_sha256.map_or("nothing".to_owned(), |it| it.to_string());
        return Err(Unread::Contradicts(format!(
            "metadata.json is sha256 {found}, the envelope says {signed}"
        )));
    }
    let malformed = |error| Unread::Contradicts(format!("metadata.json is malformed: {error}"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
    let schema = &value["schema"];
    if *schema != SCHEMA || envelope.judge != JUDGE {
        let schema: String = schema.to_string().chars().take(40).collect();
        return Err(Unread::Unknown(format!(
            "judged by {} with schema {schema}, which this release does not read",
            envelope.judge
        )));
    }
    let metadata: OracleMetadata = serde_json::from_value(value).map_err(malformed)?;
    let theirs = (metadata.task_id, metadata.netuid, metadata.genesis, metadata.validator);
    let network = envelope.network;
    if theirs != (envelope.task_id, network.netuid, network.genesis, envelope.validator) {
        return Err(Unread::Contradicts(
            "metadata.json has another task, validator or chain than the envelope".into(),
        ));
    }
    Ok(metadata)
}

/// A task's first block, as the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstBlock {
    pub(crate) seed: Seed,
    /// Its clock, in milliseconds since 1970.
    pub(crate) clock_ms: u64,
}

impl FirstBlock {
    /// Reads it. Of blocks older than some 300, only archive nodes have the state.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn read(chain: &ChainClient, block: BlockNumber) -> Result<Self, ChainError> {
        let hash = chain.block_hash(block).await?;
        Self::at(chain, Seed { block, hash }).await
    }

    /// The same for a block whose hash is known.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn at(chain: &ChainClient, seed: Seed) -> Result<Self, ChainError> {
        let clock_ms = chain.timestamp(Head { number: seed.block, hash: seed.hash }).await?;
        Ok(Self { seed, clock_ms })
    }
}

impl OracleMetadata {
    /// Whether the moments are those of the chain's clock.
    ///
    /// # Errors
    /// What is not, in words.
    pub(crate) fn check_moment(&self, first: &FirstBlock, rules: &Rules) -> Result<(), String> {
        let plan = &self.plan;
        if self.seed != first.seed {
            let (said, found) = (self.seed, first.seed);
            return Err(format!(
                "it names block {} ({}) as the first, the chain has {} ({})",
                said.block, said.hash, found.block, found.hash
            ));
        }
        if plan.start_ms != first.clock_ms {
            let (said, found) = (plan.start_ms, first.clock_ms);
            return Err(format!("it says that block's clock is {said} ms, the chain says {found}"));
        }
        let expected = (rules.begin(first.clock_ms), rules.read(first.clock_ms));
        if (Some(plan.begin), Some(plan.read)) != expected {
            let (begin, read) = (plan.begin, plan.read);
            return Err(format!(
                "forecasts from {begin} and a reading of {read:?} do not follow from that clock: {expected:?}"
            ));
        }
        let told = new_york_text(plan.begin);
        if self.timestamp != told {
            let said: String = self.timestamp.chars().take(40).collect();
            return Err(format!("miners were asked about {said} instead of {told}"));
        }
        Ok(())
    }
}

/// How an entry differs from the one that follows from `metadata.json`, if it does.
pub(crate) fn difference(entry: &VerdictEntry, found: Option<&VerdictEntry>) -> Option<String> {
    let Some(found) = found else {
        return Some("metadata.json says nothing of this miner".to_owned());
    };
    let mut differences = Vec::new();
    if (entry.passed, &entry.status) != (found.passed, &found.status) {
        differences.push(format!("{} instead of {}", entry.status, found.status));
    }
    if entry.observations != found.observations {
        differences.push("the observation is another one".to_owned());
    }
    if entry.latency_ms != found.latency_ms {
        differences.push(format!("{} ms instead of {}", entry.latency_ms, found.latency_ms));
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// An entry beside those that follow from `metadata.json`, which are sorted by hotkey.
fn compared(entry: &VerdictEntry, followed: &[VerdictEntry]) -> Rescored {
    let place = followed.binary_search_by_key(&entry.hotkey, |found| found.hotkey);
    let found = place.ok().and_then(|place| followed.get(place));
    match difference(entry, found) {
        None => Rescored::Agrees,
        Some(words) => {
            let passed = found.is_some_and(|found| found.passed);
            Rescored::Differs(Finding { passed, score: 0 }, words)
        }
    }
}

/// The first entry that does not follow from `metadata.json`.
fn first_false(entries: &[VerdictEntry], followed: &[VerdictEntry]) -> Option<(Hotkey, Rescored)> {
    let compared = |entry: &VerdictEntry| (entry.hotkey, compared(entry, followed));
    entries.iter().map(compared).find(|(_, result)| *result != Rescored::Agrees)
}

/// Checks others' files before we attest to them.
#[derive(Debug)]
pub(crate) struct OracleRecheck {
    pub(crate) rules: Rules,
    pub(crate) chain: ChainClient,
    /// Which block a task begins with, and who must have an entry.
    pub(crate) admission: Admission,
}

impl OracleRecheck {
    async fn first_block(&self, task_id: TaskId) -> Result<FirstBlock, Unread> {
        let history = Arc::clone(&self.admission.allowlists.borrow());
        let list = history.of_task(task_id).map(|entry| &entry.allowlist);
        let start = list.and_then(|list| list.start_of(task_id));
        let start = start.ok_or_else(|| Unread::Ours("no allowlist makes this task".to_owned()))?;
        // What our chain nodes do not say is no fault of the producer's.
        let lack = |error| Unread::Ours(format!("the chain's clock is not known: {error}"));
        FirstBlock::read(&self.chain, start).await.map_err(lack)
    }
}

#[async_trait::async_trait]
impl Recheck for OracleRecheck {
    /// The entries that follow from the producer's `metadata.json`, sorted by hotkey.
    type Task = Vec<VerdictEntry>;

    fn judge(&self) -> &'static str {
        JUDGE
    }

    async fn owed(&self, start: BlockNumber) -> Result<Owed, Unread> {
        self.admission.owed(start).await
    }

    fn attest_until(&self, envelope: &Envelope, start: BlockNumber) -> Option<BlockNumber> {
        self.rules.attest_until(envelope.block, start)
    }

    async fn task(&self, bucket: &dyn Objects, envelope: &Envelope) -> Result<Self::Task, Unread> {
        let metadata = read_metadata(bucket, envelope).await?;
        let first = self.first_block(envelope.task_id).await?;
        metadata.check_moment(&first, &self.rules).map_err(Unread::Contradicts)?;
        Ok(metadata.entries(&self.rules))
    }

    fn false_entry(
        &self,
        task: &Self::Task,
        entries: &[VerdictEntry],
    ) -> Option<(Hotkey, Rescored)> {
        first_false(entries, task)
    }

    async fn entry(
        &self,
        task: &Self::Task,
        _bucket: &dyn Objects,
        entry: &VerdictEntry,
    ) -> Result<Rescored, Unread> {
        Ok(compared(entry, task))
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::verdict::EntryStatus;
    use leoma_protocol::{Netuid, Network};

    use super::super::hours::Session;
    use super::super::proof::tests::{metadata, rules};
    use super::super::proof::{Heard, Said};
    use super::*;

    fn published() -> OracleMetadata {
        let said = Said::Prediction("[1, 2, 3, 4, 5, 6]".into());
        metadata(Session::Open, vec![(9, Heard { took_ms: 40, said })])
    }

    fn envelope(metadata: &OracleMetadata, bytes: &[u8]) -> Envelope {
        Envelope {
            network: Network { genesis: metadata.genesis, netuid: metadata.netuid },
            task_id: metadata.task_id,
            validator: metadata.validator,
            params: Digest::default(),
            judge: JUDGE.to_owned(),
            block: BlockNumber(710),
            data_sha256: Digest::default(),
            metadata_sha256: Some(Digest::of(bytes)),
        }
    }

    #[test]
    fn metadata_is_held_to_what_its_producer_signed() {
        let written = published();
        let bytes = serde_json::to_vec(&written).unwrap();
        let signed = envelope(&written, &bytes);
        assert_eq!(parse(&bytes, &signed), Ok(written.clone()));
        let contradicts = |bytes: &[u8], envelope: &Envelope, part: &str| {
            let Err(Unread::Contradicts(reason)) = parse(bytes, envelope) else { panic!("{part}") };
            assert!(reason.contains(part), "{reason}");
        };
        let mut other = bytes.clone();
        other.push(b' ');
        contradicts(&other, &signed, "sha256");
        contradicts(&bytes, &Envelope { metadata_sha256: None, ..signed.clone() }, "nothing");
        for broken in ["", "{", r#"{"schema": "leoma.oracle/1"}"#] {
            let signed = envelope(&written, broken.as_bytes());
            contradicts(broken.as_bytes(), &signed, "malformed");
        }
        for changed in [
            Envelope { task_id: TaskId(8), ..signed.clone() },
            Envelope { validator: Hotkey::from_bytes([6; 32]), ..signed.clone() },
            Envelope { network: Network { netuid: Netuid(7), ..signed.network }, ..signed.clone() },
        ] {
            contradicts(&bytes, &changed, "another task, validator or chain");
        }
        // A later release is not held against anybody, and shows nothing long.
        let later = String::from_utf8(bytes).unwrap().replace("oracle/1", "oracle/2");
        let signed = envelope(&written, later.as_bytes());
        assert!(matches!(parse(later.as_bytes(), &signed), Err(Unread::Unknown(_))));
        let long = format!(r#"{{"schema": "{}"}}"#, "x".repeat(5000));
        let signed = envelope(&written, long.as_bytes());
        let Err(Unread::Unknown(reason)) = parse(long.as_bytes(), &signed) else { panic!() };
        assert!(reason.len() < 200, "{reason}");
    }

    #[test]
    fn moments_are_those_of_the_chains_clock() {
        let written = published();
        let first = FirstBlock { seed: written.seed, clock_ms: written.plan.start_ms };
        assert_eq!(written.check_moment(&first, &rules()), Ok(()));
        let refused = |change: &dyn Fn(&mut OracleMetadata), part: &str| {
            let mut changed = written.clone();
            change(&mut changed);
            let reason = changed.check_moment(&first, &rules()).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        };
        refused(&|it| it.seed.block = BlockNumber(699), "as the first");
        refused(&|it| it.seed.hash = Digest::of(b"other"), "as the first");
        refused(&|it| it.plan.start_ms += 1, "clock");
        refused(&|it| it.plan.begin += 300, "do not follow");
        refused(&|it| it.plan.read[0] -= 300, "do not follow");
        refused(&|it| it.timestamp.push('Z'), "were asked about");
    }

    #[test]
    fn entries_are_those_that_follow_from_the_metadata() {
        let entries = published().entries(&rules());
        let good = entries.iter().find(|entry| entry.passed).unwrap();
        assert_eq!(difference(good, Some(good)), None);
        let differs = |change: &dyn Fn(&mut VerdictEntry), part: &str| {
            let mut changed = good.clone();
            change(&mut changed);
            let words = difference(&changed, Some(good)).unwrap();
            assert!(words.contains(part), "{words}");
        };
        differs(&|entry| entry.passed = false, "passed");
        differs(&|entry| entry.status = EntryStatus::Timeout, "timeout instead of passed");
        differs(&|entry| entry.latency_ms = 1, "1 ms instead of 40");
        differs(&|entry| entry.observations[0].values[2] = None, "observation");
        differs(&|entry| entry.observations[0].counts[0].1 += 300, "observation");
        differs(&|entry| entry.observations.clear(), "observation");
        assert!(difference(good, None).unwrap().contains("nothing of this miner"));
    }

    #[test]
    fn every_entry_is_compared_whatever_it_says_of_passing() {
        let followed = published().entries(&rules());
        let mut entries = followed.clone();
        assert_eq!(first_false(&entries, &followed), None);
        // The forecast of a miner that is said to have failed, and a reading nobody made.
        for index in 0..entries.len() {
            let changed = &mut entries[index];
            changed.passed = false;
            changed.observations[0].counts[0].1 += 300;
            let (miner, result) = first_false(&entries, &followed).unwrap();
            assert_eq!(miner, followed[index].hotkey);
            assert!(matches!(result, Rescored::Differs(..)), "{result:?}");
            entries = followed.clone();
        }
        let stranger = Hotkey::from_bytes([77; 32]);
        entries.push(VerdictEntry { hotkey: stranger, ..followed[0].clone() });
        assert_eq!(first_false(&entries, &followed).map(|(miner, _)| miner), Some(stranger));
    }
}
