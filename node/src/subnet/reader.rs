//! The subnet as this validator sees it now: its metagraph, and the allowlists that the owner
//! committed.

use std::sync::Arc;
use std::time::Duration;

use leoma_chain::{ChainClient, ChainError, Head, Metagraph, UnreadableCommitment};
use leoma_protocol::{BlockNumber, Digest, Hotkey, Network, PastAllowlist};
use leoma_rotation::{Allowlist, AllowlistError, AllowlistHistory};
use leoma_storage::{Polled, SourceBucket, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::{State, StateError};

use super::allowlists::before;

/// Blocks between two reads of the metagraph: two minutes of the live chain, whose public nodes
/// want a few requests a minute. A new allowlist takes effect up to an interval after its
/// commitment, and decisions that validators must agree on are read at the block that they are
/// about.
const READ_BLOCKS: u64 = 10;
/// The same while something is missing: the first allowlist, or the last read failed.
const RETRY_BLOCKS: u64 = 5;
/// The shortest pause between two reads, for chains with fast blocks.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest, for a chain that stands still and a bucket that was repaired meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The note in the state that keeps the history over a restart.
const HISTORY_NOTE: &str = "allowlist_history";
/// The note that keeps the owner whose history that is.
const OWNER_NOTE: &str = "allowlist_owner";
/// Blocks for which a replaced list is kept: twice the lookback, which no epoch reaches.
const KEPT_BLOCKS: u64 = 60_000;

/// Why the subnet cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SubnetError {
    /// The chain cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The source bucket cannot be read.
    #[error("cannot read the allowlist: {0}")]
    Store(#[from] StoreError),
    /// The allowlist cannot be parsed, or is not the committed one.
    #[error(transparent)]
    Allowlist(#[from] AllowlistError),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The owner has committed an allowlist and not published it.
    #[error(
        "the source bucket holds no allowlist/v1.json, though the subnet owner committed one (sha256 {committed})"
    )]
    NotPublished { committed: Digest },
    /// The owner has committed no allowlist.
    #[error("the subnet owner {owner} has committed no allowlist (`leoma validator publish`)")]
    NotCommitted { owner: Hotkey },
    /// The owner's newest commitment cannot be read.
    #[error("the subnet owner {owner} has an unreadable commitment: {unreadable}")]
    UnreadableCommitment { owner: Hotkey, unreadable: UnreadableCommitment },
    /// The commitment is older than one that was already accepted.
    #[error(transparent)]
    OutOfOrder(#[from] leoma_rotation::OutOfOrder),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Committed {
    at: BlockNumber,
    allowlist: String,
}

/// What the rest of the validator watches.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// The newest metagraph.
    pub metagraph: watch::Receiver<Arc<Metagraph>>,
    /// The allowlists; empty until the first one is known.
    pub allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// The owner whose lists those are; `None` where that is not known.
    pub allowlists_of: watch::Receiver<Option<Hotkey>>,
    /// How the reading goes.
    pub reading: watch::Receiver<Reading>,
}

/// How the reading of the subnet goes.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When the metagraph was read last.
    pub metagraph_read: Instant,
    /// Why the last read failed; empty where it did not.
    pub error: String,
}

/// Which allowlist the subnet's owner committed, and when.
///
/// # Errors
/// [`SubnetError::NotCommitted`], and [`SubnetError::Allowlist`] for a commitment that no list can
/// match.
pub fn committed_allowlist(metagraph: &Metagraph) -> Result<PastAllowlist, SubnetError> {
    let owner = metagraph.owner;
    if let Some(unreadable) = metagraph.unreadable.get(&owner) {
        return Err(SubnetError::UnreadableCommitment { owner, unreadable: *unreadable });
    }
    let commitment =
        metagraph.commitments.get(&owner).ok_or(SubnetError::NotCommitted { owner })?;
    let sha256 = leoma_rotation::allowlist::committed_digest(&commitment.text)?;
    Ok(PastAllowlist {
        committed_at: commitment.block,
        sha256: sha256.ok_or(SubnetError::NotCommitted { owner })?,
    })
}

/// The allowlist with the committed hash: the source bucket's newest, or the one that is kept under
/// that hash, as the newest may be written before or after the chain names it.
pub async fn allowlist_of(
    source: &SourceBucket,
    committed: Digest,
) -> Result<Allowlist, SubnetError> {
    let newest = match source.allowlist(None).await? {
        Polled::Changed(fetched) => {
            Allowlist::verify(&fetched.bytes, committed).map_err(SubnetError::from)
        }
        _ => Err(SubnetError::NotPublished { committed }),
    };
    match newest {
        Ok(allowlist) => Ok(allowlist),
        Err(other) => match source.allowlist_version(&committed).await? {
            Some(bytes) => Ok(Allowlist::verify(&bytes, committed)?),
            None => Err(other),
        },
    }
}

/// Keeps reading the subnet, and tells the rest of the validator what changed.
#[derive(Debug)]
pub struct SubnetReader {
    chain: ChainClient,
    lists: Lists,
    said: Said,
}

