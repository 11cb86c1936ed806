//! Publishing our own messages.

use std::time::Duration;

use super::effect::Effect;
use super::mesh_event::MeshEvent;
use super::outbox::Published;
use super::state::Core;
use crate::TaskId;
use crate::messages::{Attestation, Gossip, MessageError, Topic};
use crate::verdict::SignedEnvelope;

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
        let (topic, bytes) = message.write()?;
        if let Gossip::Attestation(Attestation { attester, file, .. }) = &message
            && *attester == self.hotkey
        {
            self.chain.check_in_time(file.task_id)?;
        }
        self.take_message(now, message)?;
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

    /// Takes in the envelope of a file that we found and that its producer did not announce. If it
    /// contradicts an announcement, the two are published as evidence.
    ///
    /// # Errors
    /// The reason for which nobody would count the envelope.
    pub fn show_envelope(&mut self, signed: SignedEnvelope) -> Result<Vec<Effect>, MessageError> {
        self.agreement.envelope(&self.chain.context(), signed)?.spread(&mut self.effects);
        Ok(self.take_effects())
    }

    /// Whether an attestation of ours to a file of this task would come in time.
    ///
    /// # Errors
    /// [`MessageError::TooLate`], [`MessageError::TaskOutOfRange`].
    pub fn may_attest(&self, task: TaskId) -> Result<(), MessageError> {
        self.chain.check_in_time(task)
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
