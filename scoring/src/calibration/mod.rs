//! Videos that are spoilt on purpose, by known amounts. Scores are calibrated on them, and cheats
//! of a test network send them.
//!
//! Everything works on decoded planes and depends only on the clip, the strength and a seed.

pub mod continuation;
mod field;
mod lettering;
pub(crate) mod picture;
mod time;

use crate::media::Clip;
use field::Field;
use picture::{Plane, map_planes, noise};

/// Every degradation has the strengths 1 to this.
pub const STRENGTHS: usize = 5;

/// A way to make a video worse. Strength 1 is hardly seen, strength 5 is useless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Degradation {
    /// Everything out of focus.
    Blur,
    /// Different grain in every frame.
    Noise,
    /// Coarsely quantised blocks of 8x8.
    Blocking,
    /// Brightness that changes from frame to frame.
    Flicker,
    /// Lost frames: the one before is shown again, and the motion jumps.
    Dropped,
    /// Repeated frames: the clip is slower and stutters.
    Duplicated,
    /// Brightness and colour that drift over time.
    Drift,
    /// Wrong colours from the first frame on.
    ColourShift,
    /// Things move differently from the source.
    WrongMotion,
    /// The camera moves differently from the source.
    WrongCamera,
    /// Motion stops before the end.
    Frozen,
    /// The beginning, over and over.
    Loop,
    /// Only the middle of the picture, enlarged.
    Crop,
    /// Letters over the picture, after half a second.
    Overlay,
    /// Fewer pixels than the file claims, enlarged.
    Upscaled,
}

