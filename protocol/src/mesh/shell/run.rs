//! Starting the mesh, its loop, and stopping it.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::PeerId;
use libp2p::metrics::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::state::{KAD_WALK, Outlets, Shell, to_bytes};
use crate::mesh::config::{MeshConfig, MeshError};
use crate::mesh::core::{Event, MeshEvent, Offence, Voice};
use crate::mesh::handle::{Command, MAX_WAITING_COMMANDS, MeshHandle};
use crate::mesh::transport::{Admitted, swarm};

/// Events that wait for the validator in the channel.
const MAX_WAITING_EVENTS: usize = 64;
/// How far a peer's score in gossipsub may fall below the one we gave it before we blame the peer:
/// four messages that gossipsub refused on its own.
const GOSSIP_PENALTY: f64 = 75.0;
/// How long to wait for connections to close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Starts meshes.
#[derive(Debug)]
pub struct Mesh;

impl Mesh {
    /// Starts a mesh on the current tokio runtime. It ends when it is shut down, or when its handle
    /// and all clones are dropped.
    ///
    /// # Errors
    /// [`MeshError::Listen`], [`MeshError::Transport`], [`MeshError::Gossip`].
    pub fn spawn(config: MeshConfig) -> Result<(MeshHandle, mpsc::Receiver<MeshEvent>), MeshError> {
        Self::spawn_counted(config, &mut Registry::default())
    }

    /// The same, with the mesh's traffic in bytes counted in `registry`.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn spawn_counted(
        config: MeshConfig,
        registry: &mut Registry,
    ) -> Result<(MeshHandle, mpsc::Receiver<MeshEvent>), MeshError> {
        let admitted = Admitted::default();
        let mut swarm = swarm(&config, &admitted, registry)?;
        for address in &config.listen {
            let listening = swarm.listen_on(address.clone());
            listening.map_err(|error| MeshError::of_listening(address, &error))?;
        }
        for address in &config.external {
            swarm.add_external_address(address.clone());
        }
        let peer = to_bytes(swarm.local_peer_id()).ok_or(MeshError::Address)?;
        let (commands, waiting_commands) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let (voice, heard_voice) = watch::channel(Voice::Listening);
        let (holdings, seen_holdings) = watch::channel(Default::default());
        let handle = MeshHandle {
            commands,
            network: config.network,
            signer: config.signer.clone(),
            peer,
            voice: heard_voice,
            holdings: seen_holdings,
        };
        let outlets = Outlets { events, voice, holdings };
        let shell = Shell::new(config, swarm, peer, admitted, outlets);
        tokio::spawn(shell.run(waiting_commands));
        Ok((handle, receiver))
    }
}

impl Shell {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.outlets.events.clone();
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = commands.recv() => match command {
                    Some(Command::Shutdown(done)) => {
                        self.close().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.on_command(command),
                    None => return self.close().await,
                },
                _ = ticks.tick() => self.tick(),
                permit = events.reserve(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody listens to events; commands still work.
                        _ => self.backlog.clear(),
                    }
                }
            }
        }
    }

    /// Closes every connection, so that peers know at once.
    async fn close(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, closed).await;
    }

    fn tick(&mut self) {
        self.feed(Event::Tick);
        self.notice_conduct();
        self.listen_through_relays();
        self.close_retired();
        self.punch_again();
        if self.now() >= self.next_walk {
            self.next_walk = self.now() + KAD_WALK;
            // An error means that no peer is known yet.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
        }
    }

    /// Blames peers for what gossipsub dealt with on its own: messages that it refused, broken
    /// protocol rules, floods.
    fn notice_conduct(&mut self) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let mut blamed: Vec<_> =
            gossip.take_flooding().into_iter().map(|peer| (peer, Offence::Flood)).collect();
        for (peer, known) in &mut self.acquaintances {
            let penalty = known.score - gossip.peer_score(peer).unwrap_or(known.score);
            if penalty > known.penalty + GOSSIP_PENALTY {
                known.penalty = penalty;
                blamed.push((*peer, Offence::InvalidGossip));
            }
        }
        for (peer, offence) in blamed {
            if let Some(peer) = to_bytes(&peer) {
                self.feed(Event::Misbehaved { peer, offence });
            }
        }
    }

    fn listen_through_relays(&mut self) {
        let (now, swarm, core) = (self.now(), &mut self.swarm, &self.core);
        let proven =
            |peer: &PeerId| to_bytes(peer).is_some_and(|peer| core.member(&peer).is_some());
        self.vias.listen(now, proven, |address| match swarm.listen_on(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(%error, "failed to listen through a relay");
                None
            }
        });
    }
}
