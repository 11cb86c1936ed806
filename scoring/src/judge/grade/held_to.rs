//! What readers are shown of a grade: each measure beside its bounds.

use super::aspects::Aspects;
use super::parts::parts;
use super::ramp::Ramp;
use crate::comparison::Measures;
use crate::judge::TaskType;

/// A measure beside what it is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldTo {
    /// The aspect that it feeds, by name.
    pub aspect: &'static str,
    /// The measure's name.
    pub name: &'static str,
    /// The number that is held to the bounds.
    pub value: f32,
    /// The bounds, in thousandths.
    pub ramp: Ramp,
    /// The points that it gives, 0 to 100.
    pub points: f64,
}

/// Every measure that a task asks for, by aspect and the worst first.
pub fn held_to(measures: &Measures, task: TaskType) -> Vec<HeldTo> {
    let mut parts = parts(measures, task);
    parts.sort_by(|a, b| a.aspect.cmp(&b.aspect).then(a.points.total_cmp(&b.points)));
    let shown = |part: super::parts::Part| HeldTo {
        aspect: Aspects::NAMES[part.aspect],
        name: part.name,
        value: part.value,
        ramp: part.ramp,
        points: part.points,
    };
    parts.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_come_by_aspect_and_the_worst_first() {
        let shown = held_to(&Measures::default(), TaskType::Ti2v);
        assert!(shown.len() > 20);
        let order = |one: &HeldTo| {
            let aspect = Aspects::NAMES.iter().position(|name| *name == one.aspect).unwrap();
            (aspect, one.points)
        };
        assert!(shown.is_sorted_by(|a, b| order(a) <= order(b)));
    }
}
