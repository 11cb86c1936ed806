//! The periodic check of all miners.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_chain::{Commitment, Metagraph};
use leoma_protocol::{BlockNumber, Hotkey, MinerCommitment, Uid, check_commit_count};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chutes::Chute;
use super::hugging_face::Model;
use super::{ChutesClient, HuggingFaceClient, MinerState, MinerTable, Validity};
use crate::config::ServicesConfig;
use crate::metrics::Metrics;
use crate::outbound::ServiceError;

/// Miners looked up at a time: a pass over 256 takes seconds, and no service sees a burst.
const CONCURRENT_LOOKUPS: usize = 8;
/// Most answers kept of each service; a subnet has at most 256 miners.
const MAX_CACHED: usize = 1024;

/// A cache of a service's answers. Failures are not cached.
#[derive(Debug)]
struct Cache<T> {
    ttl: Duration,
    answers: HashMap<String, (Instant, T)>,
}

impl<T: Clone> Cache<T> {
    fn new(ttl: Duration) -> Self {
        Self { ttl, answers: HashMap::new() }
    }

    fn get(&self, key: &str) -> Option<T> {
        self.answers
            .get(key)
            .filter(|(at, _)| at.elapsed() < self.ttl)
            .map(|(_, answer)| answer.clone())
    }

    fn put(&mut self, key: String, answer: T) {
        if self.answers.len() >= MAX_CACHED {
            let ttl = self.ttl;
            self.answers.retain(|_, (at, _)| at.elapsed() < ttl);
        }
        if self.answers.len() < MAX_CACHED {
            self.answers.insert(key, (Instant::now(), answer));
        }
    }
}

/// Checks miners against the services.
#[derive(Debug)]
pub(crate) struct MinerValidator {
    chutes: ChutesClient,
    hugging_face: HuggingFaceClient,
    chute_cache: Cache<Chute>,
    model_cache: Cache<Model>,
}

impl MinerValidator {
    /// A validator with empty caches.
    pub(crate) fn new(
        chutes: ChutesClient,
        hugging_face: HuggingFaceClient,
        config: &ServicesConfig,
    ) -> Self {
        let (chute_cache, model_cache) =
            (Cache::new(config.chute_ttl), Cache::new(config.model_hash_ttl));
        Self { chutes, hugging_face, chute_cache, model_cache }
    }

