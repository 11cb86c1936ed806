//! What is in the folder of a video task.
//!
//! | file | written |
//! |---|---|
//! | `original_clip.mp4`, `first_frame.png` | when the task is begun |
//! | `begun.json` | after them: where it exists, they do |
//! | `answers/{hotkey}.part` | while a miner's answer arrives |
//! | `videos/{hotkey}.mp4` | when it is complete |
//! | `answers/{hotkey}.json` | after it |
//! | `metadata.json` | before the verdicts are signed |

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use leoma_protocol::{BlockNumber, Digest, Hotkey};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use crate::corpus::{ClipProof, Seed, TaskClip, TaskMetadata};
use crate::mechanism::folder::{TaskFolder, miner_of, write_whole};
use crate::miners::Replied;
use crate::miners::whose_fault::Reply;

/// What a task is about.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    /// The head when sampling began.
    pub(super) at: BlockNumber,
    pub(super) clip: TaskClip,
    /// What miners are asked for, where the task has a prompt.
    pub(super) prompt: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct BegunFile {
    at: BlockNumber,
    proof: ClipProof,
    prompt: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AnswerFile {
    model_revision: String,
    commit_block: BlockNumber,
    latency_ms: u64,
    is_mp4: bool,
}

impl TaskFolder {
    /// Where an answer is written while it arrives.
    pub(super) fn arriving(&self, miner: Hotkey) -> PathBuf {
        self.path().join("answers").join(format!("{miner}.part"))
    }

    /// A miner's complete video.
    pub(super) fn video(&self, miner: Hotkey) -> PathBuf {
        self.path().join("videos").join(format!("{miner}.mp4"))
    }

    fn answer(&self, miner: Hotkey) -> PathBuf {
        self.path().join("answers").join(format!("{miner}.json"))
    }

    /// Writes what the task is about, in place of anything that was there.
    pub(super) fn begin(&self, begun: &Begun) -> io::Result<()> {
        self.remove()?;
        std::fs::create_dir_all(self.path().join("videos"))?;
        std::fs::create_dir_all(self.path().join("answers"))?;
        std::fs::write(self.path().join("original_clip.mp4"), &begun.clip.mp4)?;
        std::fs::write(self.path().join("first_frame.png"), &begun.clip.first_frame)?;
        let proof = begun.clip.proof.clone();
        let file = BegunFile { at: begun.at, proof, prompt: begun.prompt.clone() };
        write_whole(&self.path().join("begun.json"), &serde_json::to_vec(&file)?)
    }

    /// What the task was begun with earlier, if it is all there and follows from `seed`.
    pub(super) fn begun(&self, seed: Seed) -> Option<Begun> {
        let file = std::fs::read(self.path().join("begun.json")).ok()?;
        let BegunFile { at, proof, prompt } = serde_json::from_slice(&file).ok()?;
        let mp4: Bytes = std::fs::read(self.path().join("original_clip.mp4")).ok()?.into();
        let first_frame: Bytes = std::fs::read(self.path().join("first_frame.png")).ok()?.into();
        let is_whole = proof.seed == seed
            && proof.clip_sha256 == Digest::of(&mp4)
            && proof.first_frame_sha256 == Digest::of(&first_frame);
        is_whole.then_some(Begun { at, clip: TaskClip { proof, mp4, first_frame }, prompt })
    }

    /// Keeps a video that has arrived.
    pub(super) fn keep(&self, answer: &Answer) -> io::Result<()> {
        std::fs::rename(self.arriving(answer.miner), self.video(answer.miner))?;
        let file = AnswerFile {
            model_revision: answer.model_revision.clone(),
            commit_block: answer.commit_block,
            latency_ms: answer.latency_ms,
            is_mp4: answer.replied.reply == Reply::Video,
        };
        write_whole(&self.answer(answer.miner), &serde_json::to_vec(&file)?)
    }

    /// The videos that were kept earlier. A reply without a video may have been our fault, which a
    /// turn decides at its end, so its miner is asked again.
    pub(super) fn kept(&self) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for entry in std::fs::read_dir(self.path().join("videos"))? {
            let path = entry?.path();
            let Some(miner) = miner_of(&path) else { continue };
            let Ok(file) = std::fs::read(self.answer(miner)) else { continue };
            let Ok(AnswerFile { model_revision, commit_block, latency_ms, is_mp4 }) =
                serde_json::from_slice(&file)
            else {
                continue;
            };
            if !is_mp4 {
                continue;
            }
            let replied = Replied { reply: Reply::Video, detail: String::new(), pause: None };
            answers.push(Answer { miner, model_revision, commit_block, latency_ms, replied });
        }
        Ok(answers)
    }

    /// Writes what peers read beside the verdicts, and drops videos of miners without an entry: a
    /// later start would publish them. Returns the SHA-256 of `metadata.json`.
    pub(super) fn finish(&self, metadata: &TaskMetadata, miners: &[Hotkey]) -> io::Result<Digest> {
        for path in self.videos()? {
            if miner_of(&path).is_none_or(|miner| !miners.contains(&miner)) {
                std::fs::remove_file(path)?;
            }
        }
        let bytes = serde_json::to_vec(metadata)?;
        write_whole(&self.path().join("metadata.json"), &bytes)?;
        Ok(Digest::of(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leoma_protocol::TaskId;

    use crate::mechanism::video::tests::a_clip;

    fn answer(n: u8, reply: Reply) -> Answer {
        Answer {
            miner: Hotkey::from_bytes([n; 32]),
            model_revision: "r".into(),
            commit_block: BlockNumber(3),
            latency_ms: 5,
            replied: Replied { reply, detail: String::new(), pause: None },
        }
    }

    /// What a kill leaves at each step of a turn, and how the next start continues.
    #[test]
    fn a_task_is_taken_up_where_it_was_left() {
        let spool = tempfile::tempdir().unwrap();
        let folder = TaskFolder::new(spool.path(), TaskId(7));
        let clip = a_clip(b"clip", b"frame");
        let seed = clip.proof.seed;
        assert!(folder.begun(seed).is_none());
        let begun = Begun { at: BlockNumber(1), clip, prompt: Some("p".into()) };
        folder.begin(&begun).unwrap();
        let again = folder.begun(seed).unwrap();
        assert_eq!(
            (again.at, again.prompt, &again.clip.mp4[..]),
            (begun.at, begun.prompt.clone(), &b"clip"[..])
        );

        // While one answer arrives, another is complete, a third is renamed and not yet noted.
        std::fs::write(folder.arriving(answer(1, Reply::Video).miner), b"ha").unwrap();
        std::fs::write(folder.arriving(answer(2, Reply::Video).miner), b"whole").unwrap();
        folder.keep(&answer(2, Reply::Video)).unwrap();
        std::fs::write(folder.video(answer(3, Reply::Video).miner), b"renamed").unwrap();
        // A fourth sent a page; whose fault that is was not decided yet.
        std::fs::write(folder.arriving(answer(4, Reply::NotVideo).miner), b"page").unwrap();
        folder.keep(&answer(4, Reply::NotVideo)).unwrap();
        let kept = folder.kept().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].miner, kept[0].replied.reply),
            (answer(2, Reply::Video).miner, Reply::Video)
        );
        assert_eq!(std::fs::read(folder.video(kept[0].miner)).unwrap(), b"whole");

        // Another chain, or a damaged clip: begun again.
        let other = Seed { block: BlockNumber(9), ..seed };
        assert!(folder.begun(other).is_none());
        std::fs::write(folder.path().join("original_clip.mp4"), b"clop").unwrap();
        assert!(folder.begun(seed).is_none());
        folder.begin(&begun).unwrap();
        assert!(folder.kept().unwrap().is_empty());
    }
}
