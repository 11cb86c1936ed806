//! Edit lists: which stretch of a track a player shows (ISO/IEC 14496-12, 8.6.6).

use super::boxes::number;

/// Longest list that is read. Writers make one or two entries.
const MAX_EDITS: u64 = 100;
/// Longest time that a list may leave empty at the start, in milliseconds: writers move the picture
/// a little to keep it with the sound.
const MAX_EMPTY_MS: u64 = 500;
/// Units of the movie per second, as QuickTime writes them; most writers have more. A list's
/// durations are rounded to them.
const COARSEST_UNITS: u64 = 600;
/// The rate of an edit that plays as recorded, in 65 536ths.
const AS_RECORDED: u64 = 0x1_0000;

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    /// In units of the movie; 0 means up to the end.
    duration: u64,
    /// In units of the track; `None` for an empty edit.
    from: Option<u64>,
    rate: u64,
}

/// A track's edit list, with the units of its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EditList {
    edits: Vec<Edit>,
    /// Units of the movie per second.
    movie: u64,
    /// Units of the track per second.
    track: u64,
    unreadable: bool,
}

impl EditList {
    /// Reads the body of an `elst` box. A list that cannot be read hides frames.
    pub(super) fn parse(body: &[u8], movie: u64, track: u64) -> Self {
        let edits = edits_of(body);
        let unreadable = edits.is_none();
        Self { edits: edits.unwrap_or_default(), movie, track, unreadable }
    }

    /// Whether a player shows less than all frames, or shows them at another pace. `first` and
    /// `last` are the times of the first and the last frame, and `interval` is the shortest
    /// time from one frame to the next, in the track's units. Half an interval is rounding, and so
    /// is one of the movie's units.
    pub(super) fn hides_frames(&self, first: i128, last: i128, interval: i128) -> bool {
        if self.unreadable || self.movie == 0 || self.track == 0 {
            return self.unreadable || !self.edits.is_empty();
        }
        let empty = self.edits.iter().take_while(|edit| edit.from.is_none()).count();
        let empty_units: u64 =
            self.edits[..empty].iter().fold(0, |sum, edit| sum.saturating_add(edit.duration));
        if empty_units.saturating_mul(1000) > MAX_EMPTY_MS.saturating_mul(self.movie) {
            return true;
        }
        match self.edits[empty..] {
            // Only an empty edit shows nothing; no list at all shows everything.
            [] => empty > 0,
            [Edit { duration, from: Some(from), rate: AS_RECORDED }] => {
                let start = i128::from(from);
                let length = i128::from(duration) * i128::from(self.track) / i128::from(self.movie);
                let unit = self.track.div_ceil(self.movie.max(COARSEST_UNITS));
                let rounding = interval.max(2 * i128::from(unit));
                let is_late = 2 * (start - first) > rounding;
                let is_early = duration > 0 && 2 * (last - (start + length)) > rounding;
                is_late || is_early
            }
            _ => true,
        }
    }
}

fn edits_of(body: &[u8]) -> Option<Vec<Edit>> {
    let (version, count) = (*body.first()?, number::<4>(body, 4)?);
    if count > MAX_EDITS {
        return None;
    }
    let step = if version == 1 { 20 } else { 12 };
    (0..count as usize)
        .map(|index| {
            let at = 8 + index * step;
            let (duration, from, none) = match version {
                1 => (number::<8>(body, at)?, number::<8>(body, at + 8)?, u64::MAX),
                _ => (number::<4>(body, at)?, number::<4>(body, at + 4)?, u64::from(u32::MAX)),
            };
            let rate = number::<4>(body, at + step - 4)?;
            Some(Edit { duration, from: (from != none).then_some(from), rate })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A movie of 1000 units per second, a track of 16 000: frames are 1000 units apart.
    fn hides(edits: &[(u32, i32)]) -> bool {
        hides_at(edits, 1000, 1000)
    }

    fn hides_at(edits: &[(u32, i32)], movie: u64, interval: i128) -> bool {
        let mut body = vec![0; 4];
        body.extend_from_slice(&(edits.len() as u32).to_be_bytes());
        for (duration, from) in edits {
            body.extend_from_slice(&duration.to_be_bytes());
            body.extend_from_slice(&from.to_be_bytes());
            body.extend_from_slice(&0x1_0000_u32.to_be_bytes());
        }
        EditList::parse(&body, movie, 16_000).hides_frames(2000, 82_000, interval)
    }

    #[test]
    fn frames_close_together_are_not_hidden_by_what_is_rounding_elsewhere() {
        // The first frames stand 40 units apart, so that half a usual interval hides a dozen.
        assert!(!hides(&[(0, 2500)]) && hides_at(&[(0, 2500)], 1000, 40));
        assert!(!hides(&[(4970, 2000)]) && hides_at(&[(4970, 2000)], 1000, 40));
        // A unit of the movie may be longer than that.
        assert!(!hides_at(&[(5000, 2000)], 1000, 1) && !hides_at(&[(4999, 2000)], 1000, 1));
        assert!(!hides_at(&[(2999, 2000)], 600, 1) && hides_at(&[(2998, 2000)], 600, 1));
        // Units as long as a second do not excuse a second.
        assert!(hides_at(&[(4, 2000)], 1, 40));
    }

    #[test]
    fn a_list_that_shows_every_frame_is_accepted() {
        assert!(!EditList::default().hides_frames(0, 80, 1));
        // As ffmpeg writes it for reordered frames, rounded either way, and up to the end.
        assert!(!hides(&[(5063, 2000)]) && !hides(&[(5062, 2000)]) && !hides(&[(0, 2000)]));
        // The last frame has no duration.
        assert!(!hides(&[(5000, 2000)]));
        // The picture starts a little after the sound.
        assert!(!hides(&[(21, -1), (5063, 2000)]));
    }

    #[test]
    fn a_list_that_hides_frames_or_changes_their_order_is_not() {
        assert!(hides(&[(3763, 22_800)]), "the first 20 frames");
        assert!(hides(&[(3000, 2000)]), "the end");
        assert!(hides(&[(4000, -1), (5063, 2000)]), "four seconds of nothing");
        assert!(hides(&[(5063, -1)]), "nothing at all");
        assert!(hides(&[(2000, 34_000), (3063, 2000)]), "the end before the start");
        assert!(EditList::parse(&[0, 0, 0, 0, 0, 0, 0, 9], 1000, 16_000).hides_frames(0, 80, 1));
        let slow = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0];
        assert!(EditList::parse(&slow, 1000, 16_000).hides_frames(0, 80, 1));
    }
}
