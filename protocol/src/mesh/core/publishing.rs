//! Publishing our own messages.

use std::time::Duration;

use super::effect::Effect;
use super::mesh_event::MeshEvent;
use super::outbox::Published;
use super::state::Core;
use crate::messages::{Gossip, MessageError, Topic};

impl Core {
    /// Publishes a message of our own, and counts it as every other validator will.
    ///
    /// # Errors
    /// The reason for which every other validator would refuse the message.
    pub fn publish(
        &mut self,
        now: Duration,
        message: Gossip,
    ) -> Result<(Published, Vec<Effect>), MessageError> {
        let context = self.chain.context();
        let (topic, bytes) = message.write()?;
        match message {
            Gossip::Announcement(announcement) => {
                self.agreement.announcement(&context, announcement)?.spread(&mut self.effects);
            }
            Gossip::Attestation(attestation) => {
                self.agreement.attestation(&context, attestation)?.spread(&mut self.effects);
            }
            message => message.verify(&context)?,
        }
        let peers = self.listeners(topic);
        let published = if peers > 0 {
            self.effects.push(Effect::Publish { topic, bytes });
            Published::Sent { peers }
        } else {
            self.keep(now, topic, bytes);
            Published::Kept { keep_for: self.timing.keep_for }
        };
        Ok((published, self.take_effects()))
    }

    pub(super) fn on_not_published(&mut self, now: Duration, topic: Topic, bytes: Vec<u8>) {
        if topic != Topic::Beacon {
            self.keep(now, topic, bytes);
        } // The next beacon says more than a kept one.
    }

    fn keep(&mut self, now: Duration, topic: Topic, bytes: Vec<u8>) {
        if let Some(topic) = self.outbox.keep(topic, bytes, now + self.timing.keep_for) {
            self.tell(MeshEvent::Undelivered { topic });
        }
    }

    /// Publishes what waited for a subscriber of `topic`.
    pub(super) fn release_kept(&mut self, topic: Topic) {
        let kept = self.outbox.take(topic).into_iter();
        self.effects.extend(kept.map(|bytes| Effect::Publish { topic, bytes }));
    }

    /// The number of proven validators that are subscribed to a topic.
    pub(super) fn listeners(&self, topic: Topic) -> usize {
        let subscribed = self.peers.values().filter(|state| state.topics.contains(&topic));
        subscribed.filter(|state| state.session.is_some()).count()
    }
}
