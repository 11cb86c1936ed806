//! Finds out whether two miners sent the same video, even if one of them is disguised.
//!
//! All honest answers to a task share its first frame and much of its motion, so a fingerprint
//! holds what a model invents: how brightness changes over time at a grid of places, finely enough
//! to show displacements of a few pixels. Brightness at a place is taken relative to its
//! surroundings, so that changes of brightness, contrast and compression hardly matter. Flips and
//! crops are found in the first frame, which every answer shares with the task, and are undone
//! first. Speeds are tried when two fingerprints are compared.
//!
//! Values are exact integer sums of decoded luma and are compared in integer arithmetic, so every
//! validator computes the same distance from the published bytes, on any device.

pub(crate) mod comparison;
pub(crate) mod framing;
pub(crate) mod quarter;
pub(crate) mod traces;

use crate::comparison::resample::frames_at_times_of;
use crate::media::Clip;
use comparison::nearest;
use framing::Framing;
use quarter::Quarter;
use std::fmt;
use traces::{VALUES, traces};

/// The version of the format, its first byte. Another choice of places, moments or units is another
/// version.
pub(crate) const VERSION: u8 = 1;
/// Bytes before the values: version, whether mirrored, and the part of the frame that is shown.
const HEADER: usize = 3;
/// Frames by which a video may begin late, as after a change of its speed.
pub(crate) const LATE: usize = 2;
/// The least difference in the shown part of the frame, in hundredths, for which a copy is called
/// cropped.
pub(crate) const CROPPED: u8 = 2;

/// A video's fingerprint, in [`Self::BYTES`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The video shows the task's frame mirrored.
    mirrored: bool,
    /// Mean of the shown width and height in hundredths of the frame's.
    shown: u8,
    values: Vec<i8>,
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mirrored, shown, .. } = self;
        f.debug_struct("Fingerprint")
            .field("mirrored", mirrored)
            .field("shown", shown)
            .finish_non_exhaustive()
    }
}

/// How a later video relates to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Likeness {
    /// 0 for the same changes at the same places, 255 for nothing in common or nothing to compare.
    pub distance: u8,
    /// One is the other's mirror image.
    pub mirrored: bool,
    /// One shows less of the frame than the other.
    pub cropped: bool,
    /// Speed of the later video in hundredths of the earlier's.
    pub speed: u8,
}

impl Likeness {
    /// Whether one of the two videos was made from the other.
    pub fn is_copy(&self) -> bool {
        self.distance < Fingerprint::COPY_BELOW
    }

    /// In words: `a mirrored, cropped copy of 5F…'s video at 92 % speed, distance 4 of 255`.
    pub fn told(&self, of: &str) -> String {
        let changes = match (self.mirrored, self.cropped) {
            (true, true) => "mirrored, cropped ",
            (true, false) => "mirrored ",
            (false, true) => "cropped ",
            (false, false) => "",
        };
        // Compression alone moves the nearest speed by as much.
        let speed = if self.speed.abs_diff(100) > 3 {
            format!(" at {} % speed", self.speed)
        } else {
            String::new()
        };
        format!("a {changes}copy of {of}{speed}, distance {} of 255", self.distance)
    }
}

impl Fingerprint {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = HEADER + VALUES;
    /// The distance below which one of two videos was made from the other. `docs/scoring.md` has
    /// the measured distances behind this value.
    pub const COPY_BELOW: u8 = 14;

    /// The fingerprint of an answer to the task with this source clip, which has the same size. The
    /// source's own is `of(source, source)`.
    pub fn of(answer: &Clip, source: &Clip) -> Self {
        let order = frames_at_times_of(answer, source);
        let quarter = |clip: &Clip, frame| Quarter::of(clip.luma(frame), clip.width());
        let size = (source.width(), source.height());
        let next: Vec<Quarter> =
            (1..=LATE.min(source.len() - 1)).map(|frame| quarter(source, frame)).collect();
        let framing = Framing::find(&quarter(answer, order[0]), &quarter(source, 0), &next, size);
        Self {
            mirrored: framing.mirrored,
            shown: framing.shown_hundredths(size),
            values: traces(answer, &order, framing),
        }
    }

    /// How a later video relates to this one.
    pub fn likeness(&self, later: &Self) -> Likeness {
        let nearest = nearest(&self.values, &later.values);
        Likeness {
            distance: nearest.distance,
            mirrored: nearest.mirrored ^ self.mirrored ^ later.mirrored,
            cropped: self.shown.abs_diff(later.shown) >= CROPPED,
            speed: nearest.speed,
        }
    }

