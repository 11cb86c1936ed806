//! How far an answer is from its reference, and what it is worth. The formula is that of Virtuals'
//! A2A subnet.

use super::bvh::Bvh;
use super::fault::{BvhError, Fault};
use super::pose::{Clip, Point, clip};

/// The joints that are compared: their names in an answer, and in a reference.
pub const JOINTS: [(&str, &str); 22] = [
    ("Pelvis", "hips_JNT"),
    ("Left_hip", "l_upleg_JNT"),
    ("Left_knee", "l_leg_JNT"),
    ("Left_ankle", "l_foot_JNT"),
    ("Left_foot", "l_toebase_JNT"),
    ("Right_hip", "r_upleg_JNT"),
    ("Right_knee", "r_leg_JNT"),
    ("Right_ankle", "r_foot_JNT"),
    ("Right_foot", "r_toebase_JNT"),
    ("Spine1", "spine_JNT"),
    ("Spine2", "spine1_JNT"),
    ("Spine3", "spine2_JNT"),
    ("Neck", "neck_JNT"),
    ("Head", "head_JNT"),
    ("Left_shoulder", "l_shoulder_JNT"),
    ("Left_elbow", "l_arm_JNT"),
    ("Left_wrist", "l_forearm_JNT"),
    ("Left_palm", "l_hand_JNT"),
    ("Right_shoulder", "r_shoulder_JNT"),
    ("Right_elbow", "r_arm_JNT"),
    ("Right_wrist", "r_forearm_JNT"),
    ("Right_palm", "r_hand_JNT"),
];

/// The distance beyond which an answer is wrong altogether, in the unit of the files.
pub const MAX_DISTANCE: f64 = 4000.0;
/// The time that a miner has, in seconds. The value of speed is measured by it.
pub const LONGEST_SECONDS: f64 = 180.0;
/// What an answer at [`MAX_DISTANCE`] loses of its correctness, and what a worse one keeps.
const LOST: f64 = 0.9;
const WRONG: f64 = 0.1;
/// What correctness and speed count.
const OF_CORRECTNESS: f64 = 0.7;
const OF_SPEED: f64 = 0.3;

/// The compared joints of an answer.
///
/// # Errors
/// [`BvhError`] where one is missing, or there twice.
pub fn clip_of_answer(bvh: &Bvh) -> Result<Clip, BvhError> {
    named(bvh, JOINTS.map(|(answer, _)| answer))
}

/// The compared joints of a reference.
///
/// # Errors
/// As for an answer.
pub fn clip_of_reference(bvh: &Bvh) -> Result<Clip, BvhError> {
    named(bvh, JOINTS.map(|(_, reference)| reference))
}

fn named(bvh: &Bvh, names: [&'static str; JOINTS.len()]) -> Result<Clip, BvhError> {
    let mut wanted = Vec::with_capacity(names.len());
    for name in names {
        let mut found = (0..bvh.joints.len()).filter(|index| bvh.joints[*index].name == name);
        let (first, more) = (found.next(), found.count());
        match first {
            Some(index) if more == 0 => wanted.push(index),
            _ => {
                let found = usize::from(first.is_some()) + more;
                return Err(BvhError { word: 0, fault: Fault::Joint { name, found } });
            }
        }
    }
    Ok(clip(bvh, &wanted))
}

/// The sum over the joints of the mean over the frames of how far the two are apart, √((dx² + dy² +
/// dz²)/3). Only the frames that both have are compared.
pub fn distance(answer: &Clip, reference: &Clip) -> f64 {
    let frames = answer.frames().min(reference.frames());
    let mut sums = [0.0; JOINTS.len()];
    for frame in 0..frames {
        let pairs = answer.frame(frame).iter().zip(reference.frame(frame));
        for (sum, (one, other)) in sums.iter_mut().zip(pairs) {
            *sum += apart(one, other);
        }
    }
    sums.iter().map(|sum| sum / frames.max(1) as f64).sum()
}

fn apart(one: &Point, other: &Point) -> f64 {
    let squares = one.iter().zip(other).map(|(one, other)| (one - other).powi(2));
    (squares.sum::<f64>() / 3.0).sqrt()
}

/// From 1 for no distance to 0.1 for [`MAX_DISTANCE`] and beyond.
pub fn correctness(distance: f64) -> f64 {
    if distance > MAX_DISTANCE { WRONG } else { 1.0 - LOST * distance / MAX_DISTANCE }
}

/// From 0.62 for no time to 0.38 for [`LONGEST_SECONDS`] and beyond.
pub fn speed(seconds: f64) -> f64 {
    let left = 1.0 - seconds.clamp(0.0, LONGEST_SECONDS) / LONGEST_SECONDS;
    1.0 / (1.0 + (-(left - 0.5)).exp())
}

/// What an answer is worth that is so far from the reference and took so long; nothing where there
/// is none.
pub fn value(distance: Option<f64>, seconds: f64) -> f64 {
    distance
        .map_or(0.0, |distance| OF_CORRECTNESS * correctness(distance) + OF_SPEED * speed(seconds))
}
