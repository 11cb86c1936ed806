//! What the validator asks of the mesh.

use super::state::{Shell, to_peer_id};
use crate::mesh::core::{Effect, Event, Offence};
use crate::mesh::handle::Command;
use crate::mesh::status::{MeshStatus, PeerStatus};
use crate::mesh::transport::VerdictRequest;
use crate::messages::Evidence;

/// Verdict files that are fetched at a time.
const MAX_FETCHES: usize = 64;

impl Shell {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(message, reply) => {
                let published = self.core.publish(self.now(), *message);
                let published = published.map(|(published, effects)| {
                    self.carry_out_all(effects);
                    published
                });
                let _ = reply.send(published);
            }
            Command::MayAttest(task, reply) => drop(reply.send(self.core.may_attest(task))),
            Command::Envelope(signed) => match self.core.show_envelope(*signed) {
                Ok(effects) => self.carry_out_all(effects),
                Err(error) => tracing::debug!(%error, "ignoring an envelope that does not count"),
            },
            Command::Allowlists(lists) => self.feed(Event::Allowlists(lists)),
            Command::Head(head) => {
                self.head = head;
                self.feed(Event::Head(head));
            }
            Command::Dial(address) => self.feed(Event::DialTo { address }),
            Command::Forget(address) => self.feed(Event::DialNoMore { address }),
            Command::Grant(grant) => self.feed(Event::GrantChanged(grant)),
            Command::Provide(file, digest, bytes) => self.held.insert(file, digest, bytes),
            Command::Holders(file, digest, reply) => {
                drop(reply.send(self.core.holders(&file, &digest)))
            }
            Command::FetchFrom(peer, file, digest, reply) => match to_peer_id(&peer) {
                Some(peer) if self.fetches.len() < MAX_FETCHES => {
                    let request = VerdictRequest { file, digest };
                    let id = self.swarm.behaviour_mut().verdict.send_request(&peer, Ok(request));
                    self.fetches.insert(id, reply);
                }
                _ => drop(reply.send(None)),
            },
            Command::BlameForVerdict(peer) => {
                self.feed(Event::Misbehaved { peer, offence: Offence::BadVerdict });
            }
            Command::Attestations(reply) => drop(reply.send(self.core.attestations())),
            Command::Evidence(reply) => drop(reply.send(self.core.evidence())),
            Command::Disputes(reply) => drop(reply.send(self.core.disputes())),
            Command::MinerTally(reply) => drop(reply.send(self.core.miner_tally())),
            Command::MinerReports(reply) => drop(reply.send(self.core.miner_reports())),
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Shutdown(_) => {}
        }
    }

    fn carry_out_all(&mut self, effects: Vec<Effect>) {
        self.show_state();
        for effect in effects {
            if let Some(event) = self.carry_out(effect) {
                self.feed(event);
            }
        }
    }

    fn status(&self) -> MeshStatus {
        let peers = self.core.peer_views(self.now()).into_iter().map(|view| {
            let known = to_peer_id(&view.peer).and_then(|peer| self.acquaintances.get(&peer));
            PeerStatus {
                rtt_ms: known.and_then(|known| known.rtt).map(|rtt| rtt.as_secs_f64() * 1000.0),
                agent: known.and_then(|known| known.agent.clone()),
                relayed: known.is_some_and(|known| known.connections.are_relayed()),
                view,
            }
        });
        MeshStatus {
            peer: self.peer,
            hotkey: self.hotkey,
            head: self.head,
            voice: self.core.voice(),
            peers: peers.collect(),
            listening: self.own_addresses(),
            files: self.core.files(),
            evidence: self.core.evidence().iter().map(Evidence::key).collect(),
            miners: self.core.miner_tally(),
            dropped_events: self.backlog.dropped(),
            counts: self.core.counts().clone(),
        }
    }
}