/// What was logged last, and is not logged again.
#[derive(Debug, Default)]
struct Said {
    error: String,
    owner: Option<Hotkey>,
    strangers: bool,
}

/// The allowlists that were taken in.
#[derive(Debug)]
struct Lists {
    network: Network,
    source: SourceBucket,
    state: State,
    committed: Vec<Committed>,
    taken: Option<(BlockNumber, Digest)>,
    /// Whose lists those are; `None` where that is not known.
    owner: watch::Sender<Option<Hotkey>>,
}

impl SubnetReader {
    /// A reader that begins with the history kept in `state`.
    ///
    /// # Errors
    /// [`SubnetError`] when the kept history cannot be read.
    pub fn new(
        chain: ChainClient,
        source: SourceBucket,
        state: State,
    ) -> Result<(Self, AllowlistHistory), SubnetError> {
        let (lists, history) = Lists::kept(chain.network(), source, state)?;
        let said = Said { owner: *lists.owner.borrow(), ..Said::default() };
        Ok((Self { chain, lists, said }, history))
    }

    /// Begins with the metagraph that is known, and follows in the background until `stop`.
    pub fn start(
        mut self,
        first: Metagraph,
        history: AllowlistHistory,
        mut heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Subnet {
        let (metagraph_sender, metagraph) = watch::channel(Arc::new(first));
        let (allowlist_sender, allowlists) = watch::channel(Arc::new(history));
        let reading = Reading { metagraph_read: Instant::now(), error: String::new() };
        let (reading_sender, reading) = watch::channel(reading);
        let allowlists_of = self.lists.owner.subscribe();
        tokio::spawn(async move {
            // The first one is read already.
            let mut known = Some(Arc::clone(&metagraph_sender.borrow()));
            loop {
                let head = *heads.borrow();
                let read = self.read(known.take(), head, &metagraph_sender, &allowlist_sender);
                let (read_at, outcome) = read.await;
                self.report(read_at, outcome.as_ref().err(), &reading_sender);
                let is_missing = allowlist_sender.borrow().entries().is_empty();
                let blocks =
                    if outcome.is_err() || is_missing { RETRY_BLOCKS } else { READ_BLOCKS };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = pause(&mut heads, head, blocks) => {}
                }
            }
        });
        Subnet { metagraph, allowlists, allowlists_of, reading }
    }

    /// Logs how a read ended, once rather than with every read, and passes it on.
    fn report(
        &mut self,
        read_at: Option<Instant>,
        error: Option<&SubnetError>,
        reading: &watch::Sender<Reading>,
    ) {
        let text = error.map(ToString::to_string).unwrap_or_default();
        if text != self.said.error && !text.is_empty() {
            tracing::warn!(error = text, "cannot read the subnet, keeping the last known state");
        }
        self.said.error.clone_from(&text);
        reading.send_modify(|reading| {
            if let Some(read_at) = read_at {
                reading.metagraph_read = read_at;
            }
            reading.error = text;
        });
    }

    /// Reads the metagraph, unless it is `known`, and the allowlist that it names. Returns when the
    /// metagraph was read, if it was.
    async fn read(
        &mut self,
        known: Option<Arc<Metagraph>>,
        head: Head,
        metagraphs: &watch::Sender<Arc<Metagraph>>,
        allowlists: &watch::Sender<Arc<AllowlistHistory>>,
    ) -> (Option<Instant>, Result<(), SubnetError>) {
        let metagraph = match known {
            Some(known) => known,
            None => match self.chain.metagraph(head).await {
                Ok(metagraph) => Arc::new(metagraph),
                Err(error) => return (None, Err(error.into())),
            },
        };
        metagraphs.send_replace(Arc::clone(&metagraph));
        self.watch_for_oddities(&metagraph);
        (Some(Instant::now()), self.lists.take(&metagraph, allowlists).await)
    }

    /// Says what an operator should look at.
    fn watch_for_oddities(&mut self, metagraph: &Metagraph) {
        let owner = metagraph.owner;
        if let Some(before) = self.said.owner.replace(owner).filter(|before| *before != owner) {
            tracing::warn!(%owner, %before, "the subnet has another owner: its allowlist counts from now on");
        }
        let foreign = strangers(metagraph);
        if foreign > 0 && !self.said.strangers {
            tracing::warn!(
                committed = foreign,
                "0 of {foreign} commitments belong to neurons of this subnet"
            );
        }
        self.said.strangers = foreign > 0;
    }
}

impl Lists {
    /// Those that an earlier run kept in `state`.
    fn kept(
        network: Network,
        source: SourceBucket,
        state: State,
    ) -> Result<(Self, AllowlistHistory), SubnetError> {
        let committed: Vec<Committed> = match state.note(HISTORY_NOTE)? {
            None => Vec::new(),
            Some(text) => serde_json::from_str(&text)
                .map_err(|_| StateError::Malformed { what: "allowlist history" })?,
        };
        let mut history = AllowlistHistory::default();
        let mut taken = None;
        for entry in &committed {
            let allowlist = Allowlist::parse(entry.allowlist.as_bytes())?;
            taken = Some((entry.at, allowlist.digest()));
            history.commit(entry.at, allowlist)?;
        }
        let owner = state.note(OWNER_NOTE)?.and_then(|owner| owner.parse().ok());
        let owner = watch::Sender::new(owner);
        Ok((Self { network, source, state, committed, taken, owner }, history))
    }

