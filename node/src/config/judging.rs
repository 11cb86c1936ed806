//! What miners are given, and who judges their answers.

use std::path::PathBuf;

use leoma_scoring::{DeviceChoice, JudgeChoice, TaskType};

use super::error::ConfigError;
use super::mechanism;
use super::services::GEMINI_API_KEY;
use super::values::{Values, from_str};

super::declare::settings! {
    pub(crate) struct JudgingConfig {
        /// the device that scores video
        LEOMA_DEVICE = setting("auto, cuda, cuda:N or cpu", Some("auto"))
            => device: DeviceChoice, parsed(from_str);
        /// what miners are given: a first frame and a prompt, a prompt (needs LEOMA_JUDGE gemini
        /// or both), or a first frame; unset: what the mechanism gives, ti2v for video
        LEOMA_TASK = setting("ti2v, t2v or i2v", None)
            => task: TaskType, parsed_or(from_str, task_of_mechanism);
        /// who judges: the metrics, Gemini, or Gemini and what the metrics refuse; Gemini then
        /// writes the prompts too; unset: gemini where GEMINI_API_KEY is set, otherwise local
        LEOMA_JUDGE = setting("local, gemini or both", None)
            => judge: JudgeChoice, parsed_or(from_str, judge_by_key);
        /// a CLIP or SigLIP model that says, beside the metrics, how well videos show their
        /// prompts
        LEOMA_TEXT_MODEL =
            setting("a folder with config.json, model.safetensors and tokenizer.json", None)
            => text_model: Option<PathBuf>, optional_path();
        /// where `leoma models pull` puts models that LEOMA_TEXT_MODEL can name
        LEOMA_MODELS = setting("a folder", Some("~/.leoma/models")) => models: PathBuf, path();
    }
}

fn task_of_mechanism(values: &Values) -> TaskType {
    mechanism::task(values).unwrap_or_default()
}

/// Checks that `LEOMA_TASK` gives miners what the mechanism gives them.
pub(super) fn check_task(values: &Values) -> Result<(), ConfigError> {
    let set = values.optional(&LEOMA_TASK, from_str::<TaskType>)?;
    match (set, mechanism::task(values)) {
        (Some(set), Some(task)) if set != task => {
            let reason = format!("`{set}`, and the task of the mechanism is {task}");
            Err(values.refuse(&LEOMA_TASK, Some(reason)))
        }
        _ => Ok(()),
    }
}

/// An operator that pays for Gemini wants its judgement.
fn judge_by_key(values: &Values) -> JudgeChoice {
    match values.text(&GEMINI_API_KEY) {
        Some(_) => JudgeChoice::Gemini,
        None => JudgeChoice::Local,
    }
}

/// Why that judge judges, for the log.
pub(super) fn why_this_judge(values: &Values) -> &'static str {
    match (values.text(&LEOMA_JUDGE), values.text(&GEMINI_API_KEY)) {
        (Some(_), _) => "LEOMA_JUDGE names it",
        (None, Some(_)) => "LEOMA_JUDGE is not set, and GEMINI_API_KEY is",
        (None, None) => "neither LEOMA_JUDGE nor GEMINI_API_KEY is set",
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
