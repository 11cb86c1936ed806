//! What the core knows, for the validator and its operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::holdings::Holdings;
use super::peer::PeerState;
use super::state::Core;
use super::views::{FileView, PeerView};
use super::voice::Voice;
use crate::hello::PeerIdBytes;
use crate::messages::{Attestation, Dispute, Evidence, MinerReport, MinerTally};
use crate::{Digest, FileId, Hotkey};

impl Core {
    /// The hotkey that a connected peer proved, while it is on the allowlist.
    pub fn member(&self, peer: &PeerIdBytes) -> Option<Hotkey> {
        self.peers.get(peer)?.hotkey()
    }

    /// The connected validators: first those that are known to hold the file with this digest.
    pub fn holders(&self, file: &FileId, digest: &Digest) -> Vec<PeerIdBytes> {
        let known: Vec<Hotkey> = self.agreement.holders(file, digest).collect();
        let connected =
            self.peers.iter().filter_map(|(peer, state)| Some((*peer, state.hotkey()?)));
        let (mut first, rest): (Vec<_>, Vec<_>) =
            connected.partition(|(_, hotkey)| known.contains(hotkey));
        first.sort_by_key(|(_, hotkey)| known.iter().position(|holder| holder == hotkey));
        first.into_iter().chain(rest).map(|(peer, _)| peer).collect()
    }

    /// What the validator counts with.
    pub const fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// Everything known about the files of the lookback, ascending.
    pub fn files(&self) -> Vec<FileView> {
        self.agreement.view()
    }

    /// Every counted attestation, signed, in the order of file and digest, so that anybody can
    /// check the count.
    pub fn attestations(&self) -> Vec<Attestation> {
        self.agreement.attestations(self.chain.network).collect()
    }

    /// The evidence of the lookback.
    pub fn evidence(&self) -> Vec<Evidence> {
        self.agreement.all_evidence().cloned().collect()
    }

    /// The disputes of the lookback.
    pub fn disputes(&self) -> Vec<Dispute> {
        self.agreement.all_disputes().cloned().collect()
    }

    /// What the fresh miner reports say of each miner.
    pub fn miner_tally(&self) -> BTreeMap<Hotkey, MinerTally> {
        self.reports.tally(self.chain.head)
    }

    /// The newest miner report of each listed validator, fresh or not.
    pub fn miner_reports(&self) -> Vec<Arc<MinerReport>> {
        self.reports.newest()
    }

    /// The connected peers.
    pub fn peer_views(&self, now: Duration) -> Vec<PeerView> {
        let view = |(peer, state): (&PeerIdBytes, &PeerState)| {
            let hotkey = state.hotkey();
            let sighting = hotkey.and_then(|hotkey| self.links.fresh(&hotkey, now, &self.timing));
            PeerView {
                peer: *peer,
                hotkey,
                address: state.address.clone(),
                outbound: state.outbound,
                mutual: self.is_mutual(peer, now),
                topics: state.topics.iter().copied().collect(),
                score: self.score(peer, hotkey, now),
                head: sighting.and_then(|sighting| sighting.head),
                last_announcement: hotkey.and_then(|hotkey| self.agreement.last_announced(&hotkey)),
            }
        };
        self.peers.iter().map(view).collect()
    }

    /// Whether we may sign for our hotkey.
    pub fn voice(&self) -> Voice {
        if self.ears.hears_double() {
            Voice::Doubled
        } else if self.ears.is_content() {
            Voice::Alone
        } else {
            Voice::Listening
        }
    }

    /// What happened since the start.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The summary of what is held that our beacons carry.
    pub const fn inventory(&self) -> Digest {
        self.agreement.inventory()
    }
}
