//! Whether an answer replays the source: fine detail that only the source shows.

use super::course::{CELL, Course, STRIDE};
use crate::media::Clip;
use crate::metrics::{
    Flow, Grid, Host, Kernels, Plane, changed_cells, detail_likeness, likeness_at,
    likeness_shifted, traced, unknown,
};
use rayon::prelude::*;

/// Looks at the beginning that are left out: little has come into view.
pub(crate) const FIRST_LOOK: usize = 4;
/// Pixels, in thousandths of all that are looked at, below which too little is unknown to tell.
pub(crate) const LEAST_UNKNOWN: usize = 30;
/// Pixels or cells, in thousandths of all that are looked at, below which they are none.
pub(crate) const LEAST_COUNTED: usize = 3;
/// The part of the unknown places, the least like, that says nothing: registration fails somewhere.
pub(crate) const LEAST_LIKE: f32 = 0.1;

/// Less than any likeness: nothing could be compared.
pub(crate) const NOTHING: f32 = -2.0;

/// Pixels of a look, across and down, at which the source is compared with itself.
pub(crate) const ASIDE: (usize, usize) = (9, 5);

/// What the source shows and its first frame does not.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    /// For each look after the first the pixels that cannot be followed from it.
    unknown: Vec<Vec<bool>>,
    /// For each look after the first the cells that show something other than at the beginning.
    changed: Vec<Vec<bool>>,
    /// What can be told from it.
    tells: Tells,
}

/// By what a replay of a source can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// By what is unknown.
    Unknown,
    /// By nothing: too little is unknown, and who follows the same course shows the same elsewhere.
    Nothing,
    /// By what changes, in its very place: as good as everything can be followed.
    InPlace,
}

impl Tells {
    /// Of a source with this many unknown pixels of all.
    const fn of(unknown: usize, all: usize) -> Self {
        if unknown * 1000 >= all * LEAST_UNKNOWN {
            Self::Unknown
        } else if unknown * 1000 >= all * LEAST_COUNTED {
            Self::Nothing
        } else {
            Self::InPlace
        }
    }
}

impl Unknown {
    /// What is unknown in a source of this course.
    pub(crate) fn of(course: &Course) -> Self {
        let pairs: Vec<&[Plane]> = course.looks.windows(2).collect();
        let traces = pairs.par_iter().map(|pair| {
            let back = pair_flow(&pair[1], &pair[0]);
            traced(&pair[1], &pair[0], Flow { map: back.values(), cell: CELL })
        });
        let traces: Vec<_> = traces.collect();
        let unknown = unknown(&traces, course.looks.first().map_or(0, |look| look.width));
        let (count, all) =
            unknown.iter().skip(FIRST_LOOK - 1).fold((0, 0), |(count, all), look| {
                (count + look.iter().filter(|unknown| **unknown).count(), all + look.len())
            });
        let changed = changed_cells(&course.looks, CELL);
        Self { unknown, changed, tells: Tells::of(count, all) }
    }

    /// The likeness of what the source shows aside to what its first frame does not show: a pattern
    /// that repeats can be guessed.
    pub(crate) fn repeated(&self, (source, course): (&Clip, &Course)) -> f32 {
        let looks: Vec<Plane> = course.looks.iter().map(|look| look.moved(ASIDE)).collect();
        if self.tells != Tells::Unknown {
            let aside = Course { looks, ..course.clone() };
            let same: Vec<usize> = (0..source.len()).collect();
            return self.likeness((source, course), &aside, &same);
        }
        // Flow would lead from each place back to itself. A whole shift meets the next repetition
        // of a fine pattern.
        let later: Vec<usize> = (FIRST_LOOK.min(looks.len())..looks.len()).collect();
        let found = later.par_iter().map(|look| {
            likeness_shifted(&self.unknown[look - 1], &course.looks[*look], &looks[*look])
                .map(Found::of)
                .max_by(|one, other| one.likeness.total_cmp(&other.likeness))
        });
        self.likeness_of_found(found.flatten().collect())
    }

