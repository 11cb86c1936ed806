//! Catching up: pages of announcements, attestations, evidence and disputes from peers that hold
//! what we do not.
//!
//! Every beacon carries a summary of what its sender holds. A validator that holds something else
//! asks for pages, one after the other, and says of each task what it holds, so that only
//! differences come back. A catch-up that was cut short goes on where it stopped. A validator asks
//! less often while it learns nothing new. A lost message, a partition and a day's absence all heal
//! this way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::agreement::TaskDigest;
use super::limits::{
    CATCHUP_TURN, MAX_CATCHUP_BYTES, MAX_CATCHUPS, MAX_PAGE_BYTES, MAX_PAGES, PAGE_FILL_BYTES,
    Timing,
};
use crate::codec::{Decode, Encode, wire};
use crate::hello::PeerIdBytes;
use crate::messages::{Announcement, Dispute, DisputeKey, Evidence, EvidenceKey, Tally};
use crate::{FileId, TaskId};

/// Encoded bytes of an announcement, a dispute or a piece of evidence.
const STATEMENT_BYTES: usize = 512;
/// Encoded bytes of the largest evidence.
const EVIDENCE_BYTES: usize = 1664;
/// Encoded bytes of a vote.
const VOTE_BYTES: usize = 104;
/// Encoded bytes of a file's or a tally's identity and lengths.
const HEADER_BYTES: usize = 64;

/// Where a page begins: after these; `None` means from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// The last file of the page before.
    pub file: Option<FileId>,
    /// The last evidence of the page before.
    pub evidence: Option<EvidenceKey>,
    /// The last dispute of the page before.
    pub dispute: Option<DisputeKey>,
}

/// Asks for what the asker does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CatchupRequest {
    /// Where the page begins.
    pub cursor: Cursor,
    /// What the asker holds: the digests of its newest tasks, at most 1024, ascending. Of other
    /// tasks everything is sent.
    pub held: Vec<(TaskId, TaskDigest)>,
}
wire!(CatchupRequest, 32 * 1024);

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

impl FileState {
    fn weight(&self) -> usize {
        let tally = |tally: &Tally| HEADER_BYTES + tally.votes.len() * VOTE_BYTES;
        HEADER_BYTES
            + self.announcements.len() * STATEMENT_BYTES
            + self.tallies.iter().map(tally).sum::<usize>()
    }
}

/// A page: files ascending, then evidence, then disputes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CatchupPage {
    /// Files after the requested one.
    pub files: Vec<FileState>,
    /// Evidence after the requested one.
    pub evidence: Vec<Evidence>,
    /// Disputes after the requested one.
    pub disputes: Vec<Dispute>,
    /// Whether there is another page.
    pub more: bool,
}
wire!(CatchupPage, MAX_PAGE_BYTES);

impl CatchupPage {
    /// About as many bytes as its encoding has.
    fn weight(&self) -> usize {
        self.files.iter().map(FileState::weight).sum::<usize>()
            + self.evidence.len() * EVIDENCE_BYTES
            + self.disputes.len() * STATEMENT_BYTES
    }

    /// Where the next page begins; `None` if this page does not get beyond `cursor`.
    fn next(&self, cursor: &Cursor) -> Option<Cursor> {
        let mut next = *cursor;
        if let Some(last) = self.files.last() {
            next.file = Some(last.file);
        }
        if let Some(last) = self.evidence.last() {
            next.evidence = Some(last.key());
        }
        if let Some(last) = self.disputes.last() {
            next.dispute = Some(last.key());
        }
        let moves = next.file >= cursor.file
            && next.evidence >= cursor.evidence
            && next.dispute >= cursor.dispute;
        (moves && next != *cursor).then_some(next)
    }
}

/// A page that is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    pub(super) page: CatchupPage,
    bytes: usize,
}

impl Filling {
    /// Whether one more thing may be added. If not, there is another page.
    pub(super) fn has_room(&mut self) -> bool {
        self.page.more = self.bytes >= PAGE_FILL_BYTES;
        !self.page.more
    }

    pub(super) fn add_file(&mut self, state: FileState) {
        self.bytes += state.weight();
        self.page.files.push(state);
    }

    pub(super) fn add_evidence(&mut self, evidence: Evidence) {
        self.bytes += EVIDENCE_BYTES;
        self.page.evidence.push(evidence);
    }

    pub(super) fn add_dispute(&mut self, dispute: Dispute) {
        self.bytes += STATEMENT_BYTES;
        self.page.disputes.push(dispute);
    }
}

#[derive(Debug)]
struct Pause {
    until: Duration,
    length: Duration,
    /// Where the next catch-up goes on.
    cursor: Cursor,
}

