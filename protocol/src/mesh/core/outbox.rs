//! Messages that wait for somebody to listen.

use std::collections::VecDeque;
use std::time::Duration;

use super::limits::MAX_KEPT_MESSAGES;
use crate::messages::Topic;

#[derive(Debug)]
struct Kept {
    topic: Topic,
    bytes: Vec<u8>,
    until: Duration,
}

/// Kept messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Kept>);

impl Outbox {
    /// Keeps a message. When full, the oldest gives way and is returned.
    pub(super) fn keep(&mut self, topic: Topic, bytes: Vec<u8>, until: Duration) -> Option<Topic> {
        let dropped = if self.0.len() >= MAX_KEPT_MESSAGES { self.0.pop_front() } else { None };
        self.0.push_back(Kept { topic, bytes, until });
        dropped.map(|kept| kept.topic)
    }

    /// Takes out what waited for listeners of `topic`.
    pub(super) fn take(&mut self, topic: Topic) -> Vec<Vec<u8>> {
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|kept| kept.topic == topic);
        self.0 = left;
        let taken: VecDeque<Kept> = taken;
        taken.into_iter().map(|kept| kept.bytes).collect()
    }

    /// Drops what waited too long.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Topic> {
        let (late, left) =
            std::mem::take(&mut self.0).into_iter().partition(|kept| kept.until <= now);
        self.0 = left;
        let late: VecDeque<Kept> = late;
        late.into_iter().map(|kept| kept.topic).collect()
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
