//! Whether a clip is a challenge: whether anything in it moves by itself.
//!
//! A clip that a pushed picture can imitate does not tell a model from a trick, so callers that
//! draw clips skip it.

use super::course::chained;
use super::measures::CHALLENGE;
use crate::media::Clip;
use crate::metrics::{Host, Kernels, nonrigid_amount, nonrigid_share, residual_flow};

/// How much of a clip moves by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Challenge {
    /// Mean length of the flow that no affine camera explains, in pixels of the full picture per
    /// six frames, 0 up: [`crate::Measures::nonrigid`] of a source.
    pub nonrigid: f32,
    /// Share of the picture that moves by itself, 0 to 1.
    pub share: f32,
}

impl Challenge {
    /// Measures a clip of at least seven frames, on the CPU: a third of a second for a task's clip.
    /// A shorter one gives 0.
    pub fn of(clip: &Clip) -> Self {
        let planes: Vec<&[u8]> = (0..clip.len()).map(|index| clip.luma(index)).collect();
        let half = Host.halved(&Host.pictures(&planes, clip.height(), clip.width()));
        let flow = Host.flow(&half, super::course::FLOW_CELL);
        let pairs = flow.len() / super::course::STRIDE;
        if pairs == 0 {
            return Self { nonrigid: 0.0, share: 0.0 };
        }
        let residual = residual_flow(&chained(&flow, pairs));
        Self {
            nonrigid: super::course::QUARTER * nonrigid_amount(&residual),
            share: nonrigid_share(&residual),
        }
    }

    /// Whether the clip tells a model from a pushed picture.
    pub fn is_one(&self) -> bool {
        self.nonrigid >= CHALLENGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::continuation::{Course, Scene, SceneKind};
    use crate::comparison::opponents::{Path, pushed};

    #[test]
    fn a_scene_with_things_is_a_challenge_and_a_pushed_picture_is_none() {
        let scene = Scene::new(SceneKind::SlowPan, 3, (256, 192));
        let clip = scene.render(&Course::SOURCE, 31);
        let found = Challenge::of(&clip);
        assert!(found.is_one() && found.share > 0.02, "{found:?}");
        let pushed = Challenge::of(&pushed(&clip, &Path::of(&clip).with_zoom(0.1)));
        assert!(!pushed.is_one() && pushed.share < 0.01, "{pushed:?}");
        let short = scene.render(&Course::SOURCE, 3);
        assert!(!Challenge::of(&short).is_one());
    }
}
