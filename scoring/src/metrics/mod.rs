//! Metrics of pictures and of motion, each in the file of its name, on tensors of any backend.
//!
//! Pictures are `[frames, 1, height, width]` with values from 0 to 1 (a byte divided by 255).
//! Results are one value per frame, `[frames]`.
//!
//! [`Kernels`] offers all of them behind one trait and has two implementations: [`Tensors`] defines
//! them, and [`Host`] computes the same in fused loops, several times as fast on a CPU, and to the
//! same bits on every x86-64 processor with any number of cores, except for the last bit of powers
//! and logarithms. Tests compare both, and so does the self-test on the validator's own device.
//!
//! A metric of pictures implements [`PictureMetric`] in its own file. Here it has its row in
//! [`picture_metrics`] or [`pair_metrics`], and its constants in `metric_numbers`.

mod blockiness;
mod camera;
mod colour;
mod constants;
mod direction;
mod flicker;
mod flow;
mod frames;
mod freeze;
mod gaussian;
mod host;
mod hue;
mod identity;
mod in_place;
mod kernels;
mod lattice;
mod motion;
mod moving_detail;
mod noise;
mod nonrigid;
mod numbers;
mod overlay;
mod psnr;
mod registration;
mod replay;
mod sampled;
mod sharpness;
mod ssim;
mod unexplained;
mod unknown;
mod warping;

pub use blockiness::Blockiness;
pub use camera::Camera;
pub(crate) use camera::camera;
pub(crate) use colour::distance;
pub(crate) use constants::constants;
pub(crate) use direction::{course_likeness, summed_direction};
pub(crate) use flicker::{change_from_first, flicker, frame_difference};
pub(crate) use flow::lucas_kanade;
pub(crate) use frames::{frame, frame_means, halve, per_frame};
pub(crate) use freeze::held_fraction;
pub use freeze::longest_hold;
pub use host::{Host, HostPictures};
pub(crate) use hue::{hue_change, palette, palette_distance};
pub(crate) use identity::identity_change;
pub(crate) use in_place::{changed_cells, detail_likeness};
pub use kernels::{Grid, Kernels, PictureMetric, PictureRow, Tensors};
pub(crate) use lattice::lattice;
pub(crate) use motion::{motion_amount, motion_smoothness};
pub(crate) use moving_detail::moving_detail;
pub use noise::Noise;
pub(crate) use nonrigid::{nonrigid_amount, nonrigid_share, residual_flow, strain};
pub(crate) use overlay::overlaid;
pub use psnr::Psnr;
pub use registration::Shift;
pub(crate) use registration::{align, register};
pub use replay::recurrence;
pub(crate) use replay::{correlations, most_alike};
pub(crate) use sampled::{Plane, sampled};
pub use sharpness::Sharpness;
pub use ssim::MsSsim;
pub(crate) use unexplained::{Unexplained, unexplained};
pub(crate) use unknown::{Flow, likeness_at, likeness_shifted, traced, unknown};

use numbers::numbers;

/// The metrics of single pictures. Clips are measured by all of them.
pub fn picture_metrics<'a, K: Kernels<'a>>() -> Vec<PictureRow<'a, K, 1>> {
    vec![PictureRow::of::<Sharpness>(), PictureRow::of::<Noise>(), PictureRow::of::<Blockiness>()]
}

/// The metrics of two pictures that are compared.
pub fn pair_metrics<'a, K: Kernels<'a>>() -> Vec<PictureRow<'a, K, 2>> {
    vec![PictureRow::of::<MsSsim>(), PictureRow::of::<Psnr>()]
}

/// The constants of all metrics, module by module, for the judge's digest.
fn metric_numbers() -> Vec<(&'static str, String)> {
    numbers! {
        blockiness: BLOCK, FLOOR;
        camera: ROUNDS, LEAST_SPREAD;
        direction: LEAST_PATH;
        flow: RADIUS, WARPS, REGULARISATION, LARGEST_STEP, LEAST_SIDE, MOST_LEVELS, LOW_PASS;
        freeze: LEAST_MOTION, HELD_PART;
        hue: GREY;
        in_place: SURROUND, CHANGED, LEAST_DETAIL;
        lattice: LATTICE_PART, EVEN, EDGE_FLOOR;
        motion: STILL;
        moving_detail: MOVING, FLAT_DETAIL, LEAST_MOVING;
        noise: KERNEL;
        nonrigid: BORDER, FLOW_NOISE, INNER_PART;
        overlay: EDGE, STILL_EDGE, LATER, EVERY, ONE_COLOUR;
        psnr: LEAST_ERROR;
        registration: LIMIT, LEAST_GAIN;
        replay: LEAST_DETAIL;
        sharpness: LAPLACIAN;
        ssim: TAPS, SIGMA, C1, C2, OFFSET, SCALE_WEIGHTS;
        unexplained: LEAST_CHANGE, WORST_PART;
        unknown: PATCH, SEARCH, FOUND, LEAST_DETAIL, COMPARED;
    }
}
