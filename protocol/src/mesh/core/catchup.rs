//! Catching up: pages of announcements, attestations and evidence from peers that hold what we do
//! not.
//!
//! Every beacon carries a summary of what its sender holds. A validator that holds something else
//! asks for up to [`MAX_PAGES`] pages, one after the other, and less often while it learns nothing
//! new. A lost message, a partition and a day's absence all heal this way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::{CATCHUP_TURN, MAX_CATCHUPS, MAX_PAGE_BYTES, MAX_PAGES, Timing};
use crate::FileId;
use crate::codec::{Decode, Encode, wire};
use crate::hello::PeerIdBytes;
use crate::messages::{Announcement, Evidence, EvidenceKey, Tally};

/// Asks for what comes after these; `None` means from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CatchupRequest {
    /// The last file of the page before.
    pub after_file: Option<FileId>,
    /// The last evidence of the page before.
    pub after_evidence: Option<EvidenceKey>,
}
wire!(CatchupRequest, 256);

/// What a peer knows about one file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileState {
    /// Which file.
    pub file: FileId,
    /// At most two announcements, of different digests.
    pub announcements: Vec<Announcement>,
    /// Attestations by digest.
    pub tallies: Vec<Tally>,
}

/// A page: files ascending, and evidence ascending after the last file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CatchupPage {
    /// Files after the requested one.
    pub files: Vec<FileState>,
    /// Evidence after the requested one.
    pub evidence: Vec<Evidence>,
    /// Whether there is another page.
    pub more: bool,
}
wire!(CatchupPage, MAX_PAGE_BYTES);

impl CatchupPage {
    /// Where the next page begins; `None` if there is none, or if this page does not get beyond
    /// `request`.
    fn next(&self, request: &CatchupRequest) -> Option<CatchupRequest> {
        let mut next = *request;
        if let Some(last) = self.files.last() {
            next.after_file = Some(last.file);
        }
        if let Some(last) = self.evidence.last() {
            next.after_evidence = Some(last.key());
        }
        let moves =
            next.after_file >= request.after_file && next.after_evidence >= request.after_evidence;
        (self.more && moves && next != *request).then_some(next)
    }
}

#[derive(Debug)]
struct Pause {
    until: Duration,
    length: Duration,
}

#[derive(Debug)]
struct UnderWay {
    request: CatchupRequest,
    pages: u32,
    learnt: bool,
    since: Duration,
}

/// The catch-ups under way, and when the next may begin.
#[derive(Debug, Default)]
pub(super) struct Catchups {
    pauses: BTreeMap<PeerIdBytes, Pause>,
    under_way: BTreeMap<PeerIdBytes, UnderWay>,
}

impl Catchups {
    /// Begins a catch-up with a peer that holds something else, if it is time.
    pub(super) fn begin(&mut self, peer: PeerIdBytes, now: Duration) -> Option<CatchupRequest> {
        let early = self.pauses.get(&peer).is_some_and(|pause| now < pause.until);
        if early || self.under_way.contains_key(&peer) {
            return None;
        }
        if self.under_way.len() >= MAX_CATCHUPS {
            let longest = self.under_way.iter().min_by_key(|(_, under_way)| under_way.since);
            let (longest, since) = longest.map(|(peer, under_way)| (*peer, under_way.since))?;
            if now.saturating_sub(since) < CATCHUP_TURN {
                return None;
            }
            // The slow peer's pages are not expected any more. It waits, so that the others get
            // their turn.
            self.under_way.remove(&longest);
            self.pauses.insert(longest, Pause { until: now + CATCHUP_TURN, length: CATCHUP_TURN });
        }
        let request = CatchupRequest::default();
        self.under_way.insert(peer, UnderWay { request, pages: 0, learnt: false, since: now });
        Some(request)
    }

    /// Takes note of a page that was handled, or that did not arrive. Returns what to ask for next.
    pub(super) fn paged(
        &mut self,
        peer: PeerIdBytes,
        page: Option<&CatchupPage>,
        learnt: bool,
        now: Duration,
        timing: &Timing,
    ) -> Option<CatchupRequest> {
        let under_way = self.under_way.get_mut(&peer)?;
        under_way.pages += 1;
        under_way.learnt |= learnt;
        let next = page
            .and_then(|page| page.next(&under_way.request))
            .filter(|_| under_way.pages < MAX_PAGES);
        if let Some(next) = next {
            under_way.request = next;
            return Some(next);
        }
        let learnt = under_way.learnt;
        self.under_way.remove(&peer);
        let before = self.pauses.get(&peer).map_or(timing.catchup_pause, |pause| pause.length);
        let length =
            if learnt { timing.catchup_pause } else { (before * 2).min(timing.catchup_pause * 32) };
        self.pauses.insert(peer, Pause { until: now + length, length });
        None
    }

    /// Whether a page from this peer is expected.
    pub(super) fn expects(&self, peer: &PeerIdBytes) -> bool {
        self.under_way.contains_key(peer)
    }

    /// We and the peer hold the same, so the next difference is a new one.
    pub(super) fn agrees(&mut self, peer: &PeerIdBytes) {
        self.pauses.remove(peer);
    }

    /// The peer disconnected, or is not to be asked any further.
    pub(super) fn lost(&mut self, peer: &PeerIdBytes) {
        self.under_way.remove(peer);
        self.pauses.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hotkey, TaskId};

    fn page(task: u64, more: bool) -> CatchupPage {
        let file = FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
        CatchupPage {
            files: vec![FileState { file, announcements: vec![], tallies: vec![] }],
            evidence: vec![],
            more,
        }
    }

    #[test]
    fn pages_follow_one_another_until_the_last_or_one_that_stands_still() {
        let (mut catchups, timing) = (Catchups::default(), Timing::default());
        let peer = PeerIdBytes::new(&[1]).unwrap();
        let now = Duration::ZERO;
        assert!(catchups.begin(peer, now).is_some());
        assert!(catchups.begin(peer, now).is_none());
        let next = catchups.paged(peer, Some(&page(5, true)), true, now, &timing).unwrap();
        assert_eq!(next.after_file.unwrap().task_id, TaskId(5));
        assert_eq!(
            catchups.paged(peer, Some(&page(5, true)), false, now, &timing),
            None,
            "the same page again"
        );
        assert!(!catchups.expects(&peer));
        assert!(catchups.begin(peer, now).is_none(), "a pause");
        assert!(catchups.begin(peer, now + timing.catchup_pause).is_some());
        assert_eq!(catchups.paged(peer, None, false, now, &timing), None);
        assert!(catchups.begin(peer, now + timing.catchup_pause).is_none(), "a longer pause");
    }

    #[test]
    fn a_peer_cannot_keep_us_paging_for_ever() {
        let (mut catchups, timing) = (Catchups::default(), Timing::default());
        let peer = PeerIdBytes::new(&[1]).unwrap();
        catchups.begin(peer, Duration::ZERO).unwrap();
        let asked = (0..10_000).take_while(|n| {
            catchups.paged(peer, Some(&page(*n, true)), true, Duration::ZERO, &timing).is_some()
        });
        assert_eq!(asked.count() as u32, MAX_PAGES - 1);
    }
}
