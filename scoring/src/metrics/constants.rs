//! The constants of all measures, by name, for the judge's digest.

use super::{
    blockiness, camera, colour, flow, freeze, motion, noise, psnr, registration, replay, sharpness,
    ssim, warping,
};
use crate::comparison::{block_sums as reduced, clip_features as features, compare as measures};
use crate::fingerprint::{self, Fingerprint, comparison, framing, quarter, traces};
use std::fmt::Write as _;

/// Raised when the computation of a measure changes but its constants do not.
const VERSION: u32 = 1;

macro_rules! numbers {
    ($($module:ident: $($name:ident),+;)+) => {{
        let mut text = format!("VERSION {VERSION}\n");
        $($(
            // Writing to a string never fails.
            let _ = writeln!(text, concat!(stringify!($module), "::", stringify!($name), " {:?}"), $module::$name);
        )+)+
        text
    }};
}

/// One line for each constant: module, name and value. Rust prints a float as the shortest text
/// that parses to the same bits, so the lines are the same everywhere.
pub(crate) fn constants() -> String {
    let measures = numbers! {
        blockiness: BLOCK, FLOOR;
        camera: ROUNDS, LEAST_SPREAD;
        colour: LOCAL_PART;
        features: COLOUR_FACTOR, HALF, FLOW_CELL;
        comparison: SPEEDS, AHEAD, PART, LEAST_CHANGE, LEAST_PLACES;
        fingerprint: VERSION, LATE, CROPPED;
        flow: RADIUS, WARPS, REGULARISATION, LARGEST_STEP, LEAST_SIDE, MOST_LEVELS;
        framing: SCALES, LEAST_SHOWN, ONE, LEAST_LIKENESS, SURE, MARGIN, MAX_ROUNDS;
        freeze: LEAST_MOTION, HELD_PART;
        measures: LEAST_FLOW, ROUNDING, FLAT;
        motion: STILL;
        noise: KERNEL;
        psnr: LEAST_ERROR;
        quarter: BLOCK, SUBPIXEL, PART;
        reduced: BLOCK;
        registration: LIMIT, LEAST_GAIN;
        replay: LEAST_DETAIL;
        sharpness: LAPLACIAN;
        ssim: TAPS, SIGMA, C1, C2, OFFSET, SCALE_WEIGHTS;
        traces: MOMENTS, PLACES, AT_ONCE, VALUES, UNSEEN, STEPS, FIRST, APART, REACH, INNER, OUTER, UNIT;
        warping: DISAGREEMENT, DISAGREEMENT_FLOOR, BOUNDARY, BOUNDARY_FLOOR;
    };
    format!("{measures}Fingerprint::COPY_BELOW {}\n", Fingerprint::COPY_BELOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails for a new constant that is not in the table. Its value belongs in the judge's digest,
    /// so that validators see a change of it in each other's verdicts.
    #[test]
    fn every_number_of_a_measure_has_its_line() {
        let lines = constants();
        for line in [
            "VERSION 1",
            "flow::RADIUS 7",
            "ssim::SIGMA 1.5",
            "freeze::HELD_PART 0.15",
            "reduced::BLOCK 8",
        ] {
            assert!(lines.lines().any(|known| known == line), "{line} is missing of\n{lines}");
        }
        // Constants of the modules that the table lacks.
        let listed = |module: &str, name: &str| {
            lines.lines().any(|line| line.starts_with(&format!("{module}::{name} ")))
        };
        for (module, source) in SOURCES {
            for line in source.split("mod tests").next().into_iter().flat_map(str::lines) {
                let Some((before, rest)) = line.split_once("const ") else { continue };
                let Some((name, _)) = rest.split_once(':') else { continue };
                if before.is_empty() || (before.starts_with("pub") && before.ends_with(") ")) {
                    assert!(
                        listed(module, name) || NO_NUMBERS_OF_MEASURES.contains(&name),
                        "{module}::{name}"
                    );
                }
            }
        }
    }

    /// Sizes of batches and of a header. They affect the speed of a measure or its encoding, not
    /// its value.
    const NO_NUMBERS_OF_MEASURES: [&str; 3] = ["BATCH", "EVEN_BYTES", "HEADER"];
    const SOURCES: [(&str, &str); 23] = [
        ("blockiness", include_str!("blockiness.rs")),
        ("camera", include_str!("camera.rs")),
        ("colour", include_str!("colour.rs")),
        ("comparison", include_str!("../fingerprint/comparison.rs")),
        ("fingerprint", include_str!("../fingerprint/mod.rs")),
        ("features", include_str!("../comparison/clip_features.rs")),
        ("flicker", include_str!("flicker.rs")),
        ("flow", include_str!("flow.rs")),
        ("framing", include_str!("../fingerprint/framing.rs")),
        ("freeze", include_str!("freeze.rs")),
        ("measures", include_str!("../comparison/compare.rs")),
        ("motion", include_str!("motion.rs")),
        ("noise", include_str!("noise.rs")),
        ("psnr", include_str!("psnr.rs")),
        ("quarter", include_str!("../fingerprint/quarter.rs")),
        ("reduced", include_str!("../comparison/block_sums.rs")),
        ("reduced", include_str!("../comparison/resample.rs")),
        ("registration", include_str!("registration.rs")),
        ("replay", include_str!("replay.rs")),
        ("sharpness", include_str!("sharpness.rs")),
        ("ssim", include_str!("ssim.rs")),
        ("traces", include_str!("../fingerprint/traces.rs")),
        ("warping", include_str!("warping.rs")),
    ];
}
