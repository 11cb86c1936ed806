//! Reads the boxes of an MP4 without decoding anything (ISO/IEC 14496-12), so that a decoder gets
//! to see one track of pictures and nothing else.
//!
//! Everything else in the file, such as metadata, sound, subtitles, covers, chapters and time codes,
//! becomes `free` space: its box is renamed in place, so that no offset changes. A decoder then
//! spends nothing on a hundred thousand keys, and complains of nothing beside the picture.
//!
//! | file | subject |
//! |---|---|
//! | `boxes.rs` | box headers |
//! | `picture.rs` | the track of pictures, and what is hidden from the decoder |
//! | `edits.rs` | whether an edit list hides frames |
//! | `kind.rs` | the kind of a file that is not an MP4 |

mod boxes;
mod edits;
mod kind;
mod picture;

pub(super) use picture::{Picture, Use};
