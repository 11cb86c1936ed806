//! A whole mechanism in one file, as an example; `docs/mechanisms.md` walks through it. Miners are
//! asked for the sum of numbers that the hash of the task's first block draws. It is built for
//! tests only: no validator serves it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::python_json::Value;
use leoma_protocol::synapse::{BuildError, Field, FieldKind, Fields, Question, SynapseClass};
use leoma_protocol::verdict::{EntryStatus, Name, Observation, VerdictEntry};
use leoma_protocol::{Digest, Hotkey, Nano, Network, TaskId};
use leoma_storage::Format;
use leoma_synapse::Dendrite;
use serde::{Deserialize, Serialize};

use super::asked::{Admission, Admitted, AskRules, Asking, Reply, Said, in_order};
use super::{Scored, TaskError, TurnContext, Turns, folder::TaskFolder, on_disk::on_disk, past};
use crate::corpus::Seed;

const RECORD: &str = include_str!("worked_example.toml");
/// What judges. It changes with the rule, so that peers with another rule accuse nobody.
const JUDGE: &str = "sums/1";
const POOL: &str = "sums";
const TIMEOUT: Duration = Duration::from_secs(12);

/// The request, as a class of Bittensor's SDK. The signature covers the numbers.
const CLASS: SynapseClass = SynapseClass {
    name: "Sum",
    fields: &[
        Field::new("numbers", FieldKind::List),
        Field::new("sum", FieldKind::Integer).nullable().mutable(),
    ],
    hashed: &["numbers"],
};

/// The task's numbers. Whoever knows the block's hash draws the same.
fn drawn(seed: Seed) -> Vec<u64> {
    let digest = Digest::of_parts(&[b"leoma:sums:1", &[0], &seed.hash.0]);
    digest.0[..4].iter().map(|byte| u64::from(*byte)).collect()
}

fn question(numbers: &[u64]) -> Result<Question, BuildError> {
    let numbers = numbers.iter().map(|number| Value::from(*number)).collect();
    let fields = Fields::from([("numbers", Value::Array(numbers)), ("sum", Value::Null)]);
    Question::new(&CLASS, &fields, TIMEOUT)
}

/// The answer in a reply, as it is kept and published. A stranger's word: it is read here, once.
fn answer(fields: &Fields) -> Result<Bytes, String> {
    let sum = fields.get("sum").and_then(Value::as_u64);
    sum.map(|sum| Bytes::from(sum.to_string())).ok_or_else(|| "it has no sum".to_owned())
}

/// What an answer is worth. Peers call this too, with the published answer.
fn judge(answer: &[u8], sum: u64) -> (EntryStatus, &'static str, Nano) {
    match answer == sum.to_string().as_bytes() {
        true => (EntryStatus::Passed, "the sum", Nano::ONE),
        false => (EntryStatus::Failed, "another sum", Nano::ZERO),
    }
}

/// A miner's entry. Who was asked and gave nothing usable has a null, which the record prices.
fn entry(folder: &TaskFolder, reply: &Reply, sum: u64) -> io::Result<VerdictEntry> {
    let (status, reason, value, video_sha256) = match &reply.said {
        Said::Answer { sha256 } => {
            let answer = folder.read_answer(reply.miner, Format::Json)?;
            let (status, reason, value) = judge(&answer, sum);
            (status, reason.to_owned(), Some(value), Some(*sha256))
        }
        Said::Failure { status, reason } => {
            (EntryStatus::from_word(status), reason.clone(), None, None)
        }
    };
    let observed = |pool| Observation { pool, values: vec![value], counts: Vec::new() };
    Ok(VerdictEntry {
        passed: status == EntryStatus::Passed,
        video_sha256,
        observations: POOL.parse::<Name>().ok().map(observed).into_iter().collect(),
        ..VerdictEntry::unusable(reply.miner, status, reason, reply.took_ms)
    })
}

/// The mechanism, with what it works with.
#[derive(Debug)]
struct Sums {
    dendrite: Dendrite,
    admission: Admission,
    rules: AskRules,
}

/// What a task was begun with: its first block, and the miners that the chain admits there.
#[derive(Clone, Serialize, Deserialize)]
struct Begun {
    seed: Seed,
    miners: Admitted,
}

/// What peers and auditors repeat a task from.
#[derive(Serialize)]
struct Metadata {
    schema: &'static str,
    task_id: TaskId,
    network: Network,
    validator: Hotkey,
    seed: Seed,
}

#[async_trait::async_trait]
impl Turns for Sums {
    fn judge_id(&self) -> &str {
        JUDGE
    }

    async fn turn(&mut self, context: TurnContext<'_>) -> Result<Option<Scored>, TaskError> {
        let seed = context.seed;
        // An earlier try at the same task has replies in the folder, which are not asked for again.
        let earlier = on_disk(context.folder, |folder| Ok(folder.begun_asking::<Begun>())).await?;
        let begun = match earlier.filter(|begun| begun.seed == seed) {
            Some(begun) => begun,
            None => {
                let begun = Begun { seed, miners: self.admission.miners(seed).await? };
                let kept = begun.clone();
                on_disk(context.folder, move |folder| folder.begin_asking(&kept, &[])).await?;
                begun
            }
        };
        let targets = in_order(&begun.miners, context.task_id);
        let numbers = drawn(seed);
        let question = question(&numbers)?;
        let (dendrite, rules, folder) = (&self.dendrite, self.rules, context.folder);
        let asking = Asking { dendrite, question: &question, rules, folder, format: Format::Json };
        let deadline = past(context.heads.clone(), context.ask_until);
        let replies = asking.run(&targets, deadline, answer).await?;
        let TurnContext { task_id, network, validator, .. } = context;
        let sum = numbers.iter().sum();
        let metadata = Metadata { schema: "leoma.sums/1", task_id, network, validator, seed };
        let finish = move |folder: &TaskFolder| -> io::Result<Scored> {
            let entries = replies.iter().map(|reply| entry(folder, reply, sum));
            let entries = entries.collect::<io::Result<Vec<_>>>()?;
            let miners: Vec<Hotkey> = entries.iter().map(|entry| entry.hotkey).collect();
            let metadata_sha256 = folder.finish_asking(&metadata, &miners)?;
            Ok(Scored { entries, metadata_sha256 })
        };
        on_disk(context.folder, finish).await.map(Some)
    }
}

#[cfg(test)]
mod tests;
