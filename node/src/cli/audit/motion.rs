//! `leoma audit --task` of the mechanism motion: its draw and its values.

use anyhow::bail;
use leoma_protocol::TaskId;

use super::task::{Given, Seen, TaskAuditArgs, bucket_of, print_steps};
use crate::cli::output::print_json;
use crate::corpus::audit::Verdict;
use crate::mechanism::motion::audit::{Draw, MotionAudit};

pub(super) async fn run(args: &TaskAuditArgs, task_id: TaskId, given: Given) -> anyhow::Result<()> {
    let bucket = bucket_of(&given.buckets, &given.config)?;
    let draw = if args.scores {
        None
    } else {
        let Seen { source, network, start_block, seed_hash } = args.seen(task_id, &given).await?;
        Some(Draw { source, start_block, seed_hash, network })
    };
    let audit = MotionAudit { task_id, bucket: &bucket, draw, miner: args.miner };
    let report = audit.run().await;
    if given.json {
        print_json(&report)?;
    } else {
        print_steps(&report.steps);
    }
    match (report.count(Verdict::Fail), report.count(Verdict::Unchecked)) {
        (0, 0) if !given.json => println!("the task is as its seed and its answers say"),
        (0, unchecked) if !given.json => {
            println!("nothing speaks against the task; {unchecked} steps cannot be checked");
        }
        (0, _) => {}
        (failed, _) => {
            bail!("task {task_id}: {failed} of {} steps do not hold", report.steps.len())
        }
    }
    Ok(())
}
