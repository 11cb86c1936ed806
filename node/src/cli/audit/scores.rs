//! `leoma audit --task N --scores`: does the sampler's bucket give the scores that were signed?

use anyhow::bail;
use leoma_protocol::{Hotkey, TaskId};
use leoma_scoring::learned::TextModel;
use leoma_scoring::worker::{Patience, PoolOptions, ScorerOptions, ScorerPool, WorkerProgram};
use leoma_scoring::{Device, TaskType};
use leoma_storage::Bucket;

use crate::cli::output::print_json;
use crate::config::Config;
use crate::mechanism::video::WORKER_COMMAND;
use crate::rescoring::{Compared, EntryReport, Scorers, ScoresReport, audit_scores, known_judge};

/// Scorers on the CPU with the settings of this machine.
struct OnCpu<'a> {
    config: &'a Config,
}

#[async_trait::async_trait]
impl Scorers for OnCpu<'_> {
    async fn scorer(
        &self,
        task: TaskType,
        judge: &str,
    ) -> anyhow::Result<Option<(ScorerPool, String)>> {
        let plain = ScorerOptions {
            size_tolerance: self.config.sampling.size_tolerance,
            task,
            ..ScorerOptions::default()
        };
        let mut options = vec![plain.clone()];
        if let Some(folder) = self.config.judging.text_model.clone() {
            let model = tokio::task::spawn_blocking(move || TextModel::at(&folder)).await??;
            options.push(ScorerOptions { text_model: Some(model), ..plain });
        }
        let known = options.into_iter().find(|one| known_judge(judge, &one.judge_id()).is_some());
        let Some(scoring) = known else { return Ok(None) };
        let metrics = scoring.judge_id();
        let program = WorkerProgram::this([WORKER_COMMAND]);
        let options = PoolOptions { scoring, program, patience: Patience::default() };
        eprintln!("preparing the scorer on the CPU");
        let scorer = ScorerPool::open_on(vec![Device::Cpu], options).await?;
        Ok(Some((scorer, metrics)))
    }
}

pub(super) async fn run(
    bucket: &Bucket,
    task_id: TaskId,
    miner: Option<Hotkey>,
    config: &Config,
    json: bool,
) -> anyhow::Result<()> {
    let progress = |done: usize, of: usize, row: &EntryReport| {
        let seconds = row.took_ms as f64 / 1000.0;
        eprintln!("{done} of {of}: {} {} ({seconds:.1} s)", row.miner, word(&row.compared));
    };
    let report = audit_scores(bucket, task_id, miner, &OnCpu { config }, progress).await?;
    if json {
        print_json(&report)?;
    } else {
        print_report(&report);
    }
    match report.differing() {
        0 => Ok(()),
        count => {
            bail!("task {task_id}: {count} results differ from what {} signed", report.producer)
        }
    }
}

const fn word(compared: &Compared) -> &'static str {
    match compared {
        Compared::Match => "match",
        Compared::Boundary => "at the boundary",
        Compared::Differs(_) => "DIFFERS",
        Compared::Unchecked(_) => "cannot be checked",
    }
}

fn told(compared: &Compared) -> String {
    match compared {
        Compared::Match | Compared::Boundary => word(compared).to_owned(),
        Compared::Differs(differences) => format!("{}: {}", word(compared), differences.join("; ")),
        Compared::Unchecked(reason) => format!("{}: {reason}", word(compared)),
    }
}

fn print_report(report: &ScoresReport) {
    println!("task {} of {}, judged by {}", report.task_id, report.producer, report.judge);
    println!("subnet {} of chain {}", report.network.netuid, report.network.genesis);
    println!("{:<12} {}", "metadata", told(&report.task));
    for row in &report.entries {
        println!("{} {}", row.miner, told(&row.compared));
    }
    println!("{:<12} {}", "copies", told(&report.copies));
}
