//! The course that a clip takes: its motion over longer steps, its colours, and what its own motion
//! does not explain. Computed once for each clip, on the CPU.

use crate::media::Clip;
use crate::metrics::{
    Grid, Host, Kernels, Plane, Unexplained, hue_change, identity_change, lattice, moving_detail,
    nonrigid_amount, nonrigid_share, overlaid, palette, residual_flow, sampled, strain,
    unexplained,
};
use rayon::prelude::*;

/// Frames from one look to the next: three eighths of a second.
pub(crate) const STRIDE: usize = 6;
/// Pixels of the full picture per pixel of a look.
pub(crate) const QUARTER: f32 = 4.0;
/// Cells of a look's flow, in its pixels: the same cells as those of the colours at a sixteenth.
pub(crate) const CELL: usize = 4;

/// Flow is kept as one value for each block of this side, in pixels of the half picture. Its
/// neighbourhood of 15 pixels resolves no more.
pub(crate) const FLOW_CELL: usize = 4;

/// A clip's course.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// Every [`STRIDE`]th frame at a quarter of the size.
    pub(crate) looks: Vec<Plane>,
    /// Flow from look to look, in pixels of a look.
    pub(crate) flow: Grid,
    /// What moves by itself: mean length in pixels of the full picture per look.
    pub(crate) nonrigid_amount: f32,
    /// Share of the picture that moves by itself.
    pub(crate) nonrigid_share: f32,
    /// Change of shape, in pixels per pixel and look.
    pub(crate) strain: f32,
    /// What the motion from look to look does not explain.
    pub(crate) slow: Unexplained,
    /// What the motion from frame to frame does not explain.
    pub(crate) fast: Unexplained,
    /// Change of the colours of followed places, look by look.
    pub(crate) identity: Vec<f32>,
    /// Change of hue at each step.
    pub(crate) hue: Vec<f32>,
    /// Means and spreads of the colours, look by look.
    pub(crate) palette: Vec<[f32; 6]>,
    /// What moving places keep of their sharpness in the first frame; `None` where nothing moves.
    pub(crate) moving_detail: Option<f32>,
    /// Concentration of edges in few columns or rows.
    pub(crate) lattice: f32,
    /// Share of edges that appear and stand still.
    pub(crate) overlaid: f32,
}

impl Course {
    /// The course of the frames `order` of `clip`. `flow` is from frame to frame, in pixels of the
    /// half picture; `luma` and `chroma` are at a sixteenth.
    pub(crate) fn of(
        clip: &Clip,
        order: &[usize],
        flow: &Grid,
        (luma, chroma): (&Grid, &Grid),
    ) -> Self {
        let planes: Vec<&[u8]> = order.iter().map(|index| clip.luma(*index)).collect();
        let full = Host.pictures(&planes, clip.height(), clip.width());
        let quarter = Host.halved(&Host.halved(&full));
        let width = quarter.size().1;
        let all: Vec<Plane> =
            (0..order.len()).map(|frame| Plane { values: quarter.plane(frame), width }).collect();
        let every = |frame: &usize| frame.is_multiple_of(STRIDE);
        let picked: Vec<usize> = (0..order.len()).filter(every).collect();
        let look_planes: Vec<&[u8]> = picked.iter().map(|frame| planes[*frame]).collect();
        let looks: Vec<Plane> = picked.iter().map(|frame| all[*frame].clone()).collect();
        let slow_flow = chained(flow, picked.len() - 1);
        let residual = residual_flow(&slow_flow);
        let cell_flow = scaled(&slow_flow, 1.0 / CELL as f32);
        let colours = colours(luma, chroma, &picked);
        let fast_flow = scaled(flow, 0.5);
        Self {
            nonrigid_amount: QUARTER * nonrigid_amount(&residual),
            nonrigid_share: nonrigid_share(&residual),
            strain: strain(&residual, CELL),
            slow: unexplained(&looks, &slow_flow, CELL),
            fast: unexplained(&all, &fast_flow, FLOW_CELL / 2),
            identity: identity_change(&cell_flow, &colours),
            hue: hue_change(&scaled(flow, 1.0 / FLOW_CELL as f32), &fine_chroma(clip, order, flow)),
            palette: palette(&colours),
            moving_detail: moving_detail(&looks, &cell_flow, CELL),
            lattice: lattice(&look_planes, clip.width()),
            overlaid: overlaid(&planes, clip.width()),
            looks,
            flow: slow_flow,
        }
    }
}

