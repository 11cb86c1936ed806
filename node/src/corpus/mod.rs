//! Source videos and the clips that are cut from them: which there are, which one a task is about,
//! and the proof of it.
//!
//! | file | what |
//! |---|---|
//! | `reading.rs` | the corpus as the bucket has it: the owner's manifest, or a listing |
//! | `challenge.rs` | how much moves by itself in each shot |
//! | `choice.rs` | which video and which second, from a block's hash alone |
//! | `cutting.rs` | the clip itself, with its proof |
//! | `proof.rs` | what a task's `metadata.json` says of the choice |
//! | `audit/` | the choice repeated, by anyone |

pub(crate) mod audit;
mod challenge;
mod choice;
mod cutting;
mod proof;
mod reading;

pub(crate) use challenge::own_motion;
pub use choice::{
    ChosenClip, LEAST_NONRIGID, MAX_VIDEOS_TRIED, choose_clip, is_challenge, videos_to_try,
};
pub use cutting::{ClipError, TaskClip, clip_of, videos_doing};
pub(crate) use proof::is_known_schema;
pub use proof::{
    ClipProof, Evidence, JudgeEvidence, MAX_PROOF_BYTES, PROOF_SCHEMA, Seed, Skipped, TaskMetadata,
};
pub use reading::{Corpus, CorpusError, CorpusId, CorpusVideo, Expectation, SkipReason};
