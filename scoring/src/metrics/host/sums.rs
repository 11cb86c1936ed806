//! Sums that do not depend on the number of lanes or threads.

/// Partial sums kept apart, as many as the widest vectors have lanes.
const LANES: usize = 16;

/// Sum of `term` of each index below `count`, in a fixed order; terms are kept small in number (one
/// row), so that 32 bits hold them, and rows are added in 64.
#[inline(always)]
pub(super) fn sum_row(count: usize, term: impl Fn(usize) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let whole = count - count % LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
        start += LANES;
    }
    for (lane, sum) in lanes.iter_mut().enumerate().take(count - whole) {
        *sum += term(whole + lane);
    }
    lanes.iter().map(|sum| f64::from(*sum)).sum()
}
