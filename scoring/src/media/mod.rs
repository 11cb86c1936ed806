//! Decodes hostile files to plain frames, and cuts the sampler's clips.
//!
//! Canonical frames are planar YUV 4:2:0 with 8 bits, as coded: no scaling, no rotation, edit lists
//! ignored, frame order and count unchanged. Nearly all files are coded so. For them no arithmetic
//! happens after the codec's, so that two validators get the same bytes. Other layouts (4:4:4, 10
//! bits) go through ffmpeg's conversion.
//!
//! | attack | answer |
//! |---|---|
//! | playlist or concat script named `.mp4` | the MP4 demuxer is forced; no other file is opened |
//! | external data references in the MP4 | switched off by name |
//! | 16k frames, an hour of frames in 400 KB | size and count are checked on the probe, then again while decoding |
//! | damage that decoders conceal, differently each time | the first error in a stream ends it |
//! | rotation, edit lists, odd timestamps | ignored |
//! | decoder bombs | processor time, memory and wall clock are limited outside the decoder |
//! | decoder bugs | child process, no network where permitted, empty environment, no new privileges |

mod cut;
mod decode;
mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod input;
mod jail;
mod limits;
mod picture;
mod probe;
mod scenes;
mod segment;
mod tools;

pub use cut::{ClipShape, cut_clip, first_frame_png};
pub(crate) use decode::decode_if;
pub use decode::{Clip, Frame, decode};
pub use fault::{MediaError, MediaFault, VideoDefect};
pub(crate) use limits::check_size;
pub use limits::{Limits, read_bounded};
pub(crate) use picture::{decode_png, encode_clip};
pub use probe::{Rational, VideoInfo, probe};
pub use scenes::one_shot_segments;
pub use segment::{SceneRules, Segment, choose_segment};
pub use tools::{Ffmpeg, FfmpegMissing};
