//! A kill between asking and signing: what is on disk then, and how the next start continues.

use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_protocol::{BlockNumber, Digest, Netuid, TaskId};
use leoma_scoring::TaskType;

use super::world::{Does, Table, VIDEO, World, miner};
use super::{a_clip, never};
use crate::corpus::TaskMetadata;
use crate::mechanism::TaskError;
use crate::mechanism::video::answer::Answer;
use crate::mechanism::video::copies::Judged;
use crate::mechanism::video::done::Done;
use crate::mechanism::video::judging::Judgment;
use crate::mechanism::video::spool::Begun;
use crate::miners::whose_fault::Reply;

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    /// Some videos are judged.
    JudgedInPart,
    /// All are.
    Judged,
    /// And what peers read beside the verdicts is written.
    WrittenDown,
}

/// What a new process knows: what lies in the folder.
fn start_anew(table: &mut Table, begun: &Begun) {
    let again = table.folder.begun(begun.clip.proof.seed).unwrap();
    assert_eq!((again.at, &again.prompt), (begun.at, &begun.prompt));
    table.done = Done::default();
    table.known = Default::default();
    let kept = table.folder.kept().unwrap();
    table.done.answers.extend(kept.into_iter().map(|answer| (answer.miner, answer)));
}

#[tokio::test(start_paused = true)]
async fn j2_a_kill_between_asking_and_signing_asks_nobody_again_and_judges_all() {
    for killed in [Killed::JudgedInPart, Killed::Judged, Killed::WrittenDown] {
        let broken = vec![Does::Reply(Reply::Status(404), 1)];
        let mut miners = vec![vec![VIDEO]; 11];
        miners.push(broken);
        let (world, mut table) = (World::new(miners), Table::new());
        let clip = a_clip(b"clip", b"frame");
        let begun = Begun { at: BlockNumber(1), clip, prompt: Some("p".into()) };
        table.folder.begin(&begun).unwrap();
        let judge = |answer: Answer| async move {
            if killed == Killed::JudgedInPart && answer.miner > miner(5) {
                return Err(TaskError::NoMiners);
            }
            let entry = VerdictEntry::unusable(answer.miner, EntryStatus::Passed, "".into(), 1);
            Ok(Judgment::Entry(Box::new(Judged::of(&answer, entry))))
        };
        let judged = table.round_judged_by(&world, never(), judge).await;
        assert_eq!(judged.is_ok(), killed != Killed::JudgedInPart, "{killed:?}");
        assert!(!table.done.judged.is_empty(), "{killed:?}");
        if killed == Killed::WrittenDown {
            let all: Vec<_> = (0..12).map(miner).collect();
            table.folder.finish(&metadata(&begun), &all).unwrap();
        }

        start_anew(&mut table, &begun);
        assert_eq!((table.done.answers.len(), table.done.judged.len()), (11, 0), "{killed:?}");
        table.round(&world, never()).await.unwrap();
        assert_eq!(table.done.judged.len(), 11, "{killed:?}");
        assert!((0..11).all(|n| world.requests(n) == 1), "{killed:?}: nobody is asked twice");
        // Replies without a video are not kept: a fault of ours may have ended since.
        assert_eq!((table.entry(11).as_deref(), world.requests(11)), (Some("http_error"), 2));
        let again = table.folder.finish(&metadata(&begun), &[miner(0)]).unwrap();
        let written = std::fs::read(table.folder.path().join("metadata.json")).unwrap();
        assert_eq!(again, Digest::of(&written), "{killed:?}");
    }
}

fn metadata(begun: &Begun) -> TaskMetadata {
    TaskMetadata {
        task_id: TaskId(1),
        netuid: Netuid(99),
        genesis: Digest::of(b"g"),
        validator: miner(0),
        block: begun.at,
        task: TaskType::Ti2v,
        prompt: begun.prompt.clone(),
        judge: "test".into(),
        clip: begun.clip.proof.clone(),
        evidence: Default::default(),
    }
}
