//! The task's clip: the corpus, kept for a while, and the seed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_protocol::TaskId;
use leoma_scoring::media::ClipShape;
use leoma_storage::SourceBucket;

use super::error::TaskError;
use super::parts::Sampler;
use crate::corpus::{Corpus, CorpusError, Seed, TaskClip, clip_of};

/// The corpus, cached for a while.
#[derive(Debug)]
pub(super) struct KnownCorpus {
    every: Duration,
    known: Option<(Instant, Arc<Corpus>)>,
}

impl KnownCorpus {
    pub(super) const fn new(every: Duration) -> Self {
        Self { every, known: None }
    }

    /// The corpus, at most `every` old, or older while the bucket cannot be read: the proof names the
    /// list that was used.
    pub(super) async fn get(
        &mut self,
        source: &SourceBucket,
        bytes: (u64, u64),
    ) -> Result<Arc<Corpus>, CorpusError> {
        if let Some((_, corpus)) =
            self.known.as_ref().filter(|(read, _)| read.elapsed() < self.every)
        {
            return Ok(Arc::clone(corpus));
        }
        match (Corpus::read(source, bytes).await, &self.known) {
            (Ok(corpus), _) => {
                let corpus = Arc::new(corpus);
                self.known = Some((Instant::now(), Arc::clone(&corpus)));
                Ok(corpus)
            }
            (Err(error), Some((_, corpus))) => {
                tracing::warn!(%error, "failed to read the corpus, using the last one");
                Ok(Arc::clone(corpus))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Sampler {
    pub(super) async fn choose_clip(
        &self,
        task_id: TaskId,
        corpus: &mut KnownCorpus,
    ) -> Result<TaskClip, TaskError> {
        let history = Arc::clone(&self.allowlists.borrow());
        let start = history.of_task(task_id).and_then(|entry| entry.allowlist.start_of(task_id));
        let block = start.unwrap_or_default();
        let seed = Seed { block, hash: self.chain.block_hash(block).await? };
        let corpus = corpus.get(&self.source, self.config.source_bytes()).await?;
        let shape =
            ClipShape { width: self.config.width, height: self.config.height, ..ClipShape::TASK };
        Ok(clip_of(seed, &corpus, &self.source, self.judging.ffmpeg(), shape).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use leoma_storage::{Bucket, Key};

    #[tokio::test]
    async fn the_corpus_is_kept_for_a_while_and_outlives_a_broken_bucket() {
        let source = SourceBucket::new(Bucket::in_memory("source"));
        let (kept, never): (Key, Key) = ("a.mp4".parse().unwrap(), "b.mp4".parse().unwrap());
        let _ = source.add_video(&kept, Bytes::from_static(b"1")).await.unwrap();
        let (mut long, mut short) =
            (KnownCorpus::new(Duration::from_secs(3600)), KnownCorpus::new(Duration::ZERO));
        let first = long.get(&source, (1, 9)).await.unwrap();
        assert_eq!(short.get(&source, (1, 9)).await.unwrap(), first);
        let _ = source.add_video(&never, Bytes::from_static(b"2")).await.unwrap();
        assert_eq!(long.get(&source, (1, 9)).await.unwrap(), first);
        let second = short.get(&source, (1, 9)).await.unwrap();
        assert_eq!(second.videos.len(), 2);
        source.bucket().replace(&Key::corpus(), Bytes::from_static(b"no manifest")).await.unwrap();
        assert_eq!(short.get(&source, (1, 9)).await.unwrap(), second);
        assert!(KnownCorpus::new(Duration::ZERO).get(&source, (1, 9)).await.is_err());
    }
}
