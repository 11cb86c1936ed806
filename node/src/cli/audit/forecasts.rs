//! `leoma audit --task N` of the oracle: does a task's file follow from its `metadata.json`, and
//! that from the chain?

use anyhow::{Context as _, bail};
use leoma_chain::ChainClient;
use leoma_protocol::market::Closes;
use leoma_protocol::verdict::{Envelope, Expected, MAX_FILE_BYTES, VerifiedVerdict, verify};
use leoma_protocol::{BlockNumber, Digest, FileId, Network, TaskId};
use leoma_storage::{Bucket, TaskKey, TaskObject};
use serde::Serialize;
use serde_json::Value;

use super::task::{Given, TaskAuditArgs, bucket_of, print_steps};
use crate::cli::output::print_json;
use crate::config::Config;
use crate::corpus::audit::{Known, Step, Verdict};
use crate::corpus::{MAX_PROOF_BYTES, Seed};
use crate::mechanism::oracle::{
    FirstBlock, MarketClient, OracleMetadata, Rules, difference, read_metadata,
};
use crate::outbound::Reach;
use crate::rescoring::Unread;

/// The result of the audit.
#[derive(Debug, Serialize)]
struct Report {
    task_id: TaskId,
    steps: Vec<Step>,
}

/// Something that the chain says, or why it is not known.
type Seen<T> = Result<T, String>;

/// Checks a task and prints what was found.
///
/// # Errors
/// A step does not hold, or there is nothing to check.
pub(super) async fn run(args: &TaskAuditArgs, task_id: TaskId, given: Given) -> anyhow::Result<()> {
    let config = &given.config;
    let bucket = bucket_of(&given.buckets, config)?;
    let record = config.mechanism.record.as_ref().context("the oracle needs a policy record")?;
    let rules = Rules::of(record).map_err(anyhow::Error::msg)?;
    let file = read_file(&bucket, task_id).await?;
    let signed = file.envelope.as_ref().context("the verdict file has no envelope")?;
    let seen = args.seen(task_id, &given).await?;
    let start = value(seen.start_block);
    let first = first_block(&start, value(seen.seed_hash), config).await;
    let mut steps = vec![deadline(&signed.envelope, start, &rules)];
    match read_metadata(&bucket, &signed.envelope).await {
        Ok(metadata) => {
            steps.push(Step::pass("metadata", "it is what the producer signed"));
            steps.push(moment(&metadata, first, &rules));
            steps.push(entries(&file, &metadata, &rules));
            steps.push(reading(&metadata, config, &rules).await);
        }
        Err(error @ Unread::Contradicts(_)) => {
            steps.push(Step::fail("metadata", error.to_string()));
        }
        Err(error) => steps.push(Step::unchecked("metadata", error.to_string())),
    }
    let words = "no miner signs its answer: that it said this, or was asked, cannot be repeated";
    steps.push(Step::unchecked("answers", words));
    conclude(&Report { task_id, steps }, given.json)
}

fn value<T>(known: Known<T>) -> Seen<T> {
    match known {
        Known::Value(value) => Ok(value),
        Known::Unknown(reason) => Err(reason),
    }
}

/// A task's first block with its clock, which only the chain has.
async fn first_block(
    start: &Seen<BlockNumber>,
    hash: Seen<Digest>,
    config: &Config,
) -> Seen<FirstBlock> {
    let seed = Seed { block: start.clone()?, hash: hash? };
    let old = |error| format!("{error} (of old blocks only archive nodes have the clock)");
    let chain = ChainClient::of(&config.chain, config.index()).await;
    let chain = chain.map_err(|error| format!("the chain cannot be asked: {error}"))?;
    FirstBlock::at(&chain, seed).await.map_err(old)
}

/// The verdict file of the validator that the metadata names, bound to nothing but itself.
async fn read_file(bucket: &Bucket, task_id: TaskId) -> anyhow::Result<VerifiedVerdict> {
    let key = TaskKey::new(task_id, TaskObject::Metadata).into();
    let metadata = bucket.get(&key, MAX_PROOF_BYTES).await?;
    let metadata = metadata
        .with_context(|| format!("{} has no metadata.json of task {task_id}", bucket.name()))?;
    let metadata: OracleMetadata =
        serde_json::from_slice(&metadata).context("metadata.json is not one of the oracle")?;
    let producer = metadata.validator;
    let key = TaskKey::verdict(task_id, producer).into();
    let bytes = bucket.get(&key, MAX_FILE_BYTES as u64).await?.with_context(|| {
        format!("{} has no verdict file of task {task_id} by {producer}", bucket.name())
    })?;
    let stated: Value = serde_json::from_slice(&bytes)?;
    let params = stated["envelope"]["params"].as_str().and_then(|params| params.parse().ok());
    let expected = Expected {
        id: FileId { task_id, producer },
        network: Network { genesis: metadata.genesis, netuid: metadata.netuid },
        params: params.unwrap_or_default(),
        accept_v1: false,
    };
    Ok(verify(&bytes, &expected)?)
}

