//! The subnet as this validator sees it now: its metagraph, and the allowlists that the owner
//! committed.

use std::sync::Arc;
use std::time::Duration;

use leoma_chain::{ChainClient, ChainError, Head, Metagraph};
use leoma_protocol::{BlockNumber, Digest, PastAllowlist};
use leoma_rotation::{Allowlist, AllowlistError, AllowlistHistory};
use leoma_storage::{Polled, SourceBucket, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::state::{State, StateError};

use super::allowlists::before;

/// How often the metagraph is read: every two blocks of the live chain. A new allowlist takes effect
/// an interval after its commitment, so this is soon enough.
const READ_EVERY: Duration = Duration::from_secs(24);
/// How often it is read before the first allowlist is known: nothing else can start without one.
const FIRST_READ_EVERY: Duration = Duration::from_secs(2);
/// The note in the state that keeps the history over a restart.
const HISTORY_NOTE: &str = "allowlist_history";

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
    NotCommitted { owner: leoma_protocol::Hotkey },
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
}

/// Which allowlist the subnet's owner committed, and when.
///
/// # Errors
/// [`SubnetError::NotCommitted`], and [`SubnetError::Allowlist`] for a commitment that no list can
/// match.
pub fn committed_allowlist(metagraph: &Metagraph) -> Result<PastAllowlist, SubnetError> {
    let owner = metagraph.owner;
    let commitment =
        metagraph.commitments.get(&owner).ok_or(SubnetError::NotCommitted { owner })?;
    let sha256 = leoma_rotation::allowlist::committed_digest(&commitment.text)?;
    Ok(PastAllowlist {
        committed_at: commitment.block,
        sha256: sha256.ok_or(SubnetError::NotCommitted { owner })?,
    })
}

/// The source bucket's allowlist, where it is the committed one.
pub async fn allowlist_of(
    source: &SourceBucket,
    committed: Digest,
) -> Result<Allowlist, SubnetError> {
    match source.allowlist(None).await? {
        Polled::Changed(fetched) => Ok(Allowlist::verify(&fetched.bytes, committed)?),
        _ => Err(SubnetError::NotPublished { committed }),
    }
}

/// Keeps reading the subnet, and tells the rest of the validator what changed.
#[derive(Debug)]
pub struct SubnetReader {
    chain: ChainClient,
    source: SourceBucket,
    state: State,
    committed: Vec<Committed>,
    taken: Option<(BlockNumber, Digest)>,
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
        Ok((Self { chain, source, state, committed, taken }, history))
    }

    /// Reads once and follows in the background until `stop`.
    ///
    /// # Errors
    /// [`SubnetError::Chain`] when not even the first metagraph can be read.
    pub async fn start(
        mut self,
        history: AllowlistHistory,
        heads: watch::Receiver<Head>,
        stop: CancellationToken,
    ) -> Result<Subnet, SubnetError> {
        let head = *heads.borrow();
        let first = Arc::new(self.chain.metagraph(head).await?);
        let (metagraph_sender, metagraph) = watch::channel(first);
        let (allowlist_sender, allowlists) = watch::channel(Arc::new(history));
        tokio::spawn(async move {
            let mut last_error = String::new();
            loop {
                let head = *heads.borrow();
                match self.read(head, &metagraph_sender, &allowlist_sender).await {
                    Ok(()) => last_error.clear(),
                    Err(error) => {
                        // Logged once, not with every read.
                        let text = error.to_string();
                        if text != last_error {
                            tracing::warn!(%error, "cannot read the subnet, keeping the last known state");
                            last_error = text;
                        }
                    }
                }
                let pause = if allowlist_sender.borrow().entries().is_empty() {
                    FIRST_READ_EVERY
                } else {
                    READ_EVERY
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        Ok(Subnet { metagraph, allowlists })
    }

    async fn read(
        &mut self,
        head: Head,
        metagraphs: &watch::Sender<Arc<Metagraph>>,
        allowlists: &watch::Sender<Arc<AllowlistHistory>>,
    ) -> Result<(), SubnetError> {
        let metagraph = Arc::new(self.chain.metagraph(head).await?);
        metagraphs.send_replace(Arc::clone(&metagraph));
        let newest = committed_allowlist(&metagraph)?;
        let PastAllowlist { committed_at, sha256 } = newest;
        if self.taken == Some((committed_at, sha256)) {
            return Ok(());
        }
        let allowlist = allowlist_of(&self.source, sha256).await?;
        let (interval, validators) = (allowlist.interval(), allowlist.validators().len());
        let mut history = (**allowlists.borrow()).clone();
        // For lists that were committed while we were not watching, the owner's record must do.
        let mut all = self.committed.clone();
        let seen = all.last().map(|committed| committed.at);
        let past = before(&self.source, self.chain.network(), &metagraph.owner, newest).await?;
        for (at, past) in past.into_iter().filter(|(at, _)| seen.is_none_or(|seen| *at > seen)) {
            tracing::info!(sha256 = %past.digest(), block = %at, "past allowlist accepted");
            all.push(Committed { at, allowlist: past.canonical_json() });
            history.commit(at, past)?;
        }
        let kept = Committed { at: committed_at, allowlist: allowlist.canonical_json() };
        history.commit(committed_at, allowlist)?;
        all.push(kept);
        let text = serde_json::to_string(&all)
            .map_err(|_| StateError::Malformed { what: "allowlist history" })?;
        self.state.set_note(HISTORY_NOTE, &text)?;
        (self.committed, self.taken) = (all, Some((committed_at, sha256)));
        tracing::info!(%sha256, interval, validators, block = %committed_at, "allowlist accepted");
        allowlists.send_replace(Arc::new(history));
        Ok(())
    }
}
