//! An answer at the times and the size of its reference, in integer arithmetic, so that every
//! device starts from the same numbers.

use crate::media::Clip;

/// For each frame of the reference, the index of the answer's frame that is on screen in the middle
/// of its time: rounded rates, and frames doubled to reach another rate, change nothing there. The
/// first frame is the answer's first, because it has to be the one that was given.
///
/// Both clips start at 0. Clips without a rate are matched frame by frame.
pub(crate) fn frames_at_times_of(answer: &Clip, reference: &Clip) -> Vec<usize> {
    let last = answer.len() - 1;
    let rate = reference.info().fps;
    (0..reference.len())
        .map(|index| {
            let by_number = index.min(last);
            let Some(rate) = rate.filter(|_| index > 0) else { return by_number };
            let numerator = (2 * index as u128 + 1) * u128::from(rate.denominator);
            let denominator = 2 * u128::from(rate.numerator);
            answer.shown_at(numerator, denominator).unwrap_or(by_number)
        })
        .collect()
}

/// `clip` at another size, by bilinear interpolation in fixed point.
pub(crate) fn resized(clip: Clip, width: usize, height: usize) -> Clip {
    if (clip.width(), clip.height()) == (width, height) {
        return clip;
    }
    let (from_width, from_height) = (clip.width(), clip.height());
    let half = |side: usize| side.div_ceil(2);
    let planes = (0..clip.len()).map(|index| {
        let (blue, red) = clip.chroma(index);
        let mut planes = resize_plane(clip.luma(index), (from_width, from_height), (width, height));
        for plane in [blue, red] {
            let chroma = resize_plane(
                plane,
                (half(from_width), half(from_height)),
                (half(width), half(height)),
            );
            planes.extend(chroma);
        }
        planes
    });
    let planes = planes.collect();
    clip.with_planes(width, height, planes).unwrap_or(clip)
}

/// Resizes one plane. Positions are in 65 536ths of a pixel, weights in 256ths.
pub(crate) fn resize_plane(plane: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let places = |from: usize, to: usize| -> Vec<(usize, usize, u32)> {
        (0..to)
            .map(|index| {
                let position = ((2 * index as i64 + 1) * from as i64 * 32_768 / to as i64 - 32_768)
                    .max(0) as usize;
                let near = (position >> 16).min(from - 1);
                (near, (near + 1).min(from - 1), (position >> 8) as u32 & 0xff)
            })
            .collect()
    };
    let columns = places(from.0, to.0);
    let mut resized = Vec::with_capacity(to.0 * to.1);
    for (above, below, down) in places(from.1, to.1) {
        let (above, below) =
            (&plane[above * from.0..][..from.0], &plane[below * from.0..][..from.0]);
        resized.extend(columns.iter().map(|&(left, right, across)| {
            let mix = |line: &[u8]| {
                u32::from(line[left]) * (256 - across) + u32::from(line[right]) * across
            };
            ((mix(above) * (256 - down) + mix(below) * down + 32_768) >> 16) as u8
        }));
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Rational, VideoInfo};

    fn clip(frames: usize, fps: u32) -> Clip {
        let info = VideoInfo {
            width: 4,
            height: 4,
            fps: Some(Rational { numerator: fps, denominator: 1 }),
            frames: None,
            duration_ms: None,
            codec: "h264".into(),
            colour_space: None,
        };
        Clip::from_planes(4, 4, info, (0..frames).map(|i| vec![i as u8; 24]).collect()).unwrap()
    }

    #[test]
    fn frames_are_matched_by_time() {
        let reference = clip(81, 16);
        let same: Vec<usize> = (0..81).collect();
        assert_eq!(frames_at_times_of(&clip(81, 16), &reference), same);
        let quarter = frames_at_times_of(&clip(21, 4), &reference);
        assert_eq!(quarter[..9], [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(quarter[80], 20);
        assert_eq!(frames_at_times_of(&clip(161, 32), &reference)[80], 160);
        assert_eq!(frames_at_times_of(&clip(161, 32), &reference)[0], 0);
    }

    /// As ffmpeg's `fps` filter carries 16 frames per second: each frame begins at the nearest place.
    #[test]
    fn a_carrier_of_another_rate_gives_each_frame_once() {
        let reference = clip(81, 16);
        for rate in [24, 25, 30, 48, 50, 60] {
            let places = 82 * rate as usize / 16;
            let carried: Vec<usize> = (0..places)
                .map(|place| {
                    (0..81).rev().find(|frame| (frame * rate as usize + 8) / 16 <= place).unwrap()
                })
                .collect();
            let shown = frames_at_times_of(&clip(places, rate), &reference);
            let frames: Vec<usize> = shown.iter().map(|place| carried[*place]).collect();
            assert_eq!(frames, (0..81).collect::<Vec<_>>(), "{rate}");
        }
    }

    #[test]
    fn resizing_keeps_flat_and_sloping_pictures() {
        assert!(resize_plane(&[7; 24], (6, 4), (9, 5)).iter().all(|value| *value == 7));
        let slope: Vec<u8> = (0..64).map(|i| (i % 8 * 10) as u8).collect();
        let wider = resize_plane(&slope, (8, 8), (16, 8));
        assert!(wider[..16].windows(2).all(|pair| pair[0] <= pair[1]));
        let same = resize_plane(&slope, (8, 8), (8, 8));
        assert_eq!(same, slope);
    }
}