/// Whether the file was signed in time for its forecasts to count. One that was not is no lie.
fn deadline(envelope: &Envelope, start: Seen<BlockNumber>, rules: &Rules) -> Step {
    const NAME: &str = "deadline";
    let block = envelope.block;
    match start.map(|start| rules.count_until(start)) {
        Ok(last) if block <= last => {
            Step::pass(NAME, format!("signed at block {block}, forecasts count until {last}"))
        }
        Ok(last) => Step::pass(
            NAME,
            format!("signed at block {block}, after {last}: its forecasts do not count"),
        ),
        Err(reason) => Step::unchecked(NAME, reason),
    }
}

fn moment(metadata: &OracleMetadata, first: Seen<FirstBlock>, rules: &Rules) -> Step {
    const NAME: &str = "moment";
    match first.map(|first| metadata.check_moment(&first, rules)) {
        Ok(Ok(())) => Step::pass(
            NAME,
            format!(
                "forecasts from {}, by the clock of block {}",
                metadata.timestamp, metadata.seed.block
            ),
        ),
        Ok(Err(reason)) => Step::fail(NAME, reason),
        Err(reason) => Step::unchecked(NAME, reason),
    }
}

fn entries(file: &VerifiedVerdict, metadata: &OracleMetadata, rules: &Rules) -> Step {
    const NAME: &str = "entries";
    let found = metadata.entries(rules);
    let of = |entry: &leoma_protocol::verdict::VerdictEntry| {
        let again = found.iter().find(|found| found.hotkey == entry.hotkey);
        Some(format!("{}: {}", entry.hotkey, difference(entry, again)?))
    };
    let mut differences: Vec<String> = file.entries.iter().filter_map(of).collect();
    let signed = |hotkey| file.entries.iter().any(|entry| entry.hotkey == hotkey);
    let missing = found.iter().filter(|entry| !signed(entry.hotkey));
    differences.extend(missing.map(|entry| format!("{}: it has no entry", entry.hotkey)));
    if differences.is_empty() {
        Step::pass(NAME, format!("all {} follow from metadata.json", found.len()))
    } else {
        Step::fail(NAME, differences.join("; "))
    }
}

/// What our own feed says of the producer's reading, where there is one. Feeds may differ, so this
/// holds nothing against anybody.
async fn reading(metadata: &OracleMetadata, config: &Config, rules: &Rules) -> Step {
    const NAME: &str = "reading";
    let read = &metadata.closes;
    if config.oracle.url.is_none() {
        let words = format!("{} closing prices; set MARKET_URL to compare them", read.len());
        return Step::unchecked(NAME, words);
    }
    let asked = async {
        let reach = Reach::new(config.services.local_network);
        let client = MarketClient::new(reach, &config.oracle)?;
        anyhow::Ok(client.closes(metadata.plan.read, rules.step_s).await?)
    };
    match asked.await {
        Ok(closes) => compared(read, &closes),
        Err(error) => Step::unchecked(NAME, format!("{error:#}")),
    }
}

fn compared(read: &Closes, ours: &Closes) -> Step {
    const NAME: &str = "reading";
    let both = read.iter().filter_map(|(moment, price)| Some((moment, price, ours.get(moment)?)));
    let both: Vec<_> = both.collect();
    let farthest = both.iter().max_by_key(|(_, price, ours)| price.0.abs_diff(ours.0));
    match farthest {
        Some((moment, price, ours)) if price != ours => Step::unchecked(
            NAME,
            format!(
                "of {} prices that our feed knows too, that at {moment} is farthest from it: {price} instead of {ours}",
                both.len()
            ),
        ),
        Some(_) => Step::pass(NAME, format!("{} prices, equal to our feed's", both.len())),
        None => Step::unchecked(NAME, "our feed knows no price of that time"),
    }
}

fn conclude(report: &Report, json: bool) -> anyhow::Result<()> {
    let failed = report.steps.iter().filter(|step| step.outcome == Verdict::Fail).count();
    if json {
        print_json(report)?;
    } else {
        print_steps(&report.steps);
    }
    if failed > 0 {
        bail!("task {}: {failed} of {} steps do not hold", report.task_id, report.steps.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leoma_protocol::Nano;

    use super::*;

    #[test]
    fn another_feed_holds_nothing_against_a_reading() {
        let read = Closes::from([(300, Nano(5)), (600, Nano(9)), (900, Nano(7))]);
        let equal = compared(&read, &[(300, Nano(5)), (1200, Nano(1))].into());
        assert_eq!(
            (equal.outcome, &equal.finding[..]),
            (Verdict::Pass, "1 prices, equal to our feed's")
        );
        let other = compared(&read, &[(300, Nano(4)), (600, Nano(1)), (900, Nano(7))].into());
        assert_eq!(other.outcome, Verdict::Unchecked);
        assert!(
            other.finding.contains("of 3 prices") && other.finding.contains("at 600"),
            "{other:?}"
        );
        assert_eq!(compared(&read, &Closes::new()).outcome, Verdict::Unchecked);
    }
}