#[derive(Debug)]
struct UnderWay {
    cursor: Cursor,
    pages: u32,
    bytes: usize,
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
    /// Begins a catch-up with a peer that holds something else, if it is time. Returns where the
    /// first page begins.
    pub(super) fn begin(&mut self, peer: PeerIdBytes, now: Duration) -> Option<Cursor> {
        let pause = self.pauses.get(&peer);
        let early = pause.is_some_and(|pause| now < pause.until);
        if early || self.under_way.contains_key(&peer) {
            return None;
        }
        let cursor = pause.map_or_else(Cursor::default, |pause| pause.cursor);
        if self.under_way.len() >= MAX_CATCHUPS {
            let longest = self.under_way.iter().min_by_key(|(_, under_way)| under_way.since);
            let (longest, since, cursor) =
                longest.map(|(peer, under_way)| (*peer, under_way.since, under_way.cursor))?;
            if now.saturating_sub(since) < CATCHUP_TURN {
                return None;
            }
            // The slow peer's pages are not expected any more. It waits, so that the others get
            // their turn.
            self.under_way.remove(&longest);
            let pause = Pause { until: now + CATCHUP_TURN, length: CATCHUP_TURN, cursor };
            self.pauses.insert(longest, pause);
        }
        let under_way = UnderWay { cursor, pages: 0, bytes: 0, learnt: false, since: now };
        self.under_way.insert(peer, under_way);
        Some(cursor)
    }

    /// Takes note of a page that was handled, or that did not arrive. Returns where the next one
    /// begins, if it is to be asked for now.
    pub(super) fn paged(
        &mut self,
        peer: PeerIdBytes,
        page: Option<&CatchupPage>,
        learnt: bool,
        now: Duration,
        timing: &Timing,
    ) -> Option<Cursor> {
        let under_way = self.under_way.get_mut(&peer)?;
        under_way.pages += 1;
        under_way.bytes += page.map_or(0, CatchupPage::weight);
        under_way.learnt |= learnt;
        let next = page.filter(|page| page.more).and_then(|page| page.next(&under_way.cursor));
        if let Some(next) = next {
            under_way.cursor = next;
            if under_way.pages < MAX_PAGES && under_way.bytes < MAX_CATCHUP_BYTES {
                return Some(next);
            }
        }
        // A catch-up that was cut short resumes where it stopped; a finished one starts again.
        let cut_short = page.is_none() || next.is_some();
        let cursor = if cut_short { under_way.cursor } else { Cursor::default() };
        let learnt = under_way.learnt;
        self.under_way.remove(&peer);
        let before = self.pauses.get(&peer).map_or(timing.catchup_pause, |pause| pause.length);
        let length =
            if learnt { timing.catchup_pause } else { (before * 2).min(timing.catchup_pause * 32) };
        self.pauses.insert(peer, Pause { until: now + length, length, cursor });
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
    use crate::{Digest, Hotkey, Signature};

    fn page(task: u64, more: bool) -> CatchupPage {
        let file = FileId { task_id: TaskId(task), producer: Hotkey::from_bytes([1; 32]) };
        CatchupPage {
            files: vec![FileState { file, announcements: vec![], tallies: vec![] }],
            more,
            ..CatchupPage::default()
        }
    }

    fn task(cursor: Cursor) -> u64 {
        cursor.file.unwrap().task_id.0
    }

    #[test]
    fn pages_follow_one_another_until_the_last_or_one_that_stands_still() {
        let (mut catchups, timing) = (Catchups::default(), Timing::default());
        let peer = PeerIdBytes::new(&[1]).unwrap();
        let now = Duration::ZERO;
        assert!(catchups.begin(peer, now).is_some());
        assert!(catchups.begin(peer, now).is_none());
        let next = catchups.paged(peer, Some(&page(5, true)), true, now, &timing).unwrap();
        assert_eq!(task(next), 5);
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
    fn a_catch_up_that_was_cut_short_goes_on_where_it_stopped() {
        let (mut catchups, timing) = (Catchups::default(), Timing::default());
        let peer = PeerIdBytes::new(&[1]).unwrap();
        let mut now = Duration::ZERO;
        assert_eq!(catchups.begin(peer, now), Some(Cursor::default()));
        catchups.paged(peer, Some(&page(5, true)), true, now, &timing).unwrap();
        catchups.paged(peer, Some(&page(7, true)), true, now, &timing).unwrap();
        assert_eq!(catchups.paged(peer, None, false, now, &timing), None, "the stream broke");
        now += timing.catchup_pause * 32;
        assert_eq!(task(catchups.begin(peer, now).unwrap()), 7);
        assert_eq!(catchups.paged(peer, Some(&page(9, false)), true, now, &timing), None);
        now += timing.catchup_pause * 32;
        assert_eq!(catchups.begin(peer, now), Some(Cursor::default()), "it had reached its end");
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

    #[test]
    fn a_catch_up_takes_a_bounded_number_of_bytes() {
        let (mut catchups, timing) = (Catchups::default(), Timing::default());
        let peer = PeerIdBytes::new(&[1]).unwrap();
        catchups.begin(peer, Duration::ZERO).unwrap();
        let votes = vec![(Hotkey::from_bytes([1; 32]), Signature([0; 64])); 2500];
        let mut bytes = 0;
        for number in 0.. {
            let mut page = page(number, true);
            page.files[0].tallies = vec![Tally { digest: Digest::default(), votes: votes.clone() }];
            bytes += page.weight();
            if catchups.paged(peer, Some(&page), true, Duration::ZERO, &timing).is_none() {
                break;
            }
        }
        assert!((MAX_CATCHUP_BYTES..MAX_CATCHUP_BYTES + MAX_PAGE_BYTES).contains(&bytes));
    }
}
