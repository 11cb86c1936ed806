//! The shape of a local subnet's videos.

use leoma_scoring::media::ClipShape;

/// Width and height, as the local subnet's validators ask for. Small: four validators, their judges
/// and all models share a machine.
pub const VIDEO: (u32, u32) = (416, 240);
/// Frames per second.
pub(crate) const FRAME_RATE: u32 = ClipShape::TASK.fps;
/// Frames of an answer: five seconds and the first frame.
pub(crate) const CLIP_FRAMES: usize = ClipShape::TASK.frames as usize;
