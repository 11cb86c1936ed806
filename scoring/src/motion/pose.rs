//! Forward kinematics: where joints are in each frame.
//!
//! A joint's rotation is the product of its channels in the order in which the file names them, after
//! its parent's. It is where its parent is, plus its offset turned by the parent's rotation. A
//! position channel takes the place of the offset's coordinate, which for the root means that the
//! offset has no effect where it moves.

use super::bvh::{Bvh, Channel, Joint};

/// A point, or a vector.
pub type Point = [f64; 3];

/// Rows.
type Matrix = [[f64; 3]; 3];

const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Where some joints are, frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// How many joints it has.
    joints: usize,
    /// The joints of one frame after those of the other.
    points: Vec<Point>,
}

impl Clip {
    /// A clip of so many joints; the points of one frame after those of the other.
    pub(super) fn of(joints: usize, points: Vec<Point>) -> Self {
        Self { joints, points }
    }

    /// How many frames it has.
    pub const fn frames(&self) -> usize {
        match self.points.len().checked_div(self.joints) {
            Some(frames) => frames,
            None => 0,
        }
    }

    /// The joints of a frame; none beyond the last frame.
    pub fn frame(&self, frame: usize) -> &[Point] {
        let start = frame.saturating_mul(self.joints);
        self.points.get(start..start.saturating_add(self.joints)).unwrap_or(&[])
    }
}

/// Where one joint is, and how it is turned.
#[derive(Clone, Copy)]
struct Pose {
    at: Point,
    turned: Matrix,
}

/// The places of these joints, by their indices, in each frame.
pub(super) fn clip(bvh: &Bvh, wanted: &[usize]) -> Clip {
    let mut points = Vec::with_capacity(bvh.frames.saturating_mul(wanted.len()));
    let mut poses: Vec<Pose> = Vec::with_capacity(bvh.joints.len());
    for frame in 0..bvh.frames {
        let mut numbers = bvh.numbers.iter().skip(frame * bvh.width).take(bvh.width);
        poses.clear();
        for joint in &bvh.joints {
            // Parents come first.
            let parent = joint.parent.and_then(|parent| poses.get(parent)).copied();
            poses.push(pose(joint, parent, &mut numbers));
        }
        points.extend(wanted.iter().filter_map(|index| poses.get(*index)).map(|pose| pose.at));
    }
    Clip::of(wanted.len(), points)
}

fn pose<'n>(
    joint: &Joint,
    parent: Option<Pose>,
    numbers: &mut impl Iterator<Item = &'n f64>,
) -> Pose {
    let (mut offset, mut own) = (joint.offset, IDENTITY);
    for (channel, number) in joint.channels.iter().zip(numbers) {
        match *channel {
            Channel::Position(axis) => offset[axis] = *number,
            Channel::Rotation(axis) => own = product(&own, &rotation(axis, *number)),
        }
    }
    let parent = parent.unwrap_or(Pose { at: [0.0; 3], turned: IDENTITY });
    let moved = turn(&parent.turned, offset);
    Pose {
        at: std::array::from_fn(|axis| parent.at[axis] + moved[axis]),
        turned: product(&parent.turned, &own),
    }
}

/// A rotation around an axis, counter-clockwise for who looks against it.
fn rotation(axis: usize, degrees: f64) -> Matrix {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (next, last) = ((axis + 1) % 3, (axis + 2) % 3);
    let mut matrix = IDENTITY;
    matrix[next][next] = cosine;
    matrix[next][last] = -sine;
    matrix[last][next] = sine;
    matrix[last][last] = cosine;
    matrix
}

fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let entry = |row: usize, column: usize| (0..3).map(|k| left[row][k] * right[k][column]).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)))
}

fn turn(matrix: &Matrix, point: Point) -> Point {
    std::array::from_fn(|row| (0..3).map(|k| matrix[row][k] * point[k]).sum())
}
