//! The corpus that clips are chosen from, kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_storage::SourceBucket;

use crate::corpus::{Corpus, CorpusError};

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
