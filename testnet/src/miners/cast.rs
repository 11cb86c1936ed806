//! The roles of miners on a local subnet.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// A miner's role: what it answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The best model: a course of its own, with details of its own.
    Good,
    /// Another good model, further from the source's course and less sharp.
    Rival,
    /// As good, but half of the requests stay unanswered.
    Sometimes,
    /// Everything out of focus.
    Blur,
    /// Grain that changes every frame.
    Noise,
    /// Brightness that jumps from frame to frame.
    Flicker,
    /// Colours that move away.
    Drift,
    /// Four frames a second, each shown four times.
    LowFrameRate,
    /// One frame for two and a half seconds, then the rest.
    Stall,
    /// Compressed until little is left.
    Coarse,
    /// Shapes that melt.
    Melting,
    /// Textures that swim on the things that bear them.
    Swimming,
    /// Everything turns into another scene.
    Morphing,
    /// Everything goes the other way than the prompt says.
    Wandering,
    /// The first frame for five seconds.
    Freeze,
    /// The first frame for five seconds, under moving grain.
    GrainyFreeze,
    /// The first frame, moved as a whole at the camera's speed.
    Pushed,
    /// A good endpoint whose model is a copy of another miner's.
    Copycat,
    /// The source clip, which has leaked.
    Replay,
    /// The leaked source, bent by ten pixels and with grain.
    Warped,
    /// The source clip of another scene.
    Neighbour,
    /// The first second over and over.
    Loop,
    /// A good first second, then something else.
    Garbage,
    /// Letters that praise the video.
    Overlay,
    /// A sixteenth of the width and of the height, enlarged.
    Upscaled,
    /// A quarter of the clip.
    Short,
    /// Another size than was asked for.
    WrongSize,
    /// A playlist that would have the decoder open another file.
    Playlist,
    /// The good miner's video, re-encoded.
    Recoded,
    /// The good miner's video without its border.
    Cropped,
    /// The good miner's video in the mirror.
    Flipped,
    /// The good miner's video, brighter and with more contrast.
    Equalised,
    /// The good miner's video, a tenth slower.
    Slowed,
}

/// How a verdict has to name what a miner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The entry's status.
    pub status: &'static str,
    /// A part of its reasoning.
    pub reason: &'static str,
}

impl Role {
    /// All roles, in the order in which they join: six miners have one of each main kind,
    /// [`Role::ALL`]`.len()` have every role.
    pub const ALL: [Self; 33] = [
        Self::Good,
        Self::Blur,
        Self::Freeze,
        Self::Copycat,
        Self::Sometimes,
        Self::Drift,
        Self::Flicker,
        Self::Noise,
        Self::LowFrameRate,
        Self::Replay,
        Self::Loop,
        Self::Overlay,
        Self::Upscaled,
        Self::Garbage,
        Self::Short,
        Self::WrongSize,
        Self::Playlist,
        Self::GrainyFreeze,
        Self::Rival,
        Self::Warped,
        Self::Pushed,
        Self::Neighbour,
        Self::Stall,
        Self::Coarse,
        Self::Melting,
        Self::Swimming,
        Self::Morphing,
        Self::Wandering,
        Self::Recoded,
        Self::Cropped,
        Self::Flipped,
        Self::Equalised,
        Self::Slowed,
    ];

