//! Waiting for what lies in a producer's bucket, no longer than it can help, and whose fault it is if
//! it does not come.

use std::sync::Arc;
use std::time::Duration;

use leoma_chain::Head;
use leoma_protocol::BlockNumber;
use leoma_protocol::messages::Finding;
use leoma_protocol::verdict::VerifiedVerdict;
use leoma_storage::{PeerBuckets, SourceBucket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::rescoring::Rescored;
use super::withheld::network_works;
use crate::rescoring::{KeptBy, Unread};

/// Pause before a bucket is asked again for what it does not have yet, and the longest one.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest that one file is worked on, whatever the chain does.
pub(super) const LONGEST: Duration = Duration::from_secs(1800);
/// How long bytes that did not come in time are asked for once more, before their producer is held
/// to it.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(20);

/// Where bytes are waited for.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The producers' buckets.
    pub(crate) buckets: Arc<PeerBuckets>,
    /// Read when a peer's bucket does not answer, to tell whether our network works.
    pub(crate) subnet: SourceBucket,
    /// The chain's head.
    pub(crate) heads: watch::Receiver<Head>,
}

impl Waiting {
    /// Whether it is worth asking a bucket again for what it did not give, after a pause that grows:
    /// not in the last block before `patience`.
    pub(super) async fn may_ask_again(
        &self,
        unread: Option<&Unread>,
        pause: &mut Duration,
        patience: BlockNumber,
    ) -> bool {
        let is_worth_it = unread.is_some_and(Unread::may_pass);
        if !is_worth_it || self.heads.borrow().number.0.saturating_add(1) >= patience.0 {
            return false;
        }
        sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// The result of `work`; `None` if it takes so long that no time would be left to attest in.
    pub(super) async fn in_time<T>(
        &self,
        patience: BlockNumber,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut heads = self.heads.clone();
        tokio::select! {
            biased;
            done = timeout_at(until, work) => done.ok(),
            // Without a chain, only the clock ends it.
            Ok(_) = heads.wait_for(|head| head.number >= patience) => None,
        }
    }

    /// The result for bytes that could not be read.
    pub(super) async fn unread(&self, file: &VerifiedVerdict, unread: Unread) -> Rescored {
        let nothing = Finding { passed: false, score: 0 };
        let reason = unread.to_string();
        match unread.kept_by() {
            KeptBy::Producer if matches!(unread, Unread::Contradicts(_)) => {
                Rescored::Differs(nothing, reason)
            }
            KeptBy::Producer => Rescored::Withheld(reason),
            KeptBy::Anyone if network_works(&self.subnet, &self.buckets, file.id).await => {
                Rescored::Withheld(reason)
            }
            KeptBy::Anyone | KeptBy::Us => Rescored::NotChecked(reason),
        }
    }

    /// The same after the time has run out: if the bytes are there by now, the delay was ours.
    pub(super) async fn out_of_time(
        &self,
        file: &VerifiedVerdict,
        unread: Option<Unread>,
    ) -> Rescored {
        match unread {
            Some(unread) => self.unread(file, unread).await,
            None => Rescored::OutOfTime,
        }
    }
}
