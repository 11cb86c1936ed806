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
/// Most tokens of an answer, its thoughts included: they count against the same limit. A grade has
/// some 500, a description 120, and a model that is not told how much to think takes a thousand or
/// two. Unused tokens cost nothing.
const USUAL_TOKENS: u32 = 4096;
/// Most tokens where those were not enough; the oldest models take no higher number.
const AMPLE_TOKENS: u32 = 8192;
/// Tokens of thought for models that take a number: the least that all of them accept.
const THOUGHT_TOKENS: u32 = 512;

/// How much a model may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough except for a model that thinks far more than usual.
    Usual,
    /// For another try, where an answer was cut off.
    Ample,
}

impl Room {
    fn tokens(self) -> u32 {
        match self {
            Self::Usual => USUAL_TOKENS,
            Self::Ample => AMPLE_TOKENS,
        }
    }
}

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
        room: Room,
    ) -> Result<Vec<u8>, JudgeError> {
        self.check_size(clip_mp4.len())?;
        let question = json!({"text": prompts::description(task.gives_first_frame())});
        let body = json!({
            "contents": [{"role": "user", "parts": [question, video(clip_mp4)]}],
            "generationConfig": self.settings(room, 0.2),
        });
        Ok(body.to_string().into_bytes())
    }

    /// Asks for a grade. The JSON body of a request.
    ///
    /// # Errors
    /// [`JudgeError::TooLarge`].
    pub fn grading_request(
        &self,
        request: &JudgeRequest<'_>,
        room: Room,
    ) -> Result<Vec<u8>, JudgeError> {
        self.check_size(request.video_mp4.len() + request.first_frame_png.map_or(0, <[u8]>::len))?;
        let question = prompts::grading(request.prompt, request.first_frame_png.is_some());
        let mut parts = vec![json!({"text": question})];
        if let Some(png) = request.first_frame_png {
            let picture = json!({"mimeType": "image/png", "data": STANDARD.encode(png)});
            parts.push(json!({"text": "The conditioning first frame:"}));
            parts.push(json!({"inlineData": picture}));
        }
        parts.extend([json!({"text": "The generated video:"}), video(request.video_mp4)]);
        let mut settings = self.settings(room, 0.1);
        settings["responseMimeType"] = "application/json".into();
        let body = json!({
            "systemInstruction": {"parts": [{"text": prompts::GRADING_SYSTEM}]},
            "contents": [{"role": "user", "parts": parts}],
            "generationConfig": settings,
        });
        Ok(body.to_string().into_bytes())
    }

    /// Generations take different settings of thought and refuse each other's with HTTP 400. A name
    /// without a generation, such as `gemini-flash-latest`, moves from one to the next, so it gets
    /// no such setting; the token limit leaves it room to think.
    fn settings(&self, room: Room, temperature: f64) -> Value {
        let mut settings = json!({"temperature": temperature, "maxOutputTokens": room.tokens()});
        if self.name.starts_with("gemini-2.5") {
            settings["thinkingConfig"] = json!({"thinkingBudget": THOUGHT_TOKENS});
        } else if self.name.starts_with("gemini-3") {
            settings["thinkingConfig"] = json!({"thinkingLevel": "low"});
        }
        settings
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
