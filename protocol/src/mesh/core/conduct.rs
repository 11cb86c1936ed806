//! What peers may ask for, and what misbehaviour leads to.

use std::time::Duration;

use super::effect::{Effect, Parting};
use super::event::Offence;
use super::limits::FLOOD_BLAME_GAP;
use super::mesh_event::MeshEvent;
use super::peer::MEMBER_SCORE;
use super::scores::Consequence;
use super::state::Core;
use crate::Hotkey;
use crate::hello::PeerIdBytes;

impl Core {
    /// Whether a peer's request may be answered: the peer is proven and within its rate.
    pub(super) fn admits_request(&mut self, now: Duration, peer: PeerIdBytes) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        let within_rate = state.requests.take(now);
        let proven = state.session.is_some();
        if !within_rate {
            self.flooded(now, peer);
        }
        within_rate && proven
    }

    /// A peer sends or asks for more than it may. It is blamed once in a while, not for each
    /// message: a burst that an honest peer passes on is over soon.
    pub(super) fn flooded(&mut self, now: Duration, peer: PeerIdBytes) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.flood_blamed.is_none_or(|at| now.saturating_sub(at) >= FLOOD_BLAME_GAP) {
            state.flood_blamed = Some(now);
            self.blame(now, peer, Offence::Flood);
        }
    }

    /// Blames a peer and the hotkey that it proved, and acts on the result.
    pub(super) fn blame(&mut self, now: Duration, peer: PeerIdBytes, offence: Offence) {
        let mut consequence = self.scores.blame(peer, offence, now);
        let hotkey = self.member(&peer);
        if let Some(hotkey) = hotkey {
            let as_validator = self.validator_scores.blame(hotkey, offence, now);
            if consequence == Consequence::Tolerated && as_validator != Consequence::Tolerated {
                consequence = Consequence::Disconnect;
            }
        }
        let bonus = if hotkey.is_some() { MEMBER_SCORE } else { 0.0 };
        self.effects.push(Effect::Score { peer, score: bonus + self.score(&peer, hotkey, now) });
        match consequence {
            Consequence::Tolerated => {}
            Consequence::Disconnect => {
                if self.peers.contains_key(&peer) {
                    self.effects.push(Effect::Disconnect { peer, parting: Parting::Misbehaviour });
                }
            }
            Consequence::Ban => {
                self.effects.push(Effect::Ban { peer });
                self.tell(MeshEvent::Banned { peer, hotkey });
            }
        }
    }

    /// The worse of a peer's score and its hotkey's.
    pub(super) fn score(&self, peer: &PeerIdBytes, hotkey: Option<Hotkey>, now: Duration) -> f64 {
        let as_validator = hotkey.map_or(0.0, |hotkey| self.validator_scores.value(&hotkey, now));
        self.scores.value(peer, now).min(as_validator)
    }
}
