//! How much moves by itself in the shots of a video, as the corpus' manifest records it.

use leoma_scoring::Challenge;
use leoma_scoring::media::{ClipShape, Ffmpeg, Limits, MediaError, Segment, cut_clip, decode};

/// Measures each shot at its first, its middle and its last clip, and takes the least: thousandths
/// of a pixel per six frames, at the size of `shape`, as in
/// [`leoma_storage::ManifestVideo::nonrigid`]. Takes some three seconds for a shot.
///
/// # Errors
/// As [`cut_clip`] and [`decode`].
pub(crate) fn own_motion(
    ffmpeg: &Ffmpeg,
    source: &[u8],
    shots: &[Segment],
    shape: &ClipShape,
) -> Result<Vec<u32>, MediaError> {
    let clip_ms = shape.duration_ms();
    let measure = |start_ms: u64| -> Result<u32, MediaError> {
        let mp4 = cut_clip(ffmpeg, source, start_ms, shape, &Limits::SOURCE)?;
        let clip = decode(ffmpeg, &mp4, &Limits::ANSWER)?;
        Ok(thousandths(Challenge::of(&clip).nonrigid))
    };
    let least = |shot: &Segment| {
        let room = shot.end_ms.saturating_sub(shot.start_ms).saturating_sub(clip_ms);
        let mut starts = vec![shot.start_ms, shot.start_ms + room / 2, shot.start_ms + room];
        // Within a second the clips are nearly the same.
        if room < 1000 {
            starts.truncate(1);
        }
        starts.into_iter().map(measure).try_fold(u32::MAX, |least, own| Ok(least.min(own?)))
    };
    shots.iter().map(least).collect()
}

/// Rounded down. NaN counts as no motion.
fn thousandths(pixels: f32) -> u32 {
    (pixels * 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::is_challenge;
    use crate::rescoring::fixture::encoded;
    use leoma_scoring::calibration::continuation::{Course, Scene, SceneKind};

    #[test]
    fn a_scene_with_things_is_a_challenge_and_a_still_is_none() {
        let ffmpeg = match Ffmpeg::find() {
            Ok(ffmpeg) => ffmpeg,
            Err(missing) => return println!("skipped: {missing}"),
        };
        let size = (256, 192);
        let shape = ClipShape { width: 256, height: 192, ..ClipShape::TASK };
        let measure = |course: Course| {
            let scene = Scene::new(SceneKind::Things, 3, size);
            let source = encoded(&scene.render(&course, 120));
            // One shot with a single clip in it, and one with several.
            let shots = [
                Segment { start_ms: 0, end_ms: shape.duration_ms() },
                Segment { start_ms: 0, end_ms: 7000 },
            ];
            own_motion(&ffmpeg, &source, &shots, &shape).unwrap()
        };
        let moving = measure(Course::SOURCE);
        assert!(moving.iter().all(|own| is_challenge(*own)), "{moving:?}");
        assert!(moving[1] <= moving[0], "{moving:?}: the least counts");
        assert_eq!(measure(Course::SOURCE), moving, "the same again");
        let still = measure(Course { speed: 0.0, ..Course::SOURCE });
        assert!(!still.iter().any(|own| is_challenge(*own)), "{still:?}");
    }

    #[test]
    fn what_is_no_number_is_no_motion() {
        assert_eq!([0.0799, 0.08, f32::NAN, -1.0].map(thousandths), [79, 80, 0, 0]);
    }
}