    /// Likeness of the answer's detail to the source's where it is unknown, in the range [-1, 1]:
    /// nine tenths of the places are at least as like. Looks are compared with the source's most
    /// similar moments, named by `alike` for each frame of the answer, and with those at the same
    /// time. Where too little is unknown to tell, it is 0. Where as good as nothing is, detail is
    /// compared wherever the source changes, in its very place, since only the source's own frames
    /// have it there.
    pub(crate) fn likeness(
        &self,
        source: (&Clip, &Course),
        answer: &Course,
        alike: &[usize],
    ) -> f32 {
        match self.tells {
            Tells::Unknown => self.likeness_of_unknown(source, answer, alike),
            Tells::Nothing => 0.0,
            Tells::InPlace => self.likeness_in_place(source, answer, alike),
        }
    }

    fn likeness_of_unknown(
        &self,
        source: (&Clip, &Course),
        answer: &Course,
        alike: &[usize],
    ) -> f32 {
        let found = moments(source, answer, alike, |look, theirs, ours| {
            let flow = pair_flow(theirs, ours);
            let flow = Flow { map: flow.values(), cell: CELL };
            let found = Found::of(likeness_at(&self.unknown[look - 1], theirs, ours, flow));
            (found.likeness, found)
        });
        self.likeness_of_found(found.into_iter().map(|(_, found)| found).collect())
    }

    /// The likeness of nine tenths of the places of all looks, or more.
    fn likeness_of_found(&self, found: Vec<Found>) -> f32 {
        let pixels: usize = self.unknown.iter().skip(FIRST_LOOK - 1).map(Vec::len).sum();
        let all = Found::of(found.into_iter().flat_map(|found| found.places).collect());
        // Too little of what is unknown shows any detail, so nothing can be told.
        let few = all.places.is_empty() || all.places.len() * 1000 < pixels * LEAST_COUNTED;
        if few { 0.0 } else { all.likeness }
    }

    fn likeness_in_place(&self, source: (&Clip, &Course), answer: &Course, alike: &[usize]) -> f32 {
        let columns = answer.flow.shape()[2];
        let found = moments(source, answer, alike, |look, theirs, ours| {
            let (likeness, cells) =
                detail_likeness(theirs, ours, (&self.changed[look - 1], columns), CELL);
            (if cells == 0 { NOTHING } else { likeness }, cells)
        });
        let compared: usize = found.iter().map(|(_, cells)| cells).sum();
        let cells = found.len() * self.changed.first().map_or(0, Vec::len);
        if compared * 1000 < cells * LEAST_COUNTED {
            return 0.0;
        }
        let sum: f64 = found.iter().map(|(like, cells)| f64::from(*like) * *cells as f64).sum();
        (sum / compared.max(1) as f64) as f32
    }
}

/// The likeness of the unknown places of a look or of a clip.
struct Found {
    /// The likeness that all but [`LEAST_LIKE`] of the places reach; [`NOTHING`] without places.
    likeness: f32,
    places: Vec<f32>,
}

impl Found {
    fn of(mut places: Vec<f32>) -> Self {
        places.sort_unstable_by(f32::total_cmp);
        let least = (places.len() as f32 * LEAST_LIKE) as usize;
        Self { likeness: places.get(least).copied().unwrap_or(NOTHING), places }
    }
}

/// What `compare` finds at each look after the first few, of the source's look of this number: at
/// the same time, or at the most similar moment where that is more alike. The first of what it
/// returns says how alike they are.
fn moments<T: Send>(
    (source, source_course): (&Clip, &Course),
    answer: &Course,
    alike: &[usize],
    compare: impl Fn(usize, &Plane, &Plane) -> (f32, T) + Sync,
) -> Vec<(f32, T)> {
    let last = answer.looks.len().min(source_course.looks.len());
    let looks: Vec<usize> = (FIRST_LOOK.min(last)..last).collect();
    let found = looks.par_iter().map(|look| {
        let ours = &answer.looks[*look];
        let same = compare(*look, &source_course.looks[*look], ours);
        let other = alike[look * STRIDE];
        let other_look = other.div_ceil(STRIDE).min(source_course.looks.len() - 1);
        // In the first looks too little has come into view.
        if other == look * STRIDE || other_look < FIRST_LOOK {
            return same;
        }
        let next = compare(other_look, &quarter(source, other), ours);
        if next.0 > same.0 { next } else { same }
    });
    found.collect()
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
