//! Finds a small shift between two pictures, in whole pixels, before they are compared.
//!
//! One pixel of shift costs a tenth of structural similarity although nobody sees it. The search
//! descends on the mean absolute difference. A shift beyond the limit is not corrected, because
//! that is a different picture.

use super::frame_means;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Largest shift in pixels: half a percent of the width.
pub(super) const LIMIT: i32 = 4;
/// A step must lower the difference by this share, so that noise causes no steps.
pub(super) const LEAST_GAIN: f32 = 0.98;

/// The shift of one picture's content in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift {
    /// Pixels to the right.
    pub right: i32,
    /// Pixels down.
    pub down: i32,
}

/// The shift of `moved` against `fixed`, both `[1, 1, h, w]`, at most four pixels in each
/// direction.
pub(crate) fn register<B: Backend>(moved: &Tensor<B, 4>, fixed: &Tensor<B, 4>) -> Shift {
    descend(|shifts| differences(moved, fixed, shifts))
}

/// The search itself, given the mean absolute differences under several shifts.
pub(super) fn descend(differences: impl Fn(&[Shift]) -> Vec<f32>) -> Shift {
    let around =
        [-1, 0, 1].into_iter().flat_map(|down| [-1, 0, 1].map(|right| Shift { right, down }));
    let around: Vec<Shift> = around.filter(|step| *step != Shift::default()).collect();
    let mut best = Shift::default();
    let mut least = differences(&[best])[0];
    // Each round moves by one pixel, so the limit bounds the rounds too.
    for _ in 0..2 * LIMIT {
        let next: Vec<Shift> = around
            .iter()
            .map(|step| Shift { right: best.right + step.right, down: best.down + step.down })
            .filter(|shift| shift.right.abs() <= LIMIT && shift.down.abs() <= LIMIT)
            .collect();
        let found = differences(&next);
        let closest = found.iter().zip(&next).min_by(|(a, _), (b, _)| a.total_cmp(b));
        match closest {
            Some((difference, shift)) if *difference < least * LEAST_GAIN => {
                (best, least) = (*shift, *difference)
            }
            _ => break,
        }
    }
    best
}

/// Cuts both sets of pictures `[n, 1, h, w]` to the part that they share under `shift`.
pub(crate) fn align<B: Backend>(
    moved: &Tensor<B, 4>,
    fixed: &Tensor<B, 4>,
    shift: Shift,
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let [frames, _, height, width] = moved.dims();
    let side = |by: i32, length: usize| {
        let lost = by.unsigned_abs() as usize;
        let (near, far) = (0..length - lost, lost..length);
        if by >= 0 { (far, near) } else { (near, far) }
    };
    let ((moved_rows, fixed_rows), (moved_columns, fixed_columns)) =
        (side(shift.down, height), side(shift.right, width));
    (
        moved.clone().slice([0..frames, 0..1, moved_rows, moved_columns]),
        fixed.clone().slice([0..frames, 0..1, fixed_rows, fixed_columns]),
    )
}

fn differences<B: Backend>(
    moved: &Tensor<B, 4>,
    fixed: &Tensor<B, 4>,
    shifts: &[Shift],
) -> Vec<f32> {
    let values = shifts.iter().map(|shift| {
        let (moved, fixed) = align(moved, fixed, *shift);
        frame_means((moved - fixed).abs())
    });
    crate::device::transfer::read(Tensor::cat(values.collect(), 0))
}
