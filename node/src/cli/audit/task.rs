//! `leoma audit --task`: was the task's clip the one that the seed chooses?

use anyhow::{Context as _, bail};
use clap::Args;
use leoma_chain::ChainClient;
use leoma_protocol::{BlockNumber, Digest, Hotkey, Network, TaskId};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_scoring::media::Ffmpeg;
use leoma_storage::{Bucket, SourceBucket};

use super::buckets::BucketArg;
use super::scores;
use crate::cli::output::print_json;
use crate::config::Config;
use crate::corpus::audit::{AuditReport, Known, Step, TaskAudit, Verdict};
use crate::subnet::allowlists::before;
use crate::subnet::{allowlist_of, committed_allowlist};

#[derive(Debug, Args)]
pub(super) struct TaskAuditArgs {
    /// Check one task's source clip instead: make the choice again from the block's hash and the
    /// source bucket, cut the clip again, and say of each step whether it holds.
    ///
    /// Reads the task from --buckets (one bucket) or from our own, the videos from --source or
    /// R2_SOURCE_BUCKET, allowlist and block hash from the chain. With --allowlist and --seed-hash
    /// no chain is asked. What is gone, or was seen by another ffmpeg, cannot be checked and says
    /// nothing against the sampler; the exit code is 1 when a step does not hold. Progress goes to
    /// standard error.
    ///
    /// With MECHANISM=motion: the challenge is drawn again, and each answer is compared with its
    /// reference again.
    ///
    /// With MECHANISM=oracle: the moment is computed again from the chain's clock, and the entries from
    /// metadata.json.
    #[arg(long, value_name = "N", conflicts_with_all = ["snapshot", "epoch"])]
    pub(super) task: Option<TaskId>,
    /// With --task: check the scores instead of the clip, from the sampler's bucket alone: each
    /// video's bytes, its status, aspects, overall score and fingerprint computed again on the CPU,
    /// and copies found again. No chain and no source bucket is asked.
    ///
    /// An entry matches within 0.2 points, is at the boundary where a pass differs within 0.3
    /// points of a threshold, differs, or cannot be checked: its judge is not in this release, the
    /// video is gone, or there was none. Gemini is not asked again: its recorded answer is graded
    /// again. Progress goes to standard error. The exit code is 0 where nothing differs, 1 where
    /// something does or the file cannot be read, 2 for wrong flags.
    ///
    /// With MECHANISM=motion: each answer is compared with its reference again, and a value that
    /// is more than two millionths off differs.
    #[arg(long, requires = "task", conflicts_with_all = ["source", "seed_hash"])]
    pub(super) scores: bool,
    /// With --scores: only this miner's entry.
    #[arg(long, value_name = "HOTKEY", requires = "scores")]
    pub(super) miner: Option<Hotkey>,
    /// With --task: the source bucket, as for --buckets.
    #[arg(long, value_name = "URL", requires = "task")]
    source: Option<BucketArg>,
    /// With --task: the hash of the task's first block, where no chain is to be asked for it.
    #[arg(long, value_name = "HASH", requires = "task")]
    seed_hash: Option<Digest>,
}

/// What the flags of the whole command add.
pub(super) struct Given {
    pub(super) config: Config,
    pub(super) buckets: Vec<BucketArg>,
    pub(super) allowlist: Option<Allowlist>,
    pub(super) network: Network,
    pub(super) json: bool,
}

impl TaskAuditArgs {
    pub(super) async fn run(self, task_id: TaskId, given: Given) -> anyhow::Result<()> {
        let Given { config, buckets, json, .. } = &given;
        let bucket = bucket_of(buckets, config)?;
        if self.scores {
            return scores::run(&bucket, task_id, self.miner, config, *json).await;
        }
        let Seen { source, network, start_block, seed_hash } = self.seen(task_id, &given).await?;
        let audit = TaskAudit {
            task_id,
            network,
            bucket: &bucket,
            source: &source,
            start_block,
            seed_hash,
            listed_bytes: config.sampling.source_bytes(),
            ffmpeg: Ffmpeg::find()?,
        };
        conclude(&audit.run(|line| eprintln!("{line}")).await, *json)
    }

