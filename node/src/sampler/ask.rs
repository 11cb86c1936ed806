//! Asking every valid miner for its video.

use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use leoma_protocol::Hotkey;
use leoma_scoring::media::{ClipShape, Limits};

use super::Sampler;
use super::clip::TaskClip;
use crate::miners::{AnswerFault, GenerateRequest, MinerTable};

/// One miner's answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) miner: Hotkey,
    pub(super) model_revision: String,
    pub(super) video: Result<Bytes, AnswerFault>,
    pub(super) latency_ms: u64,
}

impl Sampler {
    /// Asks all valid miners, a bounded number at a time. Answers come back sorted by hotkey; one miner's fault is its own.
    pub(super) async fn ask_all(&self, miners: &MinerTable, clip: &TaskClip, prompt: &str) -> Vec<Answer> {
        let request = GenerateRequest {
            prompt: prompt.to_owned(),
            first_frame: clip.first_frame.clone(),
            fps: ClipShape::TASK.fps,
            frames: ClipShape::TASK.frames,
        };
        let request = &request;
        let asked = miners.valid().map(|(miner, slug, revision)| (miner, slug.to_owned(), revision.to_owned()));
        let mut answers: Vec<Answer> = stream::iter(asked.collect::<Vec<_>>())
            .map(|(miner, slug, model_revision)| async move {
                let started = Instant::now();
                let timeout = self.config.request_timeout;
                let video = self.chutes.generate(&slug, request, timeout, Limits::ANSWER.file_bytes).await;
                let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(%miner, latency_ms, answered = video.is_ok(), "miner asked");
                Answer { miner, model_revision, video, latency_ms }
            })
            .buffer_unordered(self.config.concurrent_miners)
            .collect()
            .await;
        answers.sort_by_key(|answer| answer.miner);
        answers
    }
}
