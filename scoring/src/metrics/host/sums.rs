//! Sums that do not depend on the number of lanes or threads.

/// Separate partial sums, as many as the widest vectors have lanes.
const LANES: usize = 16;

/// The sum of `term` over the indices below `count`, in a fixed order. It takes one row, for which
/// 32 bits suffice. Rows are added in 64.
#[inline(always)]
pub(crate) fn sum_row(count: usize, term: impl Fn(usize) -> f32) -> f64 {
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
