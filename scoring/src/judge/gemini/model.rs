//! What Gemini is asked: the bodies of requests to
//! `POST {base}/v1beta/models/{model}:generateContent`.

use super::prompts;
use crate::judge::{JudgeError, JudgeThresholds, TaskType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The service takes 20 MB per request, which base64 leaves three quarters of.
const MAX_VIDEO_BYTES: usize = 14 << 20;
/// The service samples one frame per second unless told otherwise; flicker needs all of them.
const FRAMES_PER_SECOND: u32 = 16;
/// Tokens for a description of 90 words, generously.
const DESCRIPTION_TOKENS: u32 = 400;
/// Tokens for the JSON of a grade with its lists.
const GRADE_TOKENS: u32 = 1024;

/// What a judge is shown to grade one answer.
#[derive(Debug, Clone, Copy)]
pub struct JudgeRequest<'a> {
    /// The task's prompt, where it has one.
    pub prompt: Option<&'a str>,
    /// The conditioning first frame, PNG, where the task has one.
    pub first_frame_png: Option<&'a [u8]>,
    /// The miner's video, MP4.
    pub video_mp4: &'a [u8],
    /// What counts as passed.
    pub thresholds: JudgeThresholds,
}

/// A Gemini model: builds requests to it and reads its replies. Sending them is the caller's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeminiModel {
    pub(super) name: String,
}

impl GeminiModel {
    /// The model of this name, e.g. `gemini-2.5-flash`.
    ///
    /// # Errors
    /// [`JudgeError::Settings`] where the name cannot be part of an address.
    pub fn new(name: &str) -> Result<Self, JudgeError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || !name.chars().all(allowed) {
            let reason = format!("model {name:?} is not of letters, digits, '-', '.' and '_'");
            return Err(JudgeError::Settings { reason });
        }
        Ok(Self { name: name.to_owned() })
    }

    /// Names the judge in verdict files, e.g. `gemini:gemini-2.5-flash`.
    pub fn id(&self) -> String {
        format!("gemini:{}", self.name)
    }

    /// The path of its method, to be appended to the service's address.
    pub fn path(&self) -> String {
        format!("v1beta/models/{}:generateContent", self.name)
    }

    /// Asks for a prompt of 50 to 90 words for the clip: motion first where the task gives the
    /// first frame too. The JSON body of a request.
    ///
    /// # Errors
    /// [`JudgeError::TooLarge`].
    pub fn description_request(
        &self,
        clip_mp4: &[u8],
        task: TaskType,
    ) -> Result<Vec<u8>, JudgeError> {
        self.check_size(clip_mp4.len())?;
        let question = json!({"text": prompts::description(task.gives_first_frame())});
        let body = json!({
            "contents": [{"role": "user", "parts": [question, video(clip_mp4)]}],
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": DESCRIPTION_TOKENS},
        });
        Ok(body.to_string().into_bytes())
    }

    /// Asks for a grade. The JSON body of a request.
    ///
    /// # Errors
    /// [`JudgeError::TooLarge`].
    pub fn grading_request(&self, request: &JudgeRequest<'_>) -> Result<Vec<u8>, JudgeError> {
        self.check_size(request.video_mp4.len() + request.first_frame_png.map_or(0, <[u8]>::len))?;
        let question = prompts::grading(request.prompt, request.first_frame_png.is_some());
        let mut parts = vec![json!({"text": question})];
        if let Some(png) = request.first_frame_png {
            let picture = json!({"mimeType": "image/png", "data": STANDARD.encode(png)});
            parts.push(json!({"text": "The conditioning first frame:"}));
            parts.push(json!({"inlineData": picture}));
        }
        parts.extend([json!({"text": "The generated video:"}), video(request.video_mp4)]);
        let body = json!({
            "systemInstruction": {"parts": [{"text": prompts::GRADING_SYSTEM}]},
            "contents": [{"role": "user", "parts": parts}],
            "generationConfig": {
                "temperature": 0.1,
                "maxOutputTokens": GRADE_TOKENS,
                "responseMimeType": "application/json",
            },
        });
        Ok(body.to_string().into_bytes())
    }

    fn check_size(&self, bytes: usize) -> Result<(), JudgeError> {
        if bytes > MAX_VIDEO_BYTES {
            return Err(JudgeError::TooLarge { judge: self.id(), bytes });
        }
        Ok(())
    }
}

fn video(mp4: &[u8]) -> Value {
    json!({
        "inlineData": {"mimeType": "video/mp4", "data": STANDARD.encode(mp4)},
        "videoMetadata": {"fps": FRAMES_PER_SECOND},
    })
}
