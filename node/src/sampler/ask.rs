//! Asking all valid miners for their videos.

use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _, stream};
use leoma_protocol::{BlockNumber, Hotkey};
use leoma_scoring::TaskType;
use leoma_scoring::media::{ClipShape, Limits};

use super::answer::Answer;
use super::parts::Sampler;
use crate::corpus::TaskClip;
use crate::miners::{GenerateRequest, MinerTable};

/// What each miner is given.
pub(super) fn request(task: TaskType, clip: &TaskClip, prompt: Option<&str>) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.filter(|_| task.gives_prompt()).map(str::to_owned),
        first_frame: task.gives_first_frame().then(|| clip.first_frame.clone()),
        fps: ClipShape::TASK.fps,
        frames: ClipShape::TASK.frames,
    }
}

impl Sampler {
    /// Asks all valid miners, a bounded number at a time, and returns their answers sorted by hotkey.
    /// A miner that fails has an answer with its fault.
    pub(super) async fn ask_all(
        &self,
        miners: &MinerTable,
        clip: &TaskClip,
        prompt: Option<&str>,
    ) -> Vec<Answer> {
        let request = request(self.judging.task(), clip, prompt);
        let commit_block = |miner| {
            miners.miners.get(&miner).map_or_else(BlockNumber::default, |state| state.commit_block)
        };
        let mut asked = Vec::new();
        for (miner, slug, revision) in miners.valid() {
            let (commit_block, slug, revision) =
                (commit_block(miner), slug.to_owned(), revision.to_owned());
            asked.push(self.ask_one(miner, commit_block, slug, revision, request.clone()).boxed());
        }
        let mut answers: Vec<Answer> =
            stream::iter(asked).buffer_unordered(self.config.concurrent_miners).collect().await;
        answers.sort_by_key(|answer| answer.miner);
        answers
    }

    async fn ask_one(
        &self,
        miner: Hotkey,
        commit_block: BlockNumber,
        slug: String,
        model_revision: String,
        request: GenerateRequest,
    ) -> Answer {
        let started = Instant::now();
        let timeout = self.config.request_timeout;
        let video = self.chutes.generate(&slug, &request, timeout, Limits::ANSWER.file_bytes).await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(%miner, latency_ms, answered = video.is_ok(), "miner asked");
        Answer { miner, model_revision, commit_block, video, latency_ms }
    }
}
