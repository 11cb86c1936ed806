//! Decodes hostile files to plain frames, and cuts the sampler's clips.
//!
//! Canonical frames are planar YUV 4:2:0 with 8 bits, BT.709 with limited range, upright, in the
//! order and number in which they were coded. For a file that is coded so, no arithmetic happens
//! after the codec's, so that two validators get the same bytes. Other colours are converted here,
//! in integers; other layouts (4:4:4, 10 bits, RGB) go through ffmpeg's conversion.
//!
//! A file counts as what a player shows. An answer of which a player shows something other than the
//! coded frames, because of an edit list or a rotation, is refused; a source video is shown as a
//! player would. A frame is on screen from its own time to the next frame's.
//!
//! | attack | answer |
//! |---|---|
//! | playlist or concat script named `.mp4` | the MP4 demuxer is forced; no other file is opened |
//! | external data references in the MP4 | switched off by name |
//! | 16k frames, an hour of frames in 400 KB | size and count are checked on the probe, then again while decoding |
//! | a size that changes in the middle | each frame's size is checked, and none is scaled to another's |
//! | damage that decoders conceal, differently each time | the first error in a stream ends it |
//! | rotation, edit lists | refused, or followed in sources |
//! | covers, sound, subtitles, chapters, megabytes of metadata | hidden from the decoder by renaming their boxes |
//! | decoder bombs | bytes, frames, pixels and coded parts are counted (`parts`); time and memory are limited outside the decoder, and exceeding those is this machine's fault |
//! | a broken ffmpeg, which looks like a broken video | a clip of the same codec is decoded with the same arguments (`control`) |
//! | decoder bugs | child process behind the walls of `jail`, empty environment, no new privileges |
//! | text aimed at a judge | the judge is shown a copy of the picture alone (`judge_copy`) |

mod clip;
mod colour;
mod control;
mod cut;
mod decode;
mod fault;
mod ffprobe;
#[cfg(fuzzing)]
pub mod fuzzing;
mod info;
mod input;
mod jail;
mod judge_copy;
mod layout;
mod limits;
mod mp4;
mod parts;
mod picture;
mod probe;
mod scenes;
mod segment;
mod times;
mod tools;
mod yuv4mpeg;

pub use clip::{Clip, Frame};
pub use cut::{ClipShape, cut_clip, first_frame_png};
pub use decode::decode;
pub(crate) use decode::decode_if;
pub use fault::{MediaError, MediaFault, VideoDefect};
pub use info::{Rational, VideoInfo};
pub use jail::Walls;
pub use judge_copy::{judge_copy, known_good_clip};
pub(crate) use limits::check_size;
pub use limits::{Limits, read_bounded};
pub(crate) use picture::{decode_png, encode_clip};
pub use probe::probe;
pub use scenes::one_shot_segments;
pub use segment::{SceneRules, Segment, choose_segment};
pub use tools::{Ffmpeg, FfmpegMissing};
