//! A skeleton as a BVH file.

use std::fmt::Write as _;

use leoma_scoring::motion::JOINTS;

use crate::seed::Seed;

/// The parent of each of [`JOINTS`], by its place there.
const PARENTS: [usize; JOINTS.len()] =
    [0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 12, 11, 14, 15, 16, 11, 18, 19, 20];
/// How long a limb is, in millimetres: between these.
const LIMB: (f64, f64) = (80.0, 380.0);
/// Where the hips are in the resting pose.
const HIPS: [f64; 3] = [0.0, 900.0, 0.0];

/// Numbers of a frame: a position of the root, and three angles of each joint.
pub(super) const WIDTH: usize = 3 + 3 * JOINTS.len();

/// Whose names the joints have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of an answer.
    Answer,
    /// Those of a reference.
    Reference,
}

/// The lengths of a skeleton's limbs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Skeleton {
    offsets: Vec<[f64; 3]>,
}

impl Skeleton {
    pub(super) fn draw(seed: &Seed, name: &str) -> Self {
        let limb = |joint: usize| {
            let coordinate = |axis: usize| {
                let name = format!("{name}/limb/{joint}/{axis}");
                let length = seed.between(&name, LIMB.0, LIMB.1);
                // Limbs go up from the hips, and to both sides.
                match (axis, joint % 2) {
                    (1, _) | (0, 0) => length,
                    (0, _) => -length,
                    _ => length / 8.0,
                }
            };
            [0, 1, 2].map(coordinate)
        };
        let offsets = (0..JOINTS.len()).map(|joint| if joint == 0 { HIPS } else { limb(joint) });
        Self { offsets: offsets.collect() }
    }

    /// The file with these frames.
    pub(super) fn file(&self, names: Names, frames: &[[f64; WIDTH]]) -> String {
        let mut text = String::from("HIERARCHY\n");
        self.joint(0, 0, names, &mut text);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "MOTION\nFrames: {}\nFrame Time: 0.033333", frames.len());
        for frame in frames {
            let numbers: Vec<String> = frame.iter().map(|number| format!("{number:.4}")).collect();
            text += &numbers.join(" ");
            text.push('\n');
        }
        text
    }

    fn joint(&self, index: usize, depth: usize, names: Names, text: &mut String) {
        let (answer, reference) = JOINTS[index];
        let name = if names == Names::Answer { answer } else { reference };
        let (kind, channels) = match index {
            0 => ("ROOT", "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"),
            _ => ("JOINT", "3 Zrotation Xrotation Yrotation"),
        };
        let indent = "  ".repeat(depth);
        let [x, y, z] = self.offsets[index];
        let _ = writeln!(text, "{indent}{kind} {name}\n{indent}{{");
        let _ = writeln!(text, "{indent}  OFFSET {x:.3} {y:.3} {z:.3}");
        let _ = writeln!(text, "{indent}  CHANNELS {channels}");
        let mut children = (1..JOINTS.len()).filter(|child| PARENTS[*child] == index).peekable();
        if children.peek().is_none() {
            let _ = writeln!(text, "{indent}  End Site\n{indent}  {{");
            let _ = writeln!(text, "{indent}    OFFSET 0 40 0\n{indent}  }}");
        }
        for child in children {
            self.joint(child, depth + 1, names, text);
        }
        let _ = writeln!(text, "{indent}}}");
    }
}
