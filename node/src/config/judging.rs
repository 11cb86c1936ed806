//! What miners are given, and who judges their answers.

use std::path::PathBuf;

use leoma_scoring::{DeviceChoice, JudgeChoice, TaskType};

use super::error::ConfigError;
use super::values::{from_str, path};

super::declare::settings! {
    pub(crate) struct JudgingConfig {
        /// the device that scores video
        LEOMA_DEVICE = setting("auto, cuda, cuda:N or cpu", Some("auto"))
            => device: DeviceChoice, parsed(from_str);
        /// what miners are given: a first frame and a prompt, a prompt (needs LEOMA_JUDGE gemini
        /// or both), or a first frame
        LEOMA_TASK = setting("ti2v, t2v or i2v", Some("ti2v")) => task: TaskType, parsed(from_str);
        /// who judges: the metrics, Gemini, or the lower of both; Gemini then writes the prompts
        /// too
        LEOMA_JUDGE = setting("local, gemini or both", Some("local"))
            => judge: JudgeChoice, parsed(from_str);
        /// a CLIP or SigLIP model that says, beside the metrics, how well videos show their
        /// prompts
        LEOMA_TEXT_MODEL =
            setting("a folder with config.json, model.safetensors and tokenizer.json", None)
            => text_model: Option<PathBuf>, optional(path);
    }
}

impl JudgingConfig {
    /// Checks that something can write the prompts for the task's miners.
    pub(crate) fn need_describer(&self) -> Result<(), ConfigError> {
        // Our own description says what moves, not what is to be seen: the first frame shows that.
        let needed = self.task.gives_prompt() && !self.task.gives_first_frame();
        if needed && !self.judge.asks_gemini() {
            Err(ConfigError::NoDescriber { task: self.task })
        } else {
            Ok(())
        }
    }
}
