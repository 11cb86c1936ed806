//! What peers did wrong, and for how long that counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Offence;
use super::limits::MAX_SCORES;

/// At or below this, a peer is disconnected and its hello refused.
const DISCONNECT_AT: f64 = -20.0;
/// At or below this, its connections are refused before they are made.
const BAN_AT: f64 = -50.0;
/// Time in which a bad score halves.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// No score falls below this, so that no ban lasts much longer than half an hour.
const WORST: f64 = -200.0;
/// A score this close to zero is forgotten.
const FORGOTTEN: f64 = -0.1;

impl Offence {
    /// How much the score falls. A single forged message never bans: a bug or a bit flip must not
    /// split the mesh.
    const fn penalty(self) -> f64 {
        match self {
            Self::ForgedHello => 20.0,
            Self::BadVerdict | Self::MalformedRequest => 10.0,
            Self::InvalidGossip | Self::NoHello => 5.0,
            // So little that a validator that retries until it is on the list is not banned for it.
            Self::InnocentRefusal | Self::Flood => 1.0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Score {
    value: f64,
    at: Duration,
    banned: bool,
}

impl Score {
    fn value(&self, now: Duration) -> f64 {
        let half_lives = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.value * (-half_lives).exp2()
    }
}

/// What an offence leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    Tolerated,
    Disconnect,
    Ban,
}

/// Scores by peer id, or by hotkey. New peer ids cost nothing, so a validator's hotkey is blamed
/// too; connection limits hold off strangers.
#[derive(Debug)]
pub(super) struct Scores<Who>(BTreeMap<Who, Score>);

impl<Who> Default for Scores<Who> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Who: Copy + Ord> Scores<Who> {
    pub(super) fn value(&self, peer: &Who, now: Duration) -> f64 {
        self.0.get(peer).map_or(0.0, |score| score.value(now))
    }

    /// Whether the peer's connections are refused.
    pub(super) fn is_banned(&self, peer: &Who) -> bool {
        self.0.get(peer).is_some_and(|score| score.banned)
    }

    pub(super) fn is_shunned(&self, peer: &Who, now: Duration) -> bool {
        self.value(peer, now) <= DISCONNECT_AT
    }

    /// Takes note of an offence. Returns [`Consequence::Ban`] once for each ban.
    pub(super) fn blame(&mut self, peer: Who, offence: Offence, now: Duration) -> Consequence {
        if !self.0.contains_key(&peer) && self.0.len() >= MAX_SCORES {
            // The best unbanned score gives way, so that strangers with fresh ids cannot push out a
            // ban.
            let candidates = self.0.iter().filter(|(_, score)| !score.banned);
            let mildest = candidates
                .max_by(|a, b| a.1.value(now).total_cmp(&b.1.value(now)))
                .map(|(peer, _)| *peer);
            match mildest {
                Some(mildest) => drop(self.0.remove(&mildest)),
                None => return Consequence::Disconnect,
            }
        }
        let score = self.0.entry(peer).or_insert(Score { value: 0.0, at: now, banned: false });
        score.value = (score.value(now) - offence.penalty()).max(WORST);
        score.at = now;
        if score.value <= BAN_AT && !score.banned {
            score.banned = true;
            Consequence::Ban
        } else if score.value <= DISCONNECT_AT {
            Consequence::Disconnect
        } else {
            Consequence::Tolerated
        }
    }

    /// Forgets what is long past. Returns those whose ban has ended.
    pub(super) fn decay(&mut self, now: Duration) -> Vec<Who> {
        let mut freed = Vec::new();
        self.0.retain(|peer, score| {
            let value = score.value(now);
            if score.banned && value > DISCONNECT_AT {
                score.banned = false;
                freed.push(*peer);
            }
            value < FORGOTTEN
        });
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::PeerIdBytes;

    #[test]
    fn offences_add_up_to_a_ban_that_ends() {
        let mut scores = Scores::default();
        let peer = PeerIdBytes::new(&[1]).unwrap();
        let now = Duration::from_secs(5);
        let consequences: Vec<_> =
            (0..12).map(|_| scores.blame(peer, Offence::InvalidGossip, now)).collect();
        assert_eq!(
            consequences.iter().filter(|consequence| **consequence == Consequence::Ban).count(),
            1
        );
        assert_eq!(consequences[2], Consequence::Tolerated);
        assert_eq!(consequences[3], Consequence::Disconnect);
        assert!(scores.is_shunned(&peer, now));
        assert!(scores.decay(now + Duration::from_secs(60)).is_empty());
        let later = now + Duration::from_secs(1200);
        assert_eq!(scores.decay(later), vec![peer]);
        assert!(!scores.is_shunned(&peer, later));
        assert!(scores.decay(now + Duration::from_secs(100_000)).is_empty());
        assert!(scores.0.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_bans_stay() {
        let mut scores = Scores::default();
        let peer = |n: usize| PeerIdBytes::new(&n.to_be_bytes()).unwrap();
        let now = Duration::ZERO;
        for _ in 0..3 {
            let _ = scores.blame(peer(0), Offence::ForgedHello, now);
        }
        for n in 1..=MAX_SCORES * 2 {
            let _ = scores.blame(peer(n), Offence::Flood, now);
        }
        assert_eq!(scores.0.len(), MAX_SCORES);
        assert!(scores.is_shunned(&peer(0), now));
    }
}