/// Flow from look to look, in pixels of a look: the path of each cell through the flows from frame
/// to frame, `[n, 2, r, c]` in pixels of the half picture. Unlike flow between distant pictures it
/// does not mistake one stripe of a pattern for the next.
pub(super) fn chained(flow: &Grid, pairs: usize) -> Grid {
    let [_, rows, columns] = flow.shape();
    let maps: Vec<&[f32]> = flow.maps().collect();
    let (look_rows, look_columns) = (rows / 2, columns / 2);
    let pair = |pair: usize| {
        let (mut right, mut down) = (Vec::new(), Vec::new());
        for cell in 0..look_rows * look_columns {
            let start = (
                (cell % look_columns) as f32 * 2.0 + 0.5,
                (cell / look_columns) as f32 * 2.0 + 0.5,
            );
            let (mut x, mut y) = start;
            for map in &maps[pair * STRIDE..((pair + 1) * STRIDE).min(maps.len())] {
                let (across, along) = map.split_at(rows * columns);
                let step = [across, along]
                    .map(|side| sampled(side, (columns, rows), (x, y)) / FLOW_CELL as f32);
                (x, y) = (x + step[0], y + step[1]);
            }
            // A cell of the half picture has half as many pixels of a look.
            let pixels = (FLOW_CELL / 2) as f32;
            right.push((x - start.0) * pixels);
            down.push((y - start.1) * pixels);
        }
        right.append(&mut down);
        right
    };
    let maps: Vec<Vec<f32>> = (0..pairs).into_par_iter().map(pair).collect();
    Grid::new(maps.concat(), [2, look_rows, look_columns])
}

fn scaled(grid: &Grid, by: f32) -> Grid {
    Grid::new(grid.values().iter().map(|value| value * by).collect(), grid.shape())
}

/// Brightness and chroma at a sixteenth of the `picked` frames, as three channels.
fn colours(luma: &Grid, chroma: &Grid, picked: &[usize]) -> Grid {
    let [_, rows, columns] = luma.shape();
    let (lumas, chromas): (Vec<&[f32]>, Vec<&[f32]>) =
        (luma.maps().collect(), chroma.maps().collect());
    let values = picked.iter().flat_map(|frame| [lumas[*frame], chromas[*frame]].concat());
    Grid::new(values.collect(), [3, rows, columns])
}

/// Chroma in the cells of the flow from frame to frame, `[n, 2, r, c]`.
fn fine_chroma(clip: &Clip, order: &[usize], flow: &Grid) -> Grid {
    let [_, rows, columns] = flow.shape();
    let width = clip.width().div_ceil(2);
    let maps: Vec<Vec<f32>> = order
        .par_iter()
        .map(|index| {
            let (blue, red) = clip.chroma(*index);
            [blue, red].map(|plane| cell_means(plane, width, (rows, columns))).concat()
        })
        .collect();
    Grid::new(maps.concat(), [2, rows, columns])
}

/// Means of squares of [`FLOW_CELL`] samples, from 0 to 1.
fn cell_means(plane: &[u8], width: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
    let mut sums = vec![0_u32; rows * columns];
    for (line, sums) in plane.chunks_exact(width * FLOW_CELL).zip(sums.chunks_exact_mut(columns)) {
        for row in line.chunks_exact(width) {
            for (sum, cell) in sums.iter_mut().zip(row.chunks_exact(FLOW_CELL)) {
                *sum += cell.iter().map(|value| u32::from(*value)).sum::<u32>();
            }
        }
    }
    let scale = (255 * FLOW_CELL * FLOW_CELL) as f32;
    sums.into_iter().map(|sum| sum as f32 / scale).collect()
}
