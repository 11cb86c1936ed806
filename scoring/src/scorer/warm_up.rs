//! The self-test of a scorer's device, and its warm-up.

use super::fault::ScoreFault;
use super::self_test::{SelfTestReport, self_test};
use super::setup::Scorer;
use super::synthetic_clips::source_and_answer;
use crate::device::{Device, on_backend};
use crate::media::ClipShape;
use leoma_protocol::Digest;

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
    /// are compiled at their first use of each size. `progress` gets the number of steps done, the
    /// number of all steps, and the name of the last one.
    ///
    /// # Errors
    /// As [`Scorer::self_test`].
    pub fn warm_up(
        &self,
        progress: &mut dyn FnMut(usize, usize, &str),
    ) -> Result<SelfTestReport, ScoreFault> {
        let clips = match self.device() {
            // Nothing is compiled for the CPU.
            Device::Cpu => None,
            Device::Cuda { .. } => source_and_answer(ClipShape::TASK),
        };
        let shapes = if clips.is_some() { 2 } else { 0 };
        let report =
            self.self_test_with(&mut |done, of, metric| progress(done, of + shapes, metric))?;
        if let Some([source, answer]) = clips {
            let (done, of) = (report.checks.len() + 1, report.checks.len() + shapes);
            let reference = self.prepared(source, Digest::of(b"synthetic"))?;
            progress(done, of, "a source of the task's shape");
            self.measure(&reference, answer)?;
            progress(of, of, "an answer of the task's shape");
        }
        Ok(report)
    }
}
