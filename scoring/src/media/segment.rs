//! The stretches of a source video, and the choice of a task's clip among them by a seed, which
//! anyone can repeat.

use sha2::{Digest, Sha256};

/// A stretch of one shot without its margins, in milliseconds from the start of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// First usable millisecond.
    pub start_ms: u64,
    /// The first millisecond after the usable ones.
    pub end_ms: u64,
}

/// Separates this choice from others that are derived from the same seed.
const DOMAIN: &[u8] = b"leoma:clip-segment:v1";

/// How cuts are found and avoided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SceneRules {
    /// A frame with a higher scene-change score begins a new shot, in ten-thousandths.
    pub threshold: u32,
    /// Milliseconds left out on both sides of a cut, where transitions blend frames.
    pub boundary_margin_ms: u64,
    /// Milliseconds left out at the start of the source, for titles and fades.
    pub start_offset_ms: u64,
}

impl SceneRules {
    /// The values of this subnet.
    pub const REFERENCE: Self =
        Self { threshold: 1800, boundary_margin_ms: 150, start_offset_ms: 2000 };
}

/// Picks the start of a clip of `clip_ms`, in milliseconds, evenly among all starts that
/// `candidates` allow.
///
/// Integer arithmetic on sha256 of the seed; the order of the candidates matters and repeated
/// milliseconds count twice. `None` where no candidate is long enough.
pub fn choose_segment(seed: [u8; 32], candidates: &[Segment], clip_ms: u64) -> Option<u64> {
    let starts = |segment: &Segment| {
        let length = segment.end_ms.saturating_sub(segment.start_ms);
        u128::from(length.checked_sub(clip_ms).map_or(0, |room| room.saturating_add(1)))
    };
    let total: u128 = candidates.iter().map(starts).sum();
    if total == 0 {
        return None;
    }
    let hash = Sha256::new().chain_update(DOMAIN).chain_update(seed).finalize();
    let mut number = [0; 16];
    number.copy_from_slice(&hash[..16]);
    // The bias of a remainder of 128 bits by fewer than 2^50 starts is below 2^-78.
    let mut left = u128::from_be_bytes(number) % total;
    for segment in candidates {
        let room = starts(segment);
        if left < room {
            return Some(segment.start_ms + left as u64);
        }
        left -= room;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_choice_is_fixed_by_the_seed() {
        let candidates =
            [Segment { start_ms: 2000, end_ms: 9000 }, Segment { start_ms: 9150, end_ms: 20_000 }];
        let first = choose_segment([7; 32], &candidates, 5063);
        assert_eq!(first, choose_segment([7; 32], &candidates, 5063));
        let others =
            (0..20_u8).filter(|seed| choose_segment([*seed; 32], &candidates, 5063) != first);
        assert!(others.count() > 10);
    }

    #[test]
    fn no_long_enough_candidate_is_no_choice() {
        assert_eq!(choose_segment([0; 32], &[], 5063), None);
        assert_eq!(choose_segment([0; 32], &[Segment { start_ms: 0, end_ms: 5062 }], 5063), None);
        assert_eq!(
            choose_segment([0; 32], &[Segment { start_ms: 4, end_ms: 5067 }], 5063),
            Some(4)
        );
    }

    proptest! {
        #[test]
        fn the_clip_always_lies_inside_a_candidate(
            seed in any::<[u8; 32]>(),
            shots in proptest::collection::vec((0_u64..100_000, 0_u64..30_000), 0..8),
            clip_ms in 1_u64..10_000,
        ) {
            let candidates: Vec<Segment> =
                shots.iter().map(|(start, length)| Segment { start_ms: *start, end_ms: start + length }).collect();
            match choose_segment(seed, &candidates, clip_ms) {
                Some(start) => prop_assert!(
                    candidates.iter().any(|shot| shot.start_ms <= start && start + clip_ms <= shot.end_ms)
                ),
                None => prop_assert!(shots.iter().all(|(_, length)| *length < clip_ms)),
            }
        }
    }
}