    /// Takes in the allowlist that the metagraph names, if it is a new one.
    async fn take(
        &mut self,
        metagraph: &Metagraph,
        allowlists: &watch::Sender<Arc<AllowlistHistory>>,
    ) -> Result<(), SubnetError> {
        let newest = committed_allowlist(metagraph)?;
        let PastAllowlist { committed_at, sha256 } = newest;
        let owner = metagraph.owner;
        let is_same_owner = self.owner.borrow().is_none_or(|known| known == owner);
        if is_same_owner && self.taken == Some((committed_at, sha256)) {
            // An older release kept no owner.
            return self.keep_owner(owner).await;
        }
        let allowlist = allowlist_of(&self.source, sha256).await?;
        let (interval, validators) = (allowlist.interval(), allowlist.validators().len());
        // A new owner's lists are a history of their own, whatever the block of their commitments:
        // a validator that joins later knows no other, and both must agree.
        let (mut history, mut all) = if is_same_owner {
            ((**allowlists.borrow()).clone(), self.committed.clone())
        } else {
            (AllowlistHistory::default(), Vec::new())
        };
        // For lists that were committed while we were not watching, rely on the owner's record.
        let last_seen = history.entries().last().map(|entry| entry.allowlist.digest());
        let past = before(&self.source, self.network, &owner, newest, last_seen).await?;
        if past.has_gap {
            tracing::warn!(
                "a list is missing between the newest allowlist and those seen before: forgetting these"
            );
            (history, all) = (AllowlistHistory::default(), Vec::new());
        }
        let seen = all.last().map(|committed| committed.at);
        let new = past.lists.into_iter();
        for (at, past) in new.filter(|(at, _)| seen.is_none_or(|seen| *at > seen)) {
            tracing::info!(sha256 = %past.digest(), block = %at, "past allowlist accepted");
            all.push(Committed { at, allowlist: past.canonical_json() });
            history.commit(at, past)?;
        }
        let kept = Committed { at: committed_at, allowlist: allowlist.canonical_json() };
        history.commit(committed_at, allowlist)?;
        all.push(kept);
        forget(&mut all, metagraph.block);
        let text = serde_json::to_string(&all)
            .map_err(|_| StateError::Malformed { what: "allowlist history" })?;
        self.state.on_disk(move |state| state.set_note(HISTORY_NOTE, &text)).await?;
        (self.committed, self.taken) = (all, Some((committed_at, sha256)));
        tracing::info!(%sha256, interval, validators, block = %committed_at, "allowlist accepted");
        // The lists are written before their owner: after a crash in between they count as another
        // owner's, and are read again.
        allowlists.send_replace(Arc::new(history));
        self.keep_owner(owner).await
    }

    async fn keep_owner(&mut self, owner: Hotkey) -> Result<(), SubnetError> {
        if *self.owner.borrow() != Some(owner) {
            let text = owner.to_string();
            self.state.on_disk(move |state| state.set_note(OWNER_NOTE, &text)).await?;
            self.owner.send_replace(Some(owner));
        }
        Ok(())
    }
}

/// Waits until the chain is `blocks` further than at `head`, within the bounds on a pause.
async fn pause(heads: &mut watch::Receiver<Head>, head: Head, blocks: u64) {
    let target = head.number.0.saturating_add(blocks);
    let moved_on = async {
        tokio::time::sleep(SHORTEST_PAUSE).await;
        if heads.wait_for(|head| head.number.0 >= target).await.is_err() {
            // Heads are followed no longer: the program is stopping.
            std::future::pending::<()>().await;
        }
    };
    let _moved_on_or_not = tokio::time::timeout(LONGEST_PAUSE, moved_on).await;
}

/// How many commitments the chain shows, where none of them belongs to a neuron or to the owner: a
/// sign that they are not read right. 0 otherwise.
fn strangers(metagraph: &Metagraph) -> usize {
    let is_known = |hotkey: &Hotkey| {
        *hotkey == metagraph.owner
            || metagraph.neurons.iter().any(|neuron| neuron.hotkey == *hotkey)
    };
    let is_any_known = !metagraph.commitments.is_empty() || metagraph.plain.keys().any(is_known);
    if is_any_known { 0 } else { metagraph.plain.len() }
}

/// Drops lists under which no task of the last [`KEPT_BLOCKS`] blocks was made.
fn forget(committed: &mut Vec<Committed>, head: BlockNumber) {
    let oldest = head.0.saturating_sub(KEPT_BLOCKS);
    let in_force = committed.iter().rposition(|list| list.at.0 < oldest).unwrap_or(0);
    committed.drain(..in_force);
}

#[cfg(test)]
mod tests;
