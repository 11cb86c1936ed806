//! Our own messages, and those among them that wait for a subscriber.

use std::collections::VecDeque;
use std::time::Duration;

use super::limits::MAX_KEPT_MESSAGES;
use crate::messages::Topic;

/// What became of a message that was to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was sent.
    Sent {
        /// Proven validators that it was sent to directly.
        peers: usize,
    },
    /// No proven validator is subscribed yet. It goes out to the first one that subscribes.
    Kept {
        /// How long it waits.
        keep_for: Duration,
    },
}

#[derive(Debug)]
struct Kept {
    topic: Topic,
    bytes: Vec<u8>,
    until: Duration,
}

/// Waiting messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Kept>);

impl Outbox {
    /// Keeps a message. If the outbox is full, drops the oldest message and returns its topic.
    pub(super) fn keep(&mut self, topic: Topic, bytes: Vec<u8>, until: Duration) -> Option<Topic> {
        let dropped = if self.0.len() >= MAX_KEPT_MESSAGES { self.0.pop_front() } else { None };
        self.0.push_back(Kept { topic, bytes, until });
        dropped.map(|kept| kept.topic)
    }

    /// Takes out the messages of `topic`.
    pub(super) fn take(&mut self, topic: Topic) -> Vec<Vec<u8>> {
        let taken = self.remove(|kept| kept.topic == topic);
        taken.into_iter().map(|kept| kept.bytes).collect()
    }

    /// Drops the messages that waited too long, and returns their topics.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Topic> {
        let late = self.remove(|kept| kept.until <= now);
        late.into_iter().map(|kept| kept.topic).collect()
    }

    fn remove(&mut self, which: impl Fn(&Kept) -> bool) -> VecDeque<Kept> {
        let (removed, left) = std::mem::take(&mut self.0).into_iter().partition(which);
        self.0 = left;
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_for_their_topic_or_their_deadline() {
        let mut outbox = Outbox::default();
        let at = Duration::from_secs;
        assert_eq!(outbox.keep(Topic::Verdict, vec![1], at(10)), None);
        assert_eq!(outbox.keep(Topic::Attestation, vec![2], at(20)), None);
        assert!(outbox.take(Topic::Beacon).is_empty());
        assert_eq!(outbox.take(Topic::Verdict), vec![vec![1]]);
        assert!(outbox.expire(at(19)).is_empty());
        assert_eq!(outbox.expire(at(20)), vec![Topic::Attestation]);
    }

    #[test]
    fn a_full_outbox_drops_its_oldest() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_KEPT_MESSAGES {
            assert_eq!(outbox.keep(Topic::Verdict, vec![], Duration::MAX), None);
        }
        assert_eq!(outbox.keep(Topic::Beacon, vec![], Duration::MAX), Some(Topic::Verdict));
    }
}
