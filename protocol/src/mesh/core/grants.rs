//! Access grants: sent to proven validators only.

use std::time::Duration;

use super::effect::Effect;
use super::event::Token;
use super::mesh_event::MeshEvent;
use super::state::Core;
use crate::GrantBytes;
use crate::hello::PeerIdBytes;

/// First wait before a refused grant is offered again; doubles up to a minute.
const GRANT_RETRY: Duration = Duration::from_secs(1);
const GRANT_RETRY_MOST: Duration = Duration::from_secs(60);

impl Core {
    pub(super) fn on_grant_changed(&mut self, grant: Option<GrantBytes>) {
        self.grant = grant;
        self.grant_version += 1;
        let members: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, state)| state.session.is_some())
            .map(|(p, _)| *p)
            .collect();
        for peer in members {
            self.offer_grant(peer);
        }
    }

    /// Sends our grant to a proven validator that does not have it.
    pub(super) fn offer_grant(&mut self, peer: PeerIdBytes) {
        let (Some(grant), Some(state)) = (&self.grant, self.peers.get_mut(&peer)) else { return };
        if state.session.is_some() && state.grant_version != self.grant_version {
            state.grant_version = self.grant_version;
            self.effects.push(Effect::SendGrant { peer, grant: grant.clone() });
        }
    }

    pub(super) fn on_grant(
        &mut self,
        now: Duration,
        peer: PeerIdBytes,
        token: Token,
        grant: GrantBytes,
    ) {
        let from = if self.admits_request(now, peer) { self.member(&peer) } else { None };
        self.effects.push(Effect::AnswerGrant { token, taken: from.is_some() });
        if let Some(from) = from {
            self.tell(MeshEvent::Grant { from, payload: grant });
        }
    }

    pub(super) fn on_grant_answered(&mut self, now: Duration, peer: PeerIdBytes, taken: bool) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if taken {
            state.grant_retry = None;
        } else {
            let wait =
                state.grant_retry.map_or(GRANT_RETRY, |(_, wait)| (wait * 2).min(GRANT_RETRY_MOST));
            state.grant_retry = Some((now + wait, wait));
        }
    }

    pub(super) fn retry_grants(&mut self, now: Duration) {
        let due = |retry: Option<(Duration, Duration)>| retry.is_some_and(|(at, _)| at <= now);
        let peers: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, state)| due(state.grant_retry))
            .map(|(p, _)| *p)
            .collect();
        for peer in peers {
            if let Some(state) = self.peers.get_mut(&peer) {
                // No retry is due until the answer arrives. The length of the wait is kept for the
                // next one.
                state.grant_retry = state.grant_retry.map(|(_, wait)| (Duration::MAX, wait));
                state.grant_version = 0;
            }
            self.offer_grant(peer);
        }
    }
}
