//! What each role's video is made of.

use leoma_scoring::calibration::continuation::{Artefact, RUNGS, pushed_with_camera};
use leoma_scoring::calibration::{Degradation, STRENGTHS, warped};
use leoma_scoring::media::Clip;

use super::Role;
use super::courses::Way;

/// Constant quality of an answer, for the fastest preset: a busy machine must not make good miners
/// late.
const QUALITY: u32 = 24;
/// That of the best model.
const BEST_QUALITY: u32 = 20;
/// Grain takes more bytes than any picture: at this quality a noisy answer stays small enough for a
/// judge's request.
const GRAIN_QUALITY: u32 = 34;
/// Next to nothing is left of a picture.
const COARSE_QUALITY: u32 = 50;
/// The rest of the clip upside down, backwards and in other colours.
const GARBAGE: &str = "split[a][b];[a]trim=end_frame=16[a];\
                       [b]reverse,vflip,hue=h=140,trim=end_frame=65[b];[a][b]concat";
/// A sixteenth of the width and of the height.
const UPSCALED: &str = "scale=26:15:flags=area,scale=416:240:flags=bicubic";
/// Four frames a second, each shown four times.
const LOW_FRAME_RATE: &str = "fps=4,fps=16,tpad=stop_mode=clone:stop_duration=1";
/// One frame for two and a half seconds. Half of the clip would be frozen.
const STALL: &str = "loop=loop=38:size=1:start=24,setpts=N/16/TB";

/// What a video is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The source clip, which has leaked.
    Source,
    /// The source clip of another scene.
    Neighbour,
    /// A course of its own through the same scene.
    Own(Way),
    /// Such a course, bent: several roles share one, and their videos must not be copies.
    Bent(Way),
    /// The good miner's answer.
    Stolen,
}

impl Base {
    /// The course that it is made from.
    pub(super) fn way(self) -> Option<Way> {
        match self {
            Self::Own(way) | Self::Bent(way) => Some(way),
            Self::Stolen => Some(Way::Best),
            Self::Source | Self::Neighbour => None,
        }
    }
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A degradation at its worst.
    Spoilt(Degradation),
    /// What a bad model does to things, at its worst.
    Artefact(Artefact),
    /// Everything is bent smoothly.
    Bent,
    /// Only the first frame is left, moved as a whole.
    Pushed,
}

impl Change {
    /// The changed clip; `other` is the clip of another scene.
    pub(super) fn apply(self, clip: &Clip, other: &Clip, seed: u64) -> Clip {
        match self {
            Self::Spoilt(degradation) => degradation.apply(clip, STRENGTHS, seed),
            Self::Artefact(artefact) => artefact.apply(clip, other, RUNGS, seed),
            Self::Bent => warped(clip, seed),
            Self::Pushed => pushed_with_camera(clip),
        }
    }

    /// Whether a clip of another scene is needed.
    pub(super) fn needs_other(self) -> bool {
        matches!(self, Self::Artefact(Artefact::Drift | Artefact::Popping))
    }
}

/// How an answer is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) base: Base,
    pub(super) change: Option<Change>,
    /// What ffmpeg does to it.
    pub(super) filter: &'static str,
    /// The rate factor.
    pub(super) quality: u32,
}

impl Recipe {
    const fn made_from(base: Base) -> Self {
        Self { base, change: None, filter: "null", quality: QUALITY }
    }

    const fn changed(self, change: Change) -> Self {
        Self { change: Some(change), ..self }
    }

    const fn spoilt(self, degradation: Degradation) -> Self {
        self.changed(Change::Spoilt(degradation))
    }

    const fn filtered(self, filter: &'static str) -> Self {
        Self { filter, ..self }
    }

    const fn at(self, quality: u32) -> Self {
        Self { quality, ..self }
    }

    /// `None` where there is no video.
    pub(super) fn of(role: Role) -> Option<Self> {
        let (source, stolen) = (Self::made_from(Base::Source), Self::made_from(Base::Stolen));
        let own = |way| Self::made_from(Base::Own(way));
        // What is made worse begins with an honest video.
        let (one, other) =
            (Self::made_from(Base::Bent(Way::Worse)), Self::made_from(Base::Bent(Way::Other)));
        Some(match role {
            Role::Good => own(Way::Best).at(BEST_QUALITY),
            Role::Rival => own(Way::Rival).filtered("gblur=sigma=1.5"),
            Role::Copycat | Role::Sometimes => own(Way::Casual),
            Role::Wandering => own(Way::Astray),
            Role::Blur => one.spoilt(Degradation::Blur),
            Role::Noise => one.spoilt(Degradation::Noise).at(GRAIN_QUALITY),
            Role::Loop => one.spoilt(Degradation::Loop),
            Role::Upscaled => one.filtered(UPSCALED),
            Role::Coarse => one.at(COARSE_QUALITY),
            Role::Melting => one.changed(Change::Artefact(Artefact::Melting)),
            Role::Morphing => one.changed(Change::Artefact(Artefact::Drift)),
            Role::Garbage => one.filtered(GARBAGE),
            Role::Flicker => other.spoilt(Degradation::Flicker),
            Role::Drift => other.spoilt(Degradation::Drift),
            Role::Overlay => other.spoilt(Degradation::Overlay),
            Role::Swimming => other.changed(Change::Artefact(Artefact::Swimming)),
            Role::LowFrameRate => other.filtered(LOW_FRAME_RATE),
            Role::Stall => other.filtered(STALL),
            Role::Short => other.filtered("trim=end_frame=20"),
            Role::WrongSize => other.filtered("scale=640:360"),
            Role::Freeze => source.spoilt(Degradation::Frozen),
            Role::GrainyFreeze => {
                source.spoilt(Degradation::Frozen).filtered("noise=alls=12:allf=t")
            }
            Role::Replay => source,
            Role::Warped => source.changed(Change::Bent),
            Role::Pushed => source.changed(Change::Pushed),
            Role::Neighbour => Self::made_from(Base::Neighbour),
            Role::Recoded => stolen,
            Role::Cropped => stolen.filtered("crop=iw*0.9:ih*0.9,scale=416:240"),
            Role::Flipped => stolen.filtered("hflip"),
            Role::Equalised => stolen.filtered("eq=contrast=1.15:brightness=0.05:saturation=1.2"),
            Role::Slowed => stolen.filtered("setpts=PTS/0.9,fps=16"),
            Role::Playlist => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_graded_has_a_video_of_its_own() {
        let base = |role| Recipe::of(role).map(|recipe| recipe.base);
        let mut alone = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Copycat) {
            match base(role) {
                None => assert_eq!(role, Role::Playlist),
                Some(Base::Stolen) => assert!(role.steals(), "{role}"),
                Some(Base::Own(way)) => alone.push(way),
                Some(Base::Bent(_) | Base::Source | Base::Neighbour) => {}
            }
        }
        let mut passing = Role::ALL.into_iter().filter(|role| role.expected().is_none());
        assert!(passing.all(|role| matches!(base(role), Some(Base::Own(_)))));
        for (number, way) in alone.iter().enumerate() {
            assert!(!alone[..number].contains(way), "two miners go the way {way:?}");
            let shared =
                Role::ALL.into_iter().filter_map(base).any(|base| base == Base::Bent(*way));
            assert!(!shared, "{way:?} is bent too");
        }
    }
}
