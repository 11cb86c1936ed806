//! What is wrong with a BVH file, and the limits of one.

use std::fmt;

/// Largest file that is read.
pub const MAX_BVH_BYTES: usize = 8 << 20;
/// Most joints of a skeleton, without the ends of its limbs.
pub const MAX_JOINTS: usize = 512;
/// Most frames: more than eleven minutes at 30 a second.
pub const MAX_FRAMES: usize = 20_000;
/// Longest word that an error shows.
const SHOWN: usize = 40;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BvhError {
    /// After how many of its words.
    pub(super) word: usize,
    pub(super) fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    NotText,
    Ends(&'static str),
    Expected {
        wanted: &'static str,
        found: String,
    },
    NotANumber {
        what: &'static str,
        found: String,
    },
    Count {
        what: &'static str,
        most: usize,
        found: String,
    },
    Name(String),
    Channel(String),
    ChannelTwice(String),
    TooManyJoints,
    NoFrames,
    More(String),
    /// The skeleton does not have this joint, or several of its name.
    Joint {
        name: &'static str,
        found: usize,
    },
}

impl fmt::Display for BvhError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::TooLarge => write!(f, "the BVH file has more than {MAX_BVH_BYTES} bytes"),
            Fault::NotText => f.write_str("the BVH file is not UTF-8"),
            Fault::Ends(what) => {
                write!(f, "the BVH file ends after {} words, before {what}", self.word)
            }
            Fault::Expected { wanted, found } => {
                write!(f, "word {} of the BVH file is `{found}`, not {wanted}", self.word)
            }
            Fault::NotANumber { what, found } => write!(
                f,
                "word {} of the BVH file, {what}, is `{found}`: not a number within ±10⁹",
                self.word
            ),
            Fault::Count { what, most, found } => write!(
                f,
                "word {} of the BVH file, {what}, is `{found}`: not a number up to {most}",
                self.word
            ),
            Fault::Name(found) => {
                write!(f, "word {} of the BVH file, `{found}`, is no joint's name", self.word)
            }
            Fault::Channel(found) => {
                write!(f, "word {} of the BVH file, `{found}`, is no channel", self.word)
            }
            Fault::ChannelTwice(found) => {
                write!(f, "word {} of the BVH file, `{found}`, is there twice", self.word)
            }
            Fault::TooManyJoints => write!(f, "the skeleton has more than {MAX_JOINTS} joints"),
            Fault::NoFrames => f.write_str("the BVH file has no frames"),
            Fault::More(found) => {
                write!(f, "after its last frame the BVH file goes on with `{found}`")
            }
            Fault::Joint { name, found: 0 } => write!(f, "the skeleton has no joint {name}"),
            Fault::Joint { name, found } => {
                write!(f, "the skeleton has {found} joints with the name {name}")
            }
        }
    }
}

impl std::error::Error for BvhError {}

/// A stranger's word, cut and without control characters.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}
