//! How much work a file makes for its decoder, counted in the file, because decoding times differ
//! between machines.
//!
//! A decoder goes over a frame at most once for each coded part: a NAL unit, an OBU, a packet of
//! A decoder goes over a frame at most once for each coded part: a NAL unit, an OBU, a packet of
//! MPEG-4's. The number and size of frames are limited before, but a frame may have any number of
//! parts of a few bytes each, and several frames may be said to stand at one place of the file.

use super::mp4::Picture;
use super::{Limits, VideoDefect};
use std::ops::Range;

/// Encoders write a few parts for each frame, and one for each row of blocks where they cut frames
/// into slices.
const PARTS_PER_FRAME: usize = 32;

/// How a codec marks where its parts begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// Each states its length in this many bytes: H.264 (ISO/IEC 14496-15, 5.3.3), H.265 (8.3.3).
    Lengths(usize),
    /// Each has a header that states its length: AV1, 5.3.
    Headers,
    /// Each begins with two bytes of zeros: MPEG-4 part 2 (ISO/IEC 14496-2, 6.2).
    Zeros,
    /// A coded frame has eight of them at most: VP9, Annex B.
    None,
}

impl Marks {
    /// Those of a coding that is decoded.
    fn of(picture: &Picture) -> Self {
        match picture.coding() {
            "av01" => Self::Headers,
            "mp4v" => Self::Zeros,
            "vp09" => Self::None,
            _ => Self::Lengths(picture.length_bytes()),
        }
    }

    /// The parts of a coded frame; `None` where they do not fill it.
    fn count(self, frame: &[u8]) -> Option<usize> {
        match self {
            Self::Lengths(bytes) => nal_units(frame, bytes),
            Self::Headers => open_bitstream_units(frame),
            Self::Zeros => Some(occurrences(frame, &[0, 0])),
            Self::None => Some(1),
        }
    }
}

/// Refuses a coding that is not decoded, and coded `frames` in `bytes` that make more work than
/// those of any honest file.
pub(super) fn check(
    picture: &Picture,
    bytes: &[u8],
    frames: &[Range<usize>],
    limits: &Limits,
) -> Result<(), VideoDefect> {
    if let Some(coding) = picture.unusual_coding() {
        return Err(VideoDefect::Codec { codec: coding.to_owned() });
    }
    let refused = |complaint: &str| VideoDefect::Undecodable { complaint: complaint.to_owned() };
    if frames.iter().map(Range::len).fold(0, usize::saturating_add) > bytes.len() {
        return Err(refused("its index names the same bytes for several frames"));
    }
    let marks = Marks::of(picture);
    let mut parts = 0;
    for frame in frames {
        let frame = bytes.get(frame.clone());
        let frame = frame.ok_or_else(|| refused("its index names frames outside the file"))?;
        let found = marks.count(frame);
        parts += found.ok_or_else(|| refused("its frames are not laid out as in an MP4"))?;
    }
    let most = limits.frames.saturating_mul(PARTS_PER_FRAME);
    if parts > most {
        return Err(refused(&format!("its frames have {parts} coded parts, more than {most}")));
    }
    Ok(())
}

/// The NAL units of a frame. A decoder may be talked into looking for start codes instead, which
/// stand in no honest unit.
fn nal_units(mut frame: &[u8], length_bytes: usize) -> Option<usize> {
    let mut units = 0;
    while let Some((length, rest)) = frame.split_at_checked(length_bytes) {
        let length = length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        units += usize::from(length > 0) + occurrences(unit, &[0, 0, 1]);
        frame = rest;
    }
    // Some writers fill up with zeros.
    frame.iter().all(|byte| *byte == 0).then_some(units)
}

/// The units of an AV1 frame and of those that are coded with it and not shown.
fn open_bitstream_units(mut frame: &[u8]) -> Option<usize> {
    const HAS_EXTENSION: u8 = 4;
    const HAS_LENGTH: u8 = 2;
    let mut units = 0;
    while let Some((header, rest)) = frame.split_first() {
        units += 1;
        if header & HAS_LENGTH == 0 {
            // It takes all the rest.
            break;
        }
        let extension = usize::from(header & HAS_EXTENSION != 0);
        let (length, rest) = leb128(rest.get(extension..)?)?;
        frame = rest.get(length..)?;
    }
    Some(units)
}

/// A number in groups of seven bits, the lowest first, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at_checked(last + 1)?;
    let digits = number.iter().rev().map(|byte| u64::from(byte & 0x7f));
    let value = digits.fold(0, |value, digit| (value << 7) | digit);
    Some((usize::try_from(value).ok()?, rest))
}

fn occurrences(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).filter(|window| *window == pattern).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nal_units_are_counted_by_their_lengths_and_start_codes_in_them_too() {
        let two = [0, 0, 0, 2, 0x65, 9, 0, 0, 0, 1, 0x41];
        assert_eq!(nal_units(&two, 4), Some(2));
        assert_eq!(nal_units(&[0, 2, 0x65, 9, 0, 1, 0x41], 2), Some(2));
        // Zeros at the end are not units; a length past the end is an error.
        assert_eq!(nal_units(&[&two[..], &[0; 7]].concat(), 4), Some(2));
        assert_eq!(nal_units(&two[..10], 4), None);
        assert_eq!(nal_units(&[&two[..], &[7]].concat(), 4), None);
        let hidden = [0, 0, 0, 9, 0x65, 0, 0, 1, 0x41, 0, 0, 1, 0x41];
        assert_eq!(nal_units(&hidden, 4), Some(3));
        assert_eq!(nal_units(&[], 4), Some(0));
    }

    #[test]
    fn units_of_av1_are_counted_by_their_headers() {
        // A sequence header of two bytes, and a frame without a length.
        assert_eq!(open_bitstream_units(&[0x0a, 2, 1, 1, 0x30, 9, 9, 9]), Some(2));
        // With an extension, and with a length of two bytes.
        let long = [&[0x36, 0, 0x81, 1][..], &[5; 129]].concat();
        assert_eq!(open_bitstream_units(&long), Some(1));
        assert_eq!(open_bitstream_units(&long[..100]), None);
        let many = [0x1a_u8, 0].repeat(500);
        assert_eq!(open_bitstream_units(&many), Some(500));
        assert_eq!(leb128(&[0xff; 9]), None);
    }

    #[test]
    fn parts_of_mpeg_4_begin_with_zeros() {
        assert_eq!(Marks::Zeros.count(&[0, 0, 1, 0xb6, 9, 0, 0, 0x80, 9]), Some(2));
        assert_eq!(Marks::None.count(&[0, 0, 1]), Some(1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            for marks in [Marks::Lengths(1), Marks::Lengths(4), Marks::Headers, Marks::Zeros] {
                let parts = marks.count(&bytes).unwrap_or(0);
                prop_assert!(parts <= bytes.len(), "{marks:?}");
            }
        }
    }
}