    /// The source bucket, and what the chain says of a task.
    pub(super) async fn seen(
        &self,
        task_id: TaskId,
        Given { config, allowlist, network, .. }: &Given,
    ) -> anyhow::Result<Seen> {
        let Network { genesis, netuid } = *network;
        let source = match &self.source {
            Some(source) => source.open()?,
            None => config.buckets.need_readable_source()?.open()?,
        };
        let source = SourceBucket::new(source);
        let chain = match (allowlist, self.seed_hash) {
            (Some(_), Some(_)) => {
                Err("no chain is asked with --allowlist and --seed-hash".to_owned())
            }
            _ => ChainClient::of(&config.chain, config.index())
                .await
                .map_err(|error| format!("the chain cannot be asked: {error}")),
        };
        let offline = Network { genesis, netuid: config.mechanism.index(netuid) };
        let network = chain.as_ref().map_or(offline, ChainClient::network);
        let given = allowlist.clone();
        let start_block = start_block(task_id, given, chain.as_ref(), &source).await;
        let seed_hash = match (self.seed_hash, &start_block, &chain) {
            (Some(hash), ..) => Known::Value(hash),
            (None, Known::Value(block), Ok(chain)) => match chain.block_hash(*block).await {
                Ok(hash) => Known::Value(hash),
                Err(error) => Known::Unknown(format!("{error}; give it with --seed-hash")),
            },
            (None, _, Err(reason)) => Known::Unknown(format!("{reason}; give it with --seed-hash")),
            (None, Known::Unknown(_), _) => {
                Known::Unknown("the task's first block is not known".to_owned())
            }
        };
        Ok(Seen { source, network, start_block, seed_hash })
    }
}

/// What a task's choice is checked against.
pub(super) struct Seen {
    pub(super) source: SourceBucket,
    pub(super) network: Network,
    pub(super) start_block: Known<BlockNumber>,
    pub(super) seed_hash: Known<Digest>,
}

pub(super) fn bucket_of(given: &[BucketArg], config: &Config) -> anyhow::Result<Bucket> {
    match given {
        [] => {
            let own = config.buckets.own_read.as_ref().or(config.buckets.own.as_ref());
            let own = own.context(
                "whose task? Name the sampler's bucket with --buckets, or set R2_OWN_BUCKET",
            )?;
            Ok(own.open()?)
        }
        [one] => one.open(),
        several => {
            bail!("a task lies in one bucket: name that of its sampler, not {}", several.len())
        }
    }
}

async fn start_block(
    task_id: TaskId,
    given: Option<Allowlist>,
    chain: Result<&ChainClient, &String>,
    source: &SourceBucket,
) -> Known<BlockNumber> {
    let history = match (given, chain) {
        (Some(allowlist), _) => AllowlistHistory::since_genesis(allowlist),
        (None, Ok(chain)) => match history(chain, source).await {
            Ok(history) => history,
            Err(error) => {
                return Known::Unknown(format!("the task's allowlist is not known: {error:#}"));
            }
        },
        (None, Err(reason)) => {
            return Known::Unknown(format!("{reason}; name the task's allowlist with --allowlist"));
        }
    };
    let entry = history.of_task(task_id);
    match entry.and_then(|entry| entry.allowlist.start_of(task_id)) {
        Some(block) => Known::Value(block),
        None => Known::Unknown(
            "no known allowlist makes this task: name that of its time with --allowlist".to_owned(),
        ),
    }
}

/// The allowlists that the owner committed, as far back as the bucket has them.
async fn history(chain: &ChainClient, source: &SourceBucket) -> anyhow::Result<AllowlistHistory> {
    let metagraph = chain.metagraph(chain.head().await?).await?;
    let newest = committed_allowlist(&metagraph)?;
    let allowlist = allowlist_of(source, newest.sha256).await?;
    let mut history = AllowlistHistory::default();
    let past = before(source, chain.network(), &metagraph.owner, newest, None).await?;
    for (committed_at, past) in past.lists {
        history.commit(committed_at, past)?;
    }
    history.commit(newest.committed_at, allowlist)?;
    Ok(history)
}

pub(super) fn print_steps(steps: &[Step]) {
    for step in steps {
        let outcome = match step.outcome {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Unchecked => "cannot be checked",
        };
        println!("{:<12} {outcome}: {}", step.step, step.finding);
    }
}

fn conclude(report: &AuditReport, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(report)?;
    } else {
        print_steps(&report.steps);
    }
    match (report.count(Verdict::Fail), report.count(Verdict::Unchecked)) {
        (0, 0) if !json => println!("the clip is the one that the seed chooses"),
        (0, unchecked) if !json => {
            println!("nothing speaks against the clip; {unchecked} steps cannot be checked")
        }
        (0, _) => {}
        (failed, _) => {
            bail!("task {}: {failed} of {} steps do not hold", report.task_id, report.steps.len())
        }
    }
    Ok(())
}
