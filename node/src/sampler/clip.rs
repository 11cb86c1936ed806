//! Which clip a task is about. The choice follows from the hash of the task's first block, so anyone can check it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma_protocol::{Digest, TaskId};
use leoma_scoring::media::{ClipShape, SceneRules, choose_segment};
use leoma_storage::{Key, SourceVideo};

use super::{Sampler, TaskError};

/// Videos looked at before a task is given up: one without a long enough scene happens, five in a row are a bad corpus.
const MAX_VIDEOS_TRIED: usize = 5;

/// A task's clip.
#[derive(Clone, Debug)]
pub(super) struct TaskClip {
    pub(super) source: Key,
    pub(super) start_ms: u64,
    pub(super) seed: Digest,
    pub(super) mp4: Bytes,
    pub(super) first_frame: Bytes,
}

/// The corpus, listed anew now and then.
#[derive(Debug)]
pub(super) struct VideoList {
    every: Duration,
    listed: Option<Instant>,
    videos: Vec<SourceVideo>,
}

impl VideoList {
    pub(super) const fn new(every: Duration) -> Self {
        Self { every, listed: None, videos: Vec::new() }
    }
}

/// The first eight bytes of a hash over the seed, as a number: the same on every machine.
fn draw(seed: Digest, purpose: &str) -> u64 {
    let digest = Digest::of_parts(&[purpose.as_bytes(), &[0], &seed.0]);
    digest.0[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl Sampler {
    pub(super) async fn choose_clip(&self, task_id: TaskId, list: &mut VideoList) -> Result<TaskClip, TaskError> {
        let history = std::sync::Arc::clone(&self.allowlists.borrow());
        let start = history.schedule_of(task_id, &self.params).and_then(|schedule| schedule.start_block(task_id));
        let seed = self.chain.block_hash(start.unwrap_or_default()).await?;
        if list.listed.is_none_or(|listed| listed.elapsed() >= list.every) {
            let (smallest, largest) = self.config.source_bytes;
            list.videos = self.source.videos().await?;
            list.videos.retain(|video| (smallest..=largest).contains(&video.size));
            list.listed = Some(Instant::now());
        }
        let videos = list.videos.len();
        let seconds = self.config.clip_seconds;
        if videos == 0 {
            return Err(TaskError::NoClip { seconds, tried: 0, videos });
        }
        let first = usize::try_from(draw(seed, "leoma:video:1") % videos as u64).unwrap_or(0);
        let tried = videos.min(MAX_VIDEOS_TRIED);
        for step in 0..tried {
            let video = &list.videos[(first + step) % videos];
            // Gone between listing and reading: the next one, as everyone who checks the choice will find too.
            let Some(bytes) = self.source.video(&video.key, self.config.source_bytes.1).await? else { continue };
            match self.cut(seed, &video.key, bytes).await? {
                Some(clip) => return Ok(clip),
                None => tracing::info!(video = video.key.as_str(), "no one-shot clip in this video"),
            }
        }
        Err(TaskError::NoClip { seconds, tried, videos })
    }

    async fn cut(&self, seed: Digest, key: &Key, bytes: Bytes) -> Result<Option<TaskClip>, TaskError> {
        let scorer = self.judging.scorer();
        let shape = ClipShape { width: self.config.size.0, height: self.config.size.1, ..ClipShape::TASK };
        let source = key.clone();
        let cut = tokio::task::spawn_blocking(move || {
            let candidates = scorer.one_shot_segments(&bytes, &SceneRules::REFERENCE)?;
            let Some(start_ms) = choose_segment(seed.0, &candidates, shape.duration_ms()) else { return Ok(None) };
            let mp4 = scorer.cut_clip(&bytes, start_ms, &shape)?;
            let first_frame = scorer.first_frame_png(&mp4)?;
            Ok(Some(TaskClip { source, start_ms, seed, mp4: mp4.into(), first_frame: first_frame.into() }))
        });
        match cut.await? {
            Ok(clip) => Ok(clip),
            Err(leoma_scoring::media::MediaError::Video(defect)) => {
                tracing::warn!(video = key.as_str(), %defect, "source video passed over");
                Ok(None)
            }
            Err(leoma_scoring::media::MediaError::Fault(fault)) => Err(TaskError::Score(fault.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_and_purpose_alone() {
        let seed = Digest::of(b"block");
        assert_eq!(draw(seed, "a"), draw(seed, "a"));
        assert_ne!(draw(seed, "a"), draw(seed, "b"));
        assert_ne!(draw(seed, "a"), draw(Digest::of(b"other"), "a"));
    }
}