    /// What a verdict about its video says; `None` for those whose video is good. A copycat's model
    /// is found out before it is asked for a video.
    pub const fn expected(self) -> Option<Expected> {
        let (status, reason) = match self {
            Self::Good | Self::Rival | Self::Sometimes | Self::Copycat => return None,
            Self::Blur | Self::Upscaled => ("failed", "detail"),
            Self::Coarse => ("failed", "blockiness"),
            Self::Noise => ("failed", "noise"),
            Self::Flicker => ("failed", "pumping"),
            Self::Drift => ("failed", "palette"),
            Self::LowFrameRate | Self::Stall => ("failed", "held"),
            Self::Melting | Self::Swimming => ("failed", "strain"),
            Self::Morphing => ("failed", "identity"),
            Self::Wandering => ("failed", "direction"),
            Self::Neighbour => ("failed", "first_ms_ssim"),
            Self::Pushed => ("failed", "pushed first frame"),
            Self::Loop => ("failed", "recurrence"),
            Self::Garbage => ("failed", "jump"),
            Self::Overlay => ("failed", "overlaid"),
            Self::Freeze | Self::GrainyFreeze => ("frozen", ""),
            Self::Short => ("too_short", ""),
            Self::WrongSize => ("wrong_resolution", ""),
            Self::Playlist => ("undecodable", ""),
            Self::Replay | Self::Warped => ("duplicate", "source clip"),
            Self::Recoded | Self::Cropped | Self::Flipped | Self::Equalised | Self::Slowed => {
                ("duplicate", "copy of")
            }
        };
        Some(Expected { status, reason })
    }
}

impl Role {
    /// Whether it sends the good miner's video.
    pub const fn steals(self) -> bool {
        matches!(
            self,
            Self::Recoded | Self::Cropped | Self::Flipped | Self::Equalised | Self::Slowed
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The roles of `count` miners in the order in which they commit.
///
/// The one good miner is always there and is not the first to commit: it has to beat an earlier,
/// worse one by its margin. Miners that copy its model or its videos commit after it. With more
/// miners than roles, roles repeat.
pub(crate) fn cast(seed: &Seed, count: usize) -> Vec<Role> {
    let mut zoo = Role::ALL.to_vec();
    if seed.fraction("cast") < 0.5 {
        let place = |role| Role::ALL.iter().position(|found| *found == role);
        if let (Some(one), Some(other)) = (place(Role::Drift), place(Role::Flicker)) {
            zoo.swap(one, other);
        }
    }
    let roles = zoo.into_iter().cycle().take(count.min(Role::ALL.len()));
    let more = Role::ALL.into_iter().filter(|role| *role != Role::Good).cycle();
    let roles = roles.chain(more.take(count.saturating_sub(Role::ALL.len())));
    let mut rest: Vec<Role> = roles.filter(|role| *role != Role::Good).collect();
    if count == 0 {
        return rest;
    }
    // The first to commit can only lose; all others follow the good one.
    let mut order = Vec::with_capacity(count);
    if let Some(place) = rest.iter().position(|role| *role == Role::Blur) {
        order.push(rest.remove(place));
    }
    order.push(Role::Good);
    order.extend(seed.shuffled("cast/order", rest));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_miners_show_every_main_kind_of_answer() {
        for seed in 0..20 {
            let roles = cast(&Seed::new(seed.to_string()), 6);
            assert_eq!(roles.len(), 6);
            for role in [Role::Good, Role::Blur, Role::Freeze, Role::Copycat, Role::Sometimes] {
                assert_eq!(
                    roles.iter().filter(|&&found| found == role).count(),
                    1,
                    "{role} in {roles:?}"
                );
            }
            assert!(roles.contains(&Role::Drift) || roles.contains(&Role::Flicker));
        }
    }

    #[test]
    fn the_whole_zoo_has_everyone_once() {
        let roles = cast(&Seed::new("zoo"), Role::ALL.len());
        for role in Role::ALL {
            assert_eq!(roles.iter().filter(|&&found| found == role).count(), 1, "{role}");
            assert_eq!(serde_json::to_value(role).unwrap(), role.to_string());
        }
    }

    #[test]
    fn any_number_has_one_good_miner_before_those_who_copy_it() {
        for count in 1..60 {
            let roles = cast(&Seed::new("x"), count);
            assert_eq!(roles.len(), count);
            let good = roles.iter().position(|role| *role == Role::Good).unwrap();
            assert_eq!(roles.iter().filter(|role| **role == Role::Good).count(), 1);
            let copies = |role: &Role| {
                *role == Role::Copycat || role.expected().is_some_and(|e| e.status == "duplicate")
            };
            assert!(roles.iter().position(copies).is_none_or(|copy| copy > good));
        }
        assert_eq!(cast(&Seed::new("x"), 0), []);
    }
}
