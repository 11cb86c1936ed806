//! The self-test of a scorer's device, and its warm-up.

use super::fault::ScoreFault;
use super::self_test::{SelfTestReport, check_measures, self_test};
use super::setup::Scorer;
use super::synthetic_clips::source_and_answer;
use crate::comparison::Measures;
use crate::comparison::clip_features::{Features, View};
use crate::comparison::measures::{Side, compare};
use crate::comparison::replayed::Unknown;
use crate::device::{Device, on_backend};
use crate::media::{Clip, ClipShape};
use crate::metrics::{Host, Kernels, Tensors};

/// Steps of a warm-up at a task's shape.
const SHAPE_STEPS: [&str; 2] = ["a clip of a task's shape", "the same clip on the CPU"];

impl Scorer {
    /// Runs every metric on a synthetic clip on the device and on the CPU, and compares the
    /// results. This also warms the device up.
    ///
    /// # Errors
    /// [`ScoreFault::SelfTest`] names the first metric that differs; such a device must not score.
    pub fn self_test(&self) -> Result<SelfTestReport, ScoreFault> {
        self.self_test_with(&mut |_, _, _| {})
    }

    fn self_test_with(
        &self,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<SelfTestReport, ScoreFault> {
        let device = self.device();
        let tested = self.guarded(
            || on_backend!(device, B, handle => self_test::<B>(device, &handle, progress)),
        )?;
        Ok(tested?)
    }

    /// [`Scorer::self_test`], and on CUDA a comparison of clips of a task's size, because kernels
    /// are compiled at their first use of each size. Its measures are compared with the CPU's, which
    /// takes the CPU about two seconds. `progress` gets the number of steps done, the number of all
    /// steps, and the name of the last one.
    ///
    /// # Errors
    /// As [`Scorer::self_test`]; the fault may also name a measure of the clip of a task's size.
    pub fn warm_up(
        &self,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<SelfTestReport, ScoreFault> {
        let clips = match self.device() {
            // Nothing is compiled for the CPU.
            Device::Cpu => None,
            Device::Cuda { .. } => source_and_answer(ClipShape::TASK),
        };
        let shapes = if clips.is_some() { SHAPE_STEPS.len() } else { 0 };
        let mut report =
            self.self_test_with(&mut |done, of, metric| progress(done, of + shapes, metric))?;
        if let Some(clips) = clips {
            let (done, of) = (report.checks.len() + 1, report.checks.len() + shapes);
            let device = self.device();
            let got = self.guarded(
                || on_backend!(device, B, handle => measured(&Tensors::<B>::new(handle), &clips)),
            )?;
            if let Some(model) = &self.text_similarity {
                let every: Vec<usize> = (0..clips[0].len()).collect();
                self.guarded(|| model.pictures(&clips[0], &every))??;
            }
            progress(done, of, SHAPE_STEPS[0]);
            report.checks.push(check_measures(device, &got, &measured(&Host, &clips))?);
            progress(of, of, SHAPE_STEPS[1]);
        }
        Ok(report)
    }
}

/// The measures of an answer against its source, both of one size and length. What depends on a
/// task's opponents is left out: they are videos of the same size.
fn measured<'a, K: Kernels<'a>>(kernels: &K, [source, answer]: &'a [Clip; 2]) -> Measures {
    let order: Vec<usize> = (0..source.len()).collect();
    let features = |clip: &'a Clip| {
        let view = View::of(kernels, clip, &order);
        Features::of(kernels, clip, &order, &view)
    };
    let (source_features, answer_features) = (features(source), features(answer));
    let unknown = Unknown::of(&source_features.course);
    let source = Side { clip: source, features: &source_features };
    let answer = Side { clip: answer, features: &answer_features };
    compare((source, answer), 0, &unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_and_loops_measure_the_same_of_a_whole_clip() {
        let shape = ClipShape { width: 256, height: 192, fps: 16, frames: 13 };
        let clips = source_and_answer(shape).unwrap();
        let tensors = Tensors::<burn_flex::Flex>::new(burn_flex::FlexDevice);
        let (got, want) = (measured(&tensors, &clips), measured(&Host, &clips));
        let check = check_measures(Device::Cpu, &got, &want).unwrap();
        assert!(check.values > 40, "{check:?}");
        // Another clip is told by the same comparison.
        let [source, _] = clips;
        let itself = [source.clone(), source];
        assert!(check_measures(Device::Cpu, &measured(&tensors, &itself), &want).is_err());
    }
}