    /// Checks the miners every `every`, and publishes the table in `tables`, until `stop`.
    pub(crate) async fn run(
        mut self,
        metagraphs: watch::Receiver<Arc<Metagraph>>,
        every: Duration,
        metrics: Metrics,
        tables: watch::Sender<Arc<MinerTable>>,
        stop: CancellationToken,
    ) {
        loop {
            let metagraph = Arc::clone(&metagraphs.borrow());
            let previous = Arc::clone(&tables.borrow());
            let table = tokio::select! {
                () = stop.cancelled() => return,
                table = self.check(&metagraph, &previous) => table,
            };
            let valid = table.valid().count();
            log_changes(&previous, &table, valid);
            metrics.valid_miners.set(i64::try_from(valid).unwrap_or(i64::MAX));
            tables.send_replace(Arc::new(table));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Checks every registered hotkey that has a commitment. The result in `previous` stands where a
    /// service cannot be asked.
    async fn check(&mut self, metagraph: &Metagraph, previous: &Arc<MinerTable>) -> MinerTable {
        let mut lookups = Vec::new();
        for neuron in &metagraph.neurons {
            let Some(commitment) = metagraph.commitments.get(&neuron.hotkey) else { continue };
            // The owner's commitment names the allowlist, not a model.
            if leoma_rotation::allowlist::committed_hash(&commitment.text).is_none() {
                lookups.push(self.check_one(neuron.hotkey, neuron.uid, commitment.clone()).boxed());
            }
        }
        let results: Vec<_> =
            stream::iter(lookups).buffer_unordered(CONCURRENT_LOOKUPS).collect().await;
        let mut checked = BTreeMap::new();
        for (hotkey, miner, answers) in results {
            if let Some((key, chute)) = answers.chute {
                self.chute_cache.put(key, chute);
            }
            if let Some((key, model)) = answers.model {
                self.model_cache.put(key, model);
            }
            checked.insert(hotkey, miner);
        }
        check_table(metagraph.block, checked, previous)
    }

    async fn check_one(
        &self,
        hotkey: Hotkey,
        uid: Uid,
        commitment: Commitment,
    ) -> (Hotkey, MinerState, Answers) {
        let parsed = check_commit_count(commitment.count)
            .and_then(|()| MinerCommitment::parse(&commitment.text, &hotkey))
            .map_err(|error| error.to_string());
        let (validity, answers) = match parsed {
            Err(reason) => (Validity::Invalid { reason }, Answers::default()),
            Ok(parsed) => self.look_up(&parsed).await,
        };
        (hotkey, MinerState { uid, commit_block: commitment.block, validity }, answers)
    }

    async fn look_up(&self, commitment: &MinerCommitment) -> (Validity, Answers) {
        let mut answers = Answers::default();
        let validity =
            self.look_up_into(commitment, &mut answers).await.unwrap_or_else(|validity| validity);
        (validity, answers)
    }

    async fn look_up_into(
        &self,
        commitment: &MinerCommitment,
        answers: &mut Answers,
    ) -> Result<Validity, Validity> {
        let invalid = |reason: String| Validity::Invalid { reason };
        let chute = match self.chute_cache.get(&commitment.chute_id) {
            Some(chute) => chute,
            None => {
                let chute = self
                    .chutes
                    .chute(&commitment.chute_id)
                    .await
                    .map_err(|error| outcome_of(error, "chute_fetch_failed"))?;
                answers.chute = Some((commitment.chute_id.clone(), chute.clone()));
                chute
            }
        };
        if !chute.hot {
            return Err(invalid("chute_not_running".to_owned()));
        }
        if let Some(revision) =
            chute.revision.as_deref().filter(|revision| *revision != commitment.model_revision)
        {
            return Err(invalid(format!("revision_mismatch:chute={}", short(revision))));
        }
        let key = format!("{}@{}", commitment.model_name, commitment.model_revision);
        let model = match self.model_cache.get(&key) {
            Some(model) => model,
            None => {
                let asked = self
                    .hugging_face
                    .model(&commitment.model_name, &commitment.model_revision)
                    .await;
                let model = asked.map_err(|error| outcome_of(error, "hf_model_fetch_failed"))?;
                answers.model = Some((key, model.clone()));
                model
            }
        };
        if model.sha != commitment.model_revision {
            return Err(invalid(format!("revision_mismatch:hf={}", short(&model.sha))));
        }
        let hash = model.weights_hash.ok_or_else(|| invalid("hf_model_fetch_failed".to_owned()))?;
        Ok(Validity::Valid {
            slug: chute.slug,
            model_revision: commitment.model_revision.clone(),
            model_hash: hash.to_string(),
        })
    }
}

#[derive(Default)]
struct Answers {
    chute: Option<(String, Chute)>,
    model: Option<(String, Model)>,
}

/// A refusal by a service is an answer about the miner; an outage is not.
fn outcome_of(error: ServiceError, reason: &str) -> Validity {
    match error {
        ServiceError::Refused { .. } | ServiceError::Unreadable { .. } => {
            Validity::Invalid { reason: reason.to_owned() }
        }
        ServiceError::Unavailable { .. } | ServiceError::Unauthorised { .. } => {
            Validity::Unknown { reason: error.to_string() }
        }
    }
}

/// A revision for a reason word: the first eight characters of printable ASCII.
fn short(revision: &str) -> String {
    revision.chars().filter(char::is_ascii_graphic).take(8).collect()
}

fn log_changes(previous: &MinerTable, table: &MinerTable, valid: usize) {
    if table.miners == previous.miners {
        return;
    }
    tracing::info!(valid, committed = table.miners.len(), block = %table.block, "miners checked");
    for (hotkey, miner) in &table.miners {
        if previous.miners.get(hotkey) != Some(miner) {
            tracing::info!(miner = %hotkey, validity = ?miner.validity, "miner changed");
        }
    }
}

/// Finishes a check: an unknown miner keeps its previous result, and of equal models only the
/// earliest commitment is valid.
#[must_use]
pub(crate) fn check_table(
    block: BlockNumber,
    mut miners: BTreeMap<Hotkey, MinerState>,
    previous: &MinerTable,
) -> MinerTable {
    for (hotkey, miner) in &mut miners {
        if let Validity::Unknown { .. } = miner.validity
            && let Some(known) =
                previous.miners.get(hotkey).filter(|known| known.commit_block == miner.commit_block)
        {
            miner.validity = known.validity.clone();
        }
    }
    let mut earliest: HashMap<String, (BlockNumber, Uid)> = HashMap::new();
    for miner in miners.values() {
        if let Validity::Valid { model_hash, .. } = &miner.validity {
            let claim = (miner.commit_block, miner.uid);
            earliest
                .entry(model_hash.clone())
                .and_modify(|first| *first = (*first).min(claim))
                .or_insert(claim);
        }
    }
    for miner in miners.values_mut() {
        if let Validity::Valid { model_hash, .. } = &miner.validity
            && let Some((_, uid)) =
                earliest.get(model_hash).filter(|first| **first != (miner.commit_block, miner.uid))
        {
            miner.validity =
                Validity::Invalid { reason: format!("duplicate_model:earliest_uid={uid}") };
        }
    }
    MinerTable { block, miners }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(uid: u16, commit_block: u64, hash: &str) -> MinerState {
        let validity = Validity::Valid {
            slug: "s".into(),
            model_revision: "r".into(),
            model_hash: hash.into(),
        };
        MinerState { uid: Uid(uid), commit_block: BlockNumber(commit_block), validity }
    }

    fn hotkey(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[test]
    fn the_earliest_commitment_of_a_model_stays_and_copies_go() {
        let miners = BTreeMap::from([
            (hotkey(1), valid(1, 50, "same")),
            (hotkey(2), valid(2, 20, "same")),
            (hotkey(3), valid(3, 20, "same")),
            (hotkey(4), valid(4, 90, "other")),
        ]);
        let table = check_table(BlockNumber(100), miners, &MinerTable::default());
        assert_eq!(
            table.valid().map(|(hotkey, ..)| hotkey).collect::<Vec<_>>(),
            [hotkey(2), hotkey(4)]
        );
        let copy = Validity::Invalid { reason: "duplicate_model:earliest_uid=2".into() };
        assert_eq!(table.miners[&hotkey(1)].validity, copy);
        assert_eq!(table.miners[&hotkey(3)].validity, copy);
    }

    #[test]
    fn a_service_that_is_down_changes_nothing_about_known_miners() {
        let previous = check_table(
            BlockNumber(1),
            BTreeMap::from([(hotkey(1), valid(1, 5, "h"))]),
            &MinerTable::default(),
        );
        let down = |commit_block| MinerState {
            uid: Uid(1),
            commit_block: BlockNumber(commit_block),
            validity: Validity::Unknown { reason: "down".into() },
        };
        let same = check_table(BlockNumber(2), BTreeMap::from([(hotkey(1), down(5))]), &previous);
        assert_eq!(same.miners[&hotkey(1)], valid(1, 5, "h"));
        // A new commitment was never checked: it is not valid on the old one's credit.
        let new = check_table(BlockNumber(2), BTreeMap::from([(hotkey(1), down(9))]), &previous);
        assert_eq!(new.valid().count(), 0);
    }
}
