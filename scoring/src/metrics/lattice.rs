//! Squares of any size: pixelation, enlarged pictures and coarse codecs.
//!
//! Their edges lie in the same few columns and rows of every frame. In a picture of things every
//! column has much the same share of the edges.

/// Of the columns and rows, this part may hold the edges of a lattice.
pub(crate) const LATTICE_PART: f32 = 0.08;
/// Columns and rows over which the amount of edges is evened out.
pub(crate) const EVEN: usize = 32;
/// An absolute difference that is added to all, of 255.
pub(crate) const EDGE_FLOOR: f32 = 0.3;

/// How much of all edges lies in few columns or rows, 0 to 1: [`LATTICE_PART`] where they are spread
/// evenly, 1 where squares are flat inside. `frames` are planes of rows of `width` bytes.
pub(crate) fn lattice(frames: &[&[u8]], width: usize) -> f32 {
    let height = frames.first().map_or(0, |frame| frame.len() / width);
    if height < 2 * EVEN || width < 2 * EVEN {
        return LATTICE_PART;
    }
    let mut across = vec![0_u64; width - 1];
    let mut down = vec![0_u64; height - 1];
    for frame in frames {
        for (row, line) in frame.chunks_exact(width).enumerate() {
            for (sum, pair) in across.iter_mut().zip(line.windows(2)) {
                *sum += u64::from(pair[0].abs_diff(pair[1]));
            }
            if row + 1 < height {
                let below = &frame[(row + 1) * width..][..width];
                let pairs = line.iter().zip(below);
                down[row] += pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            }
        }
    }
    let count = frames.len() as f32;
    concentration(&across, count * height as f32).max(concentration(&down, count * width as f32))
}

/// The share of the largest, once the amounts of the neighbourhood are evened out.
fn concentration(sums: &[u64], count: f32) -> f32 {
    let edges: Vec<f32> = sums.iter().map(|sum| *sum as f32 / count + EDGE_FLOOR).collect();
    let mut evened: Vec<f32> = (0..edges.len())
        .map(|at| {
            let around = &edges[at.saturating_sub(EVEN)..(at + EVEN).min(edges.len())];
            edges[at] / (around.iter().sum::<f32>() / around.len() as f32)
        })
        .collect();
    evened.sort_unstable_by(|a, b| b.total_cmp(a));
    let all: f32 = evened.iter().sum();
    let largest = (evened.len() as f32 * LATTICE_PART) as usize;
    evened[..largest].iter().sum::<f32>() / all.max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_found_and_texture_that_moves_is_not() {
        let hash = |x: usize, y: usize| ((x * 73_856_093) ^ (y * 19_349_663)) / 64 % 200;
        let frame = |square: usize, time: usize| -> Vec<u8> {
            let at = |at: usize| (at % 192 / square * square, at / 192 / square * square);
            (0..192 * 128).map(at).map(|(x, y)| (hash(x + 3 * time, y) + 20) as u8).collect()
        };
        let of = |square: usize| {
            let frames: Vec<Vec<u8>> = (0..4).map(|time| frame(square, time)).collect();
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            lattice(&frames, 192)
        };
        assert!(of(16) > 0.8 && of(24) > 0.8, "{} {}", of(16), of(24));
        assert!(of(1) < 0.15, "{}", of(1));
        assert_eq!(lattice(&[], 192), LATTICE_PART);
    }
}