impl Degradation {
    /// All degradations.
    pub const ALL: [Self; 15] = [
        Self::Blur,
        Self::Noise,
        Self::Blocking,
        Self::Flicker,
        Self::Dropped,
        Self::Duplicated,
        Self::Drift,
        Self::ColourShift,
        Self::WrongMotion,
        Self::WrongCamera,
        Self::Frozen,
        Self::Loop,
        Self::Crop,
        Self::Overlay,
        Self::Upscaled,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Blocking => "blocking",
            Self::Flicker => "flicker",
            Self::Dropped => "dropped",
            Self::Duplicated => "duplicated",
            Self::Drift => "drift",
            Self::ColourShift => "colour_shift",
            Self::WrongMotion => "wrong_motion",
            Self::WrongCamera => "wrong_camera",
            Self::Frozen => "frozen",
            Self::Loop => "loop",
            Self::Crop => "crop",
            Self::Overlay => "overlay",
            Self::Upscaled => "upscaled",
        }
    }

    /// The amounts that strengths 1 to 5 stand for, and their unit.
    pub fn amounts(self) -> ([f32; STRENGTHS], &'static str) {
        match self {
            Self::Blur => ([0.8, 1.5, 2.5, 4.0, 6.0], "pixels, standard deviation"),
            Self::Noise => ([3.0, 6.0, 12.0, 20.0, 32.0], "of 255, standard deviation"),
            Self::Blocking => ([16.0, 40.0, 80.0, 160.0, 320.0], "step of the quantiser"),
            Self::Flicker => ([1.5, 3.0, 6.0, 10.0, 16.0], "% of brightness, largest"),
            Self::Dropped => ([5.0, 15.0, 30.0, 50.0, 70.0], "% of frames"),
            Self::Duplicated => ([5.0, 15.0, 30.0, 50.0, 75.0], "% of frames"),
            Self::Drift => ([5.0, 12.0, 22.0, 36.0, 56.0], "of 255, at the end"),
            Self::ColourShift => ([3.0, 7.0, 14.0, 24.0, 40.0], "of 255"),
            Self::WrongMotion => ([6.0, 14.0, 28.0, 56.0, 100.0], "pixels, at the end"),
            // A slow drift is one of the courses that an answer is free to take.
            Self::WrongCamera => ([0.4, 0.8, 1.6, 3.2, 6.4], "pixels per frame"),
            Self::Frozen => ([10.0, 25.0, 50.0, 75.0, 100.0], "% of the clip"),
            Self::Loop => ([72.0, 56.0, 40.0, 24.0, 12.0], "frames before it begins anew"),
            Self::Crop => ([1.0, 3.0, 6.0, 12.0, 25.0], "% of each side's length"),
            Self::Overlay => ([4.0, 6.0, 10.0, 12.0, 14.0], "pixels per dot of a letter"),
            Self::Upscaled => ([1.3, 1.8, 2.5, 4.0, 6.0], "times too small"),
        }
    }

    /// Degrades `clip`. A strength of 0 changes nothing, and one above 5 counts as 5.
    pub fn apply(self, clip: &Clip, strength: usize, seed: u64) -> Clip {
        let Some(step) = strength.checked_sub(1) else { return clip.clone() };
        let amount = self.amounts().0[step.min(STRENGTHS - 1)];
        let part = amount / 100.0;
        match self {
            Self::Blur => map_planes(clip, |plane, _| plane.blurred(amount / plane.scale())),
            Self::Noise => grain(clip, amount, seed),
            Self::Blocking => map_planes(clip, |plane, _| plane.quantised(amount)),
            Self::Flicker => {
                let gain = |frame| 1.0 + part * (2.0 * picture::fraction(seed, frame as u64) - 1.0);
                map_planes(clip, |plane, frame| {
                    let gain = if plane.is_luma() && frame > 0 { gain(frame) } else { 1.0 };
                    plane.changed(|value, _| (value - 16.0) * gain + 16.0)
                })
            }
            Self::Dropped => time::reordered(clip, &time::dropped(clip.len(), part, seed)),
            Self::Duplicated => time::reordered(clip, &time::slowed(clip.len(), 1.0 - part)),
            Self::Drift => {
                let last = clip.len().saturating_sub(1).max(1) as f32;
                tinted(clip, seed, move |frame| amount * frame as f32 / last)
            }
            Self::ColourShift => tinted(clip, seed, |_| amount),
            Self::WrongMotion => Field::new(seed).moved(clip, amount),
            Self::WrongCamera => field::camera(clip, amount, seed),
            Self::Frozen => time::reordered(clip, &time::stopped(clip.len(), 1.0 - part)),
            Self::Loop => time::reordered(clip, &time::looped(clip.len(), amount as usize)),
            Self::Crop => field::enlarged(clip, 1.0 - part),
            Self::Overlay => lettering::over(clip, amount as usize),
            Self::Upscaled => map_planes(clip, |plane, _| plane.through_smaller(amount)),
        }
    }
}

/// Pixels by which things in a bent clip are displaced at its end, root mean square.
const BENT_BY: f32 = 10.0;
/// Grain of a bent clip, of 255.
const BENT_GRAIN: f32 = 0.8;

/// A clip bent smoothly and covered with grain; its first frame stays where it is. A source that has
/// leaked is sent like this. Honest answers are other continuations: [`continuation::free`].
pub fn warped(clip: &Clip, seed: u64) -> Clip {
    grain(&Field::new(seed).moved(clip, BENT_BY), BENT_GRAIN, seed)
}

fn grain(clip: &Clip, amount: f32, seed: u64) -> Clip {
    map_planes(clip, |plane, frame| {
        let amount = if plane.is_luma() { amount } else { amount / 2.0 };
        plane.changed(|value, pixel| {
            value + amount * noise(seed, frame as u64, (plane.number(), pixel))
        })
    })
}

/// Shifts luma and chroma by an amount that may depend on the frame.
fn tinted(clip: &Clip, seed: u64, amount: impl Fn(usize) -> f32 + Sync) -> Clip {
    let (sine, cosine) = (std::f32::consts::TAU * picture::fraction(seed, 1)).sin_cos();
    map_planes(clip, |plane: Plane<'_>, frame| {
        let side = [0.5, cosine, sine][plane.number()];
        let shift = side * amount(frame);
        plane.changed(|value, _| value + shift)
    })
}
