//! Following the newest final block of all nodes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::ChainClient;
use super::member::Member;
use crate::error::{ChainError, Result};
use crate::head::Head;

/// A node whose head does not change for this long has failed: five blocks of the live chain.
/// Together with the timeout of an unanswered dial, another node is in use within two minutes.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// The shortest such time, for chains with fast blocks: longer than a slot of the live chain.
const SHORTEST_STALL: Duration = Duration::from_secs(15);
/// Blocks that may be missed before a head has stalled.
const STALL_BLOCKS: u32 = 5;
/// Heads after which a connection has shown that it works; the first one comes at once.
const WORKING_HEADS: u32 = 2;
/// Heads after which a chain's pace is known; the first ones may come in a burst.
const PACE_HEADS: u32 = 20;
/// One or two nodes can claim any head. Once the node that did so is dropped, heads this many
/// blocks lower are believed again: an hour of the live chain.
const REWIND_BLOCKS: u64 = 300;

impl ChainClient {
    /// Follows final blocks in the background until `stop`; the receiver always holds the newest
    /// one.
    ///
    /// # Errors
    /// [`ChainError`] when not even the first block can be read.
    pub async fn follow_heads(&self, stop: CancellationToken) -> Result<watch::Receiver<Head>> {
        let first = self.head().await?;
        let (sender, receiver) = watch::channel(first);
        let sender = Arc::new(sender);
        for index in 0..self.inner.members.len() {
            let (client, sender, stop) = (self.clone(), Arc::clone(&sender), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = client.follow_member(index, &sender) => {}
                }
            });
        }
        Ok(receiver)
    }

    /// Follows one node for ever, and connects again whenever its stream ends or falls silent.
    async fn follow_member(&self, index: usize, sender: &watch::Sender<Head>) {
        let member = &self.inner.members[index];
        loop {
            let error = match self.forward_heads(member, sender).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            // The next dial waits for its time.
            member.lost(&error);
            tracing::warn!(endpoint = member.name, %error, "lost a chain endpoint, reconnecting");
        }
    }

    async fn forward_heads(
        &self,
        member: &Member,
        sender: &watch::Sender<Head>,
    ) -> Result<std::convert::Infallible> {
        const WHAT: &str = "new blocks";
        let chain = member.open(Some(self.inner.network.genesis)).await?;
        let mut heads = chain.heads().await?;
        let begun = Instant::now();
        let mut count: u32 = 0;
        loop {
            let stall = stall_limit(begun.elapsed(), count);
            let ended = || ChainError::Read { what: WHAT, reason: "the stream ended".to_owned() };
            let head = match tokio::time::timeout(stall, heads.next()).await {
                Ok(head) => head.ok_or_else(ended)??,
                Err(_) => {
                    return Err(ChainError::Read {
                        what: WHAT,
                        reason: format!("none for {} s", stall.as_secs()),
                    });
                }
            };
            member.answered();
            member.state().head = Some(head);
            count = count.saturating_add(1);
            if count >= WORKING_HEADS {
                member.works();
            }
            self.publish(sender);
        }
    }

    /// Publishes the newest head that is believed. A lagging node must not move it back.
    pub(super) fn publish(&self, sender: &watch::Sender<Head>) {
        let members = &self.inner.members;
        let heads = members.iter().filter_map(Member::head).collect();
        let Some(newest) = Head::believed(members.len(), heads) else {
            return;
        };
        sender.send_if_modified(|current| {
            // Unless a node was dropped, one so far behind is still synchronising.
            let was_made_up = self.inner.members.iter().any(Member::is_banned)
                && newest.number.0.saturating_add(REWIND_BLOCKS) < current.number.0;
            if was_made_up {
                tracing::warn!(block = %newest.number, was = %current.number, "no remaining chain endpoint knows the newest block, going back to an older one");
            }
            let is_news = newest.number > current.number || was_made_up;
            if is_news {
                *current = newest;
            }
            is_news
        });
    }
}

/// How long the next head may take, after `count` of them in `elapsed`.
fn stall_limit(elapsed: Duration, count: u32) -> Duration {
    if count < PACE_HEADS {
        return STALLED_AFTER;
    }
    (elapsed / count).saturating_mul(STALL_BLOCKS).clamp(SHORTEST_STALL, STALLED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_stalled_after_five_blocks_of_the_chains_own_pace() {
        for (seconds, count, limit) in [
            (0, 0, 60),
            // A burst at the beginning does not measure the pace.
            (1, 10, 60),
            (12 * 20, 20, 60),
            (6 * 40, 40, 30),
            // Fast chains and bursts: never less than a slot of the live chain.
            (10, 40, 15),
            (0, 1000, 15),
        ] {
            assert_eq!(
                stall_limit(Duration::from_secs(seconds), count),
                Duration::from_secs(limit),
                "{seconds} {count}"
            );
        }
    }
}