    /// 0 for the same changes at the same places, 255 for nothing in common or nothing to compare.
    pub fn distance(&self, other: &Self) -> u8 {
        self.likeness(other).distance
    }

    /// Whether one of the two videos was made from the other. For a source clip and an answer it
    /// means that the answer replays the source.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.likeness(other).is_copy()
    }

    /// The bytes that are published.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [VERSION, self.mirrored.into(), self.shown];
        header.into_iter().chain(self.values.iter().map(|value| value.cast_unsigned())).collect()
    }

    /// Parses the output of [`Self::to_bytes`]; `None` for another length or version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, values) = bytes.split_at_checked(HEADER)?;
        if values.len() != VALUES || header[0] != VERSION || header[1] > 1 {
            return None;
        }
        let values = values.iter().map(|value| value.cast_signed()).collect();
        Some(Self { mirrored: header[1] == 1, shown: header[2], values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::VideoInfo;

    /// A clip of `frames` frames from the luma at a column, a row and a frame.
    fn clip(frames: usize, luma: impl Fn(usize, usize, usize) -> u8) -> Clip {
        let info = VideoInfo {
            width: 208,
            height: 180,
            fps: None,
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        let plane = |frame| {
            let mut plane: Vec<u8> =
                (0..208 * 180).map(|cell| luma(cell % 208, cell / 208, frame)).collect();
            plane.resize(208 * 180 * 3 / 2, 128);
            plane
        };
        Clip::from_planes(208, 180, info, (0..frames).map(plane).collect()).unwrap()
    }

    fn moving(speed: usize) -> impl Fn(usize, usize, usize) -> u8 {
        move |column, row, frame| {
            let (x, y) = ((column + speed * frame) as f32, (row + frame / 2) as f32);
            (128.0 + 50.0 * (x / 7.0 + (y / 11.0).sin()).sin() + 40.0 * (y / 6.0 - x / 19.0).sin())
                as u8
        }
    }

    #[test]
    fn published_bytes_are_read_back_and_nothing_else_is() {
        let source = clip(40, moving(1));
        let print = Fingerprint::of(&source, &source);
        let bytes = print.to_bytes();
        assert_eq!(bytes.len(), Fingerprint::BYTES);
        assert!(bytes.len() <= leoma_protocol::verdict::MAX_FINGERPRINT_BYTES);
        assert_eq!(Fingerprint::from_bytes(&bytes).as_ref(), Some(&print));
        assert_eq!(print.distance(&print), 0);
        for length in [0, 1, HEADER, bytes.len() - 1] {
            assert_eq!(Fingerprint::from_bytes(&bytes[..length]), None);
        }
        let longer = [&bytes[..], &[0]].concat();
        let mut other_version = bytes.clone();
        other_version[0] = 2;
        assert_eq!(
            (Fingerprint::from_bytes(&longer), Fingerprint::from_bytes(&other_version)),
            (None, None)
        );
    }

    #[test]
    fn what_stands_still_has_nothing_to_compare() {
        let still = clip(40, |column, row, _| (column * 3 + row * 7) as u8);
        let black = clip(2, |_, _, _| 16);
        for clip in [still, black] {
            let print = Fingerprint::of(&clip, &clip);
            assert_eq!(print.distance(&print), 255);
        }
    }

    #[test]
    fn any_bytes_can_be_compared() {
        let bytes = |step: usize| {
            (0..Fingerprint::BYTES)
                .map(|index| ((index * step * 31) >> 3) as u8)
                .collect::<Vec<_>>()
        };
        let extremes = [0_u8, 127, 128, 129, 255].map(|value| vec![value; Fingerprint::BYTES]);
        let alternating =
            (0..Fingerprint::BYTES).map(|index| if index % 7 < 3 { 129 } else { 127 }).collect();
        let all =
            extremes.into_iter().chain([bytes(1), bytes(77), alternating]).map(|mut bytes| {
                bytes[..HEADER].copy_from_slice(&[VERSION, 0, 100]);
                Fingerprint::from_bytes(&bytes).unwrap()
            });
        let all: Vec<Fingerprint> = all.collect();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            let _ = one.distance(other);
        }
    }

    #[test]
    fn a_likeness_is_told_in_words() {
        let likeness = Likeness { distance: 4, mirrored: true, cropped: true, speed: 92 };
        assert_eq!(
            likeness.told("x's video"),
            "a mirrored, cropped copy of x's video at 92 % speed, distance 4 of 255"
        );
        let plain = Likeness { mirrored: false, cropped: false, speed: 98, ..likeness };
        assert_eq!(plain.told("x's video"), "a copy of x's video, distance 4 of 255");
    }
}
