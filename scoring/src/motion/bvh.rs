//! A BVH file: a skeleton, which of its joints move how, and the frames. Everything in it is a
//! stranger's word: sizes are bounded before anything is kept, numbers are finite.

use super::fault::{BvhError, Fault, MAX_BVH_BYTES, MAX_FRAMES, MAX_JOINTS, shown};
use super::words::Words;

/// Most channels of one joint: three positions and three rotations.
const MAX_CHANNELS: usize = 6;
/// Longest name of a joint.
const MAX_NAME: usize = 64;

/// What a channel moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Along this axis.
    Position(usize),
    /// Around this axis, in degrees.
    Rotation(usize),
}

impl Channel {
    fn of(word: &str) -> Option<Self> {
        let (axis, kind) = word.split_at_checked(1)?;
        let axis = ["x", "y", "z"].iter().position(|name| axis.eq_ignore_ascii_case(name))?;
        if kind.eq_ignore_ascii_case("position") {
            Some(Self::Position(axis))
        } else if kind.eq_ignore_ascii_case("rotation") {
            Some(Self::Rotation(axis))
        } else {
            None
        }
    }
}

/// A joint of the skeleton.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joint {
    pub(super) name: String,
    /// Its place in the list of joints, before its own; `None` for the root.
    pub(super) parent: Option<usize>,
    /// Where it is from its parent.
    pub(super) offset: [f64; 3],
    /// In the order in which they are applied.
    pub(super) channels: Vec<Channel>,
}

/// A file that was read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Bvh {
    /// Parents first.
    pub(super) joints: Vec<Joint>,
    /// How many numbers a frame has.
    pub(super) width: usize,
    pub(super) frames: usize,
    /// One frame after the other.
    pub(super) numbers: Vec<f64>,
}

impl Bvh {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BvhError`] for the first thing that is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, BvhError> {
        let fault = |fault| BvhError { word: 0, fault };
        if file.len() > MAX_BVH_BYTES {
            return Err(fault(Fault::TooLarge));
        }
        let text = std::str::from_utf8(file).map_err(|_| fault(Fault::NotText))?;
        let mut words = Words::new(text);
        let joints = skeleton(&mut words)?;
        let width = joints.iter().map(|joint| joint.channels.len()).sum();
        words.expect("MOTION")?;
        words.expect("Frames:")?;
        let frames = words.count("the number of frames", MAX_FRAMES)?;
        if frames == 0 {
            return Err(words.fault(Fault::NoFrames));
        }
        words.expect("Frame")?;
        words.expect("Time:")?;
        words.number("the time of a frame")?;
        let mut numbers = Vec::new();
        for _ in 0..frames {
            for _ in 0..width {
                numbers.push(words.number("a frame's number")?);
            }
        }
        words.end()?;
        Ok(Self { joints, width, frames, numbers })
    }

    /// How many frames it has.
    pub const fn frames(&self) -> usize {
        self.frames
    }
}

/// What is open while a skeleton is read.
enum Open {
    Joint(usize),
    End,
}

/// Reads the skeleton. It is as deep as it has joints, so there is no recursion.
fn skeleton(words: &mut Words<'_>) -> Result<Vec<Joint>, BvhError> {
    words.expect("HIERARCHY")?;
    words.expect("ROOT")?;
    let mut joints = Vec::new();
    let mut open = Vec::new();
    begin(words, None, &mut joints, &mut open)?;
    while let Some(inner) = open.last() {
        let word = words.next("the end of the skeleton")?;
        match inner {
            _ if word == "}" => {
                open.pop();
            }
            Open::Joint(parent) if word.eq_ignore_ascii_case("JOINT") => {
                begin(words, Some(*parent), &mut joints, &mut open)?;
            }
            Open::Joint(_) if word.eq_ignore_ascii_case("End") => {
                words.expect("Site")?;
                words.expect("{")?;
                let _where_the_limb_ends = offset(words)?;
                open.push(Open::End);
            }
            Open::Joint(_) => {
                let wanted = "JOINT, End Site or }";
                return Err(words.fault(Fault::Expected { wanted, found: shown(word) }));
            }
            Open::End => {
                return Err(words.fault(Fault::Expected { wanted: "}", found: shown(word) }));
            }
        }
    }
    Ok(joints)
}

/// Reads a joint as far as its children.
fn begin(
    words: &mut Words<'_>,
    parent: Option<usize>,
    joints: &mut Vec<Joint>,
    open: &mut Vec<Open>,
) -> Result<(), BvhError> {
    if joints.len() >= MAX_JOINTS {
        return Err(words.fault(Fault::TooManyJoints));
    }
    let name = words.next("a joint's name")?;
    if name.len() > MAX_NAME || name == "{" {
        return Err(words.fault(Fault::Name(shown(name))));
    }
    words.expect("{")?;
    let offset = offset(words)?;
    words.expect("CHANNELS")?;
    let count = words.count("the number of channels", MAX_CHANNELS)?;
    let mut channels = Vec::with_capacity(count);
    for _ in 0..count {
        let word = words.next("a channel")?;
        let channel = Channel::of(word);
        let channel = channel.ok_or_else(|| words.fault(Fault::Channel(shown(word))))?;
        if channels.contains(&channel) {
            return Err(words.fault(Fault::ChannelTwice(shown(word))));
        }
        channels.push(channel);
    }
    open.push(Open::Joint(joints.len()));
    joints.push(Joint { name: name.to_owned(), parent, offset, channels });
    Ok(())
}

fn offset(words: &mut Words<'_>) -> Result<[f64; 3], BvhError> {
    words.expect("OFFSET")?;
    let mut coordinate = || words.number("an offset");
    Ok([coordinate()?, coordinate()?, coordinate()?])
}
