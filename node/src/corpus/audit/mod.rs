//! Repeats the choice of a task's clip, step by step, for anyone who can read the buckets.
//!
//! | step | holds when | cannot be checked when |
//! |---|---|---|
//! | `metadata` | the file is there, of this task, and has a proof | it is gone |
//! | `seed_block` | the seed is the task's first block | the allowlist of the task is not known |
//! | `seed_hash` | the chain has this hash for it | no chain and no hash is given |
//! | `corpus` | the bucket has the list that the choice names | it changed since |
//! | `video` | the draw gives this video, after those skipped | the list is not there any more |
//! | `skipped` | each is unusable here too | it is gone, was out of reach, or another ffmpeg looked at it |
//! | `source` | the video's bytes are those of the proof | it is gone |
//! | `shots` | they are those of the manifest, or found again | another ffmpeg found them |
//! | `segment` | the draw gives this shot and this millisecond | - |
//! | `clip` | `original_clip.mp4` is the file of the proof | it is gone |
//! | `cut` | the same cut made here shows the same frames | a file is missing |
//! | `first_frame` | `first_frame.png` is the clip's first frame | another ffmpeg wrote other bytes |
//! | `duplicates` | the copies that the verdict file names are copies by its fingerprints, and no others are | it has none, or the clip is gone |
//!
//! `duplicates` is left out where the bucket has no verdict file of the task. Which of two miners
//! committed earlier is not in that file, so that this step does not check it.
//!
//! Encoders differ between machines, so a cut is compared frame by frame in decoded luma, unless
//! its bytes are the same.

mod copies;
mod media;
mod run;
mod steps;
mod task;

pub(crate) use copies::{Copies, FileKind, check_copies};
pub(crate) use task::{AuditReport, Known, Step, TaskAudit, Verdict};
