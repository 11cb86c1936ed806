//! Which clip a task is about: a pure function of a block's hash, so that the sampler and everyone
//! who checks it agree.
//!
//! The corpus is sorted by key. The first video tried is drawn from the seed. If it cannot be used,
//! the next in order is tried, and the first after the last. In the video the start is drawn among
//! all milliseconds that its shots allow. Where the corpus says how much moves by itself in each
//! shot, those that a pushed picture can imitate are passed over: they do not tell a model from a
//! trick.

use leoma_protocol::Digest;
use leoma_scoring::media::{Segment, choose_segment};

/// Videos looked at before a task is given up: one that cannot be used happens, five in a row are a
/// bad corpus.
pub const MAX_VIDEOS_TRIED: usize = 5;
/// The least that a shot needs of motion of its own, in the thousandths of a pixel of the corpus'
/// manifest: the bound of [`leoma_scoring::Challenge::is_one`].
pub const LEAST_NONRIGID: u32 = 80;
/// Separates this draw from everything else that is derived from the same seed.
const VIDEO_DOMAIN: &[u8] = b"leoma:video:1";

/// Where in a video the clip lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenClip {
    /// Position of the shot among the video's shots.
    pub shot: usize,
    /// Start of the clip in milliseconds from that of the video.
    pub start_ms: u64,
}

/// The positions of the videos to try, in order, in a sorted corpus of `videos`: none for an empty
/// one, at most [`MAX_VIDEOS_TRIED`], none twice.
pub fn videos_to_try(seed: Digest, videos: usize) -> impl Iterator<Item = usize> {
    let digest = Digest::of_parts(&[VIDEO_DOMAIN, &[0], &seed.0]);
    let number = digest.0[..8].iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // The bias of a remainder of 64 bits by at most 50 000 is below 2^-48.
    let first = number
        .checked_rem(videos as u64)
        .and_then(|first| usize::try_from(first).ok())
        .unwrap_or(0);
    (0..videos.min(MAX_VIDEOS_TRIED)).map(move |step| (first + step) % videos)
}

/// Whether a shot with this much motion of its own is a challenge.
pub const fn is_challenge(nonrigid: u32) -> bool {
    nonrigid >= LEAST_NONRIGID
}

/// The clip of `clip_ms` in a video with these shots; `None` where no shot is long enough and a
/// challenge. `nonrigid` is the own motion of each, where the corpus says it: without it every shot
/// counts as a challenge.
pub fn choose_clip(
    seed: Digest,
    shots: &[Segment],
    nonrigid: Option<&[u32]>,
    clip_ms: u64,
) -> Option<ChosenClip> {
    let may_be_drawn = |index: usize| {
        nonrigid.is_none_or(|measured| measured.get(index).copied().is_some_and(is_challenge))
    };
    let (places, challenges): (Vec<usize>, Vec<Segment>) = shots
        .iter()
        .enumerate()
        .filter(|(index, _)| may_be_drawn(*index))
        .map(|(index, shot)| (index, *shot))
        .unzip();
    let start_ms = choose_segment(seed.0, &challenges, clip_ms)?;
    let holds = |shot: &Segment| {
        shot.start_ms <= start_ms && start_ms.saturating_add(clip_ms) <= shot.end_ms
    };
    let place = challenges.iter().position(holds)?;
    Some(ChosenClip { shot: *places.get(place)?, start_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_choice_is_that_of_every_release() {
        let order =
            |text: &[u8], videos| videos_to_try(Digest::of(text), videos).collect::<Vec<_>>();
        assert_eq!(order(b"block", 0), [] as [usize; 0]);
        assert_eq!(order(b"block", 1), [0]);
        assert_eq!(order(b"block", 1000), [737, 738, 739, 740, 741]);
        let shots =
            [Segment { start_ms: 2000, end_ms: 9000 }, Segment { start_ms: 9150, end_ms: 20_000 }];
        assert_eq!(
            choose_clip(Digest::of(b"block"), &shots, None, 5063),
            Some(ChosenClip { shot: 1, start_ms: 10961 })
        );
        assert_eq!(choose_clip(Digest::of(b"block"), &shots, None, 20_000), None);
    }

    #[test]
    fn shots_that_a_pushed_picture_can_imitate_are_passed_over() {
        let shots =
            [Segment { start_ms: 2000, end_ms: 9000 }, Segment { start_ms: 9150, end_ms: 20_000 }];
        let drawn = |seed: u8, nonrigid: &[u32]| {
            choose_clip(Digest::of(&[seed]), &shots, Some(nonrigid), 5063)
        };
        for seed in 0..50 {
            assert_eq!(drawn(seed, &[80, 79]).unwrap().shot, 0);
            assert_eq!(drawn(seed, &[0, 500]).unwrap().shot, 1);
            let all = choose_clip(Digest::of(&[seed]), &shots, None, 5063);
            assert_eq!(drawn(seed, &[80, 80]), all);
            assert_eq!(drawn(seed, &[79, 0]), None);
        }
    }

    #[test]
    fn the_bound_is_the_judges() {
        let is_one = |thousandths: u32| {
            let nonrigid = thousandths as f32 / 1000.0;
            leoma_scoring::Challenge { nonrigid, share: 0.0 }.is_one()
        };
        for thousandths in 0..200 {
            assert_eq!(is_one(thousandths), is_challenge(thousandths), "{thousandths}");
        }
    }

    proptest! {
        #[test]
        fn every_video_tried_is_another_one_of_the_corpus(seed: [u8; 32], videos in 0_usize..60_000) {
            let tried: Vec<_> = videos_to_try(Digest(seed), videos).collect();
            prop_assert_eq!(tried.len(), videos.min(MAX_VIDEOS_TRIED));
            let distinct: std::collections::BTreeSet<_> = tried.iter().collect();
            prop_assert_eq!(distinct.len(), tried.len());
            prop_assert!(tried.iter().all(|index| *index < videos));
            prop_assert!(tried.windows(2).all(|pair| pair[1] == (pair[0] + 1) % videos));
        }

        #[test]
        fn the_clip_lies_in_the_shot_that_is_named(
            seed: [u8; 32], lengths in prop::collection::vec((1_u64..2_000, 1_u64..20_000), 0..8), clip_ms in 1_u64..9_000,
        ) {
            let mut end_ms = 0;
            let shots: Vec<Segment> = lengths.iter().map(|(gap, length)| {
                let start_ms = end_ms + gap;
                end_ms = start_ms + length;
                Segment { start_ms, end_ms }
            }).collect();
            match choose_clip(Digest(seed), &shots, None, clip_ms) {
                Some(ChosenClip { shot, start_ms }) => {
                    prop_assert!(shots[shot].start_ms <= start_ms && start_ms + clip_ms <= shots[shot].end_ms);
                }
                None => prop_assert!(lengths.iter().all(|(_, length)| *length < clip_ms)),
            }
        }
    }
}
