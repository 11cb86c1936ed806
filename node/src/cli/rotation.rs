//! `leoma rotation`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use leoma_protocol::{BlockNumber, ConsensusParams};
use leoma_rotation::{Allowlist, AllowlistHistory};
use serde_json::json;

use super::output::print_json;

#[derive(Debug, Args)]
pub(super) struct RotationArgs {
    /// The allowlist file (allowlist/v1.json of the source bucket).
    #[arg(long, value_name = "FILE")]
    allowlist: PathBuf,
    /// The block to look at.
    #[arg(long, value_name = "BLOCK")]
    block: BlockNumber,
    /// How many tasks to list.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    tasks: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl RotationArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let bytes =
            std::fs::read(&self.allowlist).with_context(|| self.allowlist.display().to_string())?;
        let allowlist =
            Allowlist::parse(&bytes).with_context(|| self.allowlist.display().to_string())?;
        let digest = allowlist.digest();
        let history = AllowlistHistory::since_genesis(allowlist);
        let params = ConsensusParams::default();
        let schedule =
            history.schedule_at(self.block, &params).context("the allowlist is empty")?;
        let turn = schedule.turn(self.block, false).context("the allowlist is empty")?;
        let tasks: Vec<_> = (turn.task_id.0..turn.task_id.0 + self.tasks)
            .map(leoma_protocol::TaskId)
            .filter_map(|task| {
                Some((
                    task,
                    schedule.allowlist().start_of(task)?,
                    schedule.producers(task).collect::<Vec<_>>(),
                ))
            })
            .collect();
        if self.json {
            let tasks: Vec<_> = tasks
                .iter()
                .map(
                    |(task, start, producers)| json!({ "task_id": task, "start_block": start, "producers": producers }),
                )
                .collect();
            let value = json!({
                "allowlist_sha256": digest, "block": self.block, "task_id": turn.task_id, "sampler": turn.producer,
                "failover_step": turn.failover_step, "grace_blocks": schedule.grace_blocks(), "tasks": tasks,
            });
            return print_json(&value);
        }
        println!("allowlist {digest}, a task every {} blocks", schedule.allowlist().interval());
        println!(
            "block {}: task {}, {} samples (failover step {})",
            self.block, turn.task_id, turn.producer, turn.failover_step
        );
        for (task, start, producers) in tasks {
            println!("task {task} from block {start}:");
            for (step, producer) in producers.iter().enumerate() {
                println!("  after {} blocks: {producer}", step as u64 * schedule.grace_blocks());
            }
        }
        Ok(())
    }
}
