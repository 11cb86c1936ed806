//! The constants of all measures, by name, for the judge's digest.

use super::metric_numbers;
use super::numbers::numbers;
use crate::comparison::{
    block_sums as reduced, clip_features as features, course, measures, measures as compare,
    opponents, replayed,
};
use crate::fingerprint::{self, Fingerprint, comparison, framing, quarter, traces};

/// One line for each constant, in the order of the modules' names. `compare` has become a part of
/// `measures`, and keeps its name in the digest.
pub(crate) fn constants() -> String {
    /// Raised when the computation of a measure changes but its constants do not.
    const VERSION: u32 = 4;
    let others = numbers! {
        compare: LEAST_FLOW, ROUNDING, FLAT, LEAST_REST;
        course: STRIDE, QUARTER, CELL, FLOW_CELL;
        features: COLOUR_FACTOR, HALF;
        comparison: SPEEDS, AHEAD, PART, LEAST_CHANGE, LEAST_PLACES;
        fingerprint: VERSION, LATE, CROPPED;
        framing: SCALES, LEAST_SHOWN, ONE, LEAST_LIKENESS, SURE, MARGIN, MAX_ROUNDS;
        measures: CHALLENGE, MOST_GUESSED;
        opponents: ZOOM, SHIFT;
        quarter: BLOCK, SUBPIXEL, PART;
        reduced: BLOCK;
        replayed: ASIDE, FIRST_LOOK, LEAST_UNKNOWN, LEAST_COUNTED, LEAST_LIKE, NOTHING;
        traces: MOMENTS, PLACES, AT_ONCE, VALUES, UNSEEN, STEPS, FIRST, APART, REACH, INNER, OUTER,
            UNIT;
    };
    let mut modules = [metric_numbers(), others].concat();
    // The digest has the comparison of fingerprints in front of their own numbers.
    modules.sort_by_key(|row| if row.0 == "comparison" { "fingerprint" } else { row.0 });
    let lines: String = modules.into_iter().map(|(_, lines)| lines).collect();
    format!("VERSION {VERSION}\n{lines}Fingerprint::COPY_BELOW {}\n", Fingerprint::COPY_BELOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Fails for a new constant that is not in a table. Its value belongs in the judge's digest, so
    /// that validators see a change of it in each other's verdicts.
    #[test]
    fn every_number_of_a_measure_has_its_line() {
        let lines = constants();
        for line in [
            "VERSION 4",
            "flow::RADIUS 7",
            "ssim::SIGMA 1.5",
            "freeze::HELD_PART 0.15",
            "reduced::BLOCK 8",
        ] {
            assert!(lines.lines().any(|known| known == line), "{line} is missing of\n{lines}");
        }
        let listed = |module: &str, name: &str| {
            lines.lines().any(|line| line.starts_with(&format!("{module}::{name} ")))
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = ["comparison", "fingerprint", "metrics"].map(|folder| source.join(folder));
        for file in files.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
            let file = file.unwrap().path();
            let module = match file.file_stem().unwrap().to_str().unwrap() {
                "block_sums" | "resample" => "reduced",
                "clip_features" => "features",
                "mod" => "fingerprint",
                module => module,
            };
            // Loops of the CPU, in a folder, have no numbers of their own.
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            for line in text.split("mod tests").next().into_iter().flat_map(str::lines) {
                let Some((before, rest)) = line.split_once("const ") else { continue };
                let Some((name, _)) = rest.split_once(':') else { continue };
                let of_module =
                    before.is_empty() || (before.starts_with("pub") && before.ends_with(") "));
                let known = listed(module, name)
                    || (module == "measures" && listed("compare", name))
                    || NO_NUMBERS_OF_MEASURES.contains(&name);
                assert!(known || !of_module, "{module}::{name}");
            }
        }
    }

    #[test]
    fn modules_stand_in_the_order_that_the_digest_depends_on() {
        let lines = constants();
        let mut modules: Vec<&str> =
            lines.lines().filter_map(|line| Some(line.split_once("::")?.0)).collect();
        modules.dedup();
        assert_eq!(modules[3..8], ["course", "direction", "features", "comparison", "fingerprint"]);
    }

    /// Sizes of batches, of strips and of a header. They affect the speed of a measure or its
    /// encoding, not its value.
    const NO_NUMBERS_OF_MEASURES: [&str; 6] =
        ["BATCH", "COVER", "EVEN_BYTES", "HEADER", "MAPS", "STRIP"];
}
