//! What validators do that do not keep to the rules.

use leoma_protocol::codec::Wire as _;
use leoma_protocol::messages::Topic;
use rand::Rng as _;

use super::{TASKS, World, file_of, forgetful, network};

/// Messages of a flood: half as many again as one peer may send at once.
const FLOOD: u64 = 3000;

impl World {
    pub(super) fn mischief(&mut self, who: usize) {
        let links: Vec<usize> = self.members[who].links.iter().copied().collect();
        match self.rng.random_range(0..5) {
            0 => {
                let task = TASKS[self.rng.random_range(0..TASKS.len())];
                self.equivocate(who, task);
            }
            1 => self.attest_to_both(who, &links),
            2 => {
                self.faults.replays += 1;
                for message in self.recorded.clone() {
                    links.iter().for_each(|to| self.gossip(who, *to, &message));
                }
            }
            3 => self.forge(who, &links),
            _ => {
                self.faults.floods += 1;
                let Some(victim) = links.first() else { return };
                if self.flood.is_empty() {
                    let bytes = |number: u64| number.to_be_bytes().to_vec();
                    self.flood = (0..FLOOD)
                        .map(|number| self.message(Topic::Attestation, bytes(number)))
                        .collect();
                }
                for message in std::mem::take(&mut self.flood) {
                    self.gossip(who, *victim, &message);
                    self.flood.push(message);
                }
            }
        }
    }

    /// Somebody's message with one bit turned.
    fn forge(&mut self, who: usize, links: &[usize]) {
        self.faults.forgeries += 1;
        if self.recorded.is_empty() {
            return;
        }
        let chosen = self.rng.random_range(0..self.recorded.len());
        let (topic, mut bytes) =
            (self.recorded[chosen].topic, self.recorded[chosen].bytes.to_vec());
        let place = self.rng.random_range(0..bytes.len());
        bytes[place] ^= 1 << self.rng.random_range(0..8);
        let message = self.message(topic, bytes);
        links.iter().for_each(|to| self.gossip(who, *to, &message));
    }

    /// Two files for one task, one half told of each.
    pub(super) fn equivocate(&mut self, who: usize, task: u64) {
        self.faults.equivocations += 1;
        let told = [&b"one file"[..], b"another file"].map(|content| {
            let announcement =
                forgetful(who).sign_announcement(network(), &file_of(who, task, content)).unwrap();
            self.message(Topic::Verdict, announcement.to_wire().unwrap())
        });
        for to in self.members[who].links.clone() {
            let which = usize::from(self.rng.random::<bool>());
            self.gossip(who, to, &told[which]);
        }
    }

    /// Attests to two digests of every file that liars made, each half told of one, or all of both.
    fn attest_to_both(&mut self, who: usize, links: &[usize]) {
        self.faults.double_attestations += 1;
        for liar in 0..self.setup.byzantine {
            for task in TASKS {
                let both = [&b"one file"[..], b"another file"].map(|content| {
                    let file = file_of(liar, task, content);
                    let attestation =
                        forgetful(who).sign_attestation(network(), file.id, file.digest).unwrap();
                    self.message(Topic::Attestation, attestation.to_wire().unwrap())
                });
                for to in links {
                    let which = usize::from(self.rng.random::<bool>());
                    self.gossip(who, *to, &both[which]);
                }
            }
        }
    }
}
