//! What peers may ask, and what is held against them.

use std::time::Duration;

use super::Core;
use super::event::{Effect, MeshEvent, Offence, Parting};
use super::limits::FLOOD_BLAME_GAP;
use super::peers::MEMBER_SCORE;
use super::scores::Verdict;
use crate::hello::PeerIdBytes;

impl Core {
    /// Whether a peer's request may be answered: it is proven, and has not asked too much of late.
    pub(super) fn admits_request(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        let within_rate = state.requests.take(now);
        let proven = state.session.is_some();
        if !within_rate {
            self.flooded(now, peer, out);
        }
        within_rate && proven
    }

    /// A peer says or asks more than it may. Blamed for the moment, not for each message: a burst
    /// that an honest peer passes on is over soon.
    pub(super) fn flooded(&mut self, now: Duration, peer: PeerIdBytes, out: &mut Vec<Effect>) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.flood_blamed.is_none_or(|at| now.saturating_sub(at) >= FLOOD_BLAME_GAP) {
            state.flood_blamed = Some(now);
            self.blame(now, peer, Offence::Flood, out);
        }
    }

    /// Holds something against a peer, and against the hotkey that it proved, and draws the
    /// consequence.
    pub(super) fn blame(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        offence: Offence,
        out: &mut Vec<Effect>,
    ) {
        let mut verdict = self.scores.blame(peer, offence, now);
        let hotkey = self.member(&peer);
        if let Some(hotkey) = hotkey {
            let as_validator = self.validator_scores.blame(hotkey, offence, now);
            if verdict == Verdict::Tolerated && as_validator != Verdict::Tolerated {
                verdict = Verdict::Disconnect;
            }
        }
        let bonus = if hotkey.is_some() { MEMBER_SCORE } else { 0.0 };
        out.push(Effect::Score { peer, score: bonus + self.score(&peer, hotkey, now) });
        match verdict {
            Verdict::Tolerated => {}
            Verdict::Disconnect => {
                if self.peers.contains_key(&peer) {
                    out.push(Effect::Disconnect { peer, parting: Parting::Misbehaviour });
                }
            }
            Verdict::Ban => {
                out.push(Effect::Ban { peer });
                out.push(Effect::Tell(MeshEvent::Banned { peer, hotkey }));
            }
        }
    }
}
