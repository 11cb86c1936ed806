//! Whether an answer replays the source: fine detail that only the source shows.

use super::course::{CELL, Course, STRIDE};
use crate::media::Clip;
use crate::metrics::{Grid, Host, Kernels, Plane, changed_cells, detail_likeness, uncovered};
use rayon::prelude::*;

/// Looks at the beginning that are left out: little has come into view.
pub(crate) const FIRST_LOOK: usize = 4;
/// Cells, in thousandths of all that are looked at, below which too little has come into view to
/// tell.
pub(crate) const LEAST_UNCOVERED: usize = 3;

/// Pixels of a look, across and down, at which the source is compared with itself.
pub(crate) const ASIDE: (usize, usize) = (9, 5);

/// What the source shows and its first frame does not.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    /// For each look after the first the cells that have come into view.
    open: Vec<Vec<bool>>,
    /// For each look after the first the cells that show something other than at the beginning.
    changed: Vec<Vec<bool>>,
    /// Whether enough comes into view to tell a replay by it.
    tells: bool,
}

impl Unknown {
    /// What comes into view in a source of this course.
    pub(crate) fn of(course: &Course) -> Self {
        let open = uncovered(&course.cell_flow);
        let changed = changed_cells(&course.looks, CELL);
        let late = open.iter().skip(FIRST_LOOK - 1);
        let (cells, all) = late.fold((0, 0), |(cells, all), look| {
            (cells + look.iter().filter(|open| **open).count(), all + look.len())
        });
        Self { open, changed, tells: cells * 1000 >= all * LEAST_UNCOVERED }
    }

    /// The likeness of what the source shows elsewhere to what its first frame does not show: a
    /// pattern that repeats can be guessed.
    pub(crate) fn repeated(&self, (source, course): (&Clip, &Course)) -> f32 {
        let looks = course.looks.iter().map(|look| look.moved(ASIDE)).collect();
        let aside = Course { looks, ..course.clone() };
        let same: Vec<usize> = (0..source.len()).collect();
        self.likeness((source, course), &aside, &same)
    }

    /// Likeness of the answer's detail to the source's where the first frame shows nothing, in the
    /// range [-1, 1]. Looks are compared with the source's most similar moments, named by `alike` for each
    /// frame of the answer, and with those at the same time. Where too little comes into view,
    /// detail is compared wherever the source changes, in its very place, since only the source's
    /// own frames have it there.
    pub(crate) fn likeness(
        &self,
        (source, source_course): (&Clip, &Course),
        answer: &Course,
        alike: &[usize],
    ) -> f32 {
        let columns = answer.flow.shape()[2];
        let cells = if self.tells { &self.open } else { &self.changed };
        let last = answer.looks.len().min(cells.len() + 1);
        let looks: Vec<usize> = (FIRST_LOOK.min(last)..last).collect();
        let found = looks.par_iter().map(|look| {
            let ours = &answer.looks[*look];
            let likeness = |theirs: &Plane, open: &[bool]| {
                let flow = if self.tells { pair_flow(theirs, ours) } else { Grid::default() };
                detail_likeness(theirs, ours, (flow.values(), CELL), (open, columns))
            };
            let same = likeness(&source_course.looks[*look], &cells[look - 1]);
            let other = alike[look * STRIDE];
            let other_look = other.div_ceil(STRIDE).min(cells.len());
            if other == look * STRIDE || other_look == 0 {
                return same;
            }
            let next = likeness(&quarter(source, other), &cells[other_look - 1]);
            if next.1 > 0 && next.0 > same.0 { next } else { same }
        });
        let found: Vec<(f32, usize)> = found.collect();
        let compared: usize = found.iter().map(|(_, cells)| cells).sum();
        // Too little of what has come into view shows any detail, so nothing can be told.
        if compared * 1000 < found.len() * cells.first().map_or(0, Vec::len) * LEAST_UNCOVERED {
            return 0.0;
        }
        let sum: f64 = found.iter().map(|(like, cells)| f64::from(*like) * *cells as f64).sum();
        (sum / compared.max(1) as f64) as f32
    }
}

/// A frame at a quarter of the size.
fn quarter(clip: &Clip, frame: usize) -> Plane {
    let full = Host.pictures(&[clip.luma(frame)], clip.height(), clip.width());
    let small = Host.halved(&Host.halved(&full));
    Plane { values: small.plane(0), width: small.size().1 }
}

/// Flow that leads from one picture to another.
fn pair_flow(from: &Plane, to: &Plane) -> Grid {
    Host.flow_of_planes([&from.values, &to.values], from.width, CELL)
}
