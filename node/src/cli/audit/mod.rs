//! `leoma audit`: recompute an epoch's weights from the chain and public files, and say which
//! validator set something else.
//!
//! | file | subject |
//! |---|---|
//! | `args.rs`, `buckets.rs`, `sources.rs` | what is given on the command line, and where files are found |
//! | `gather.rs` | an epoch's inputs, and what each validator set, from the chain |
//! | `epoch_file.rs` | all of that in one file |
//! | `believe.rs` | which attestations are believed |
//! | `replay.rs` | the epoch from the file alone |
//! | `cells.rs` | what an epoch's forecasts were ranked against |
//! | `uncertified.rs` | epochs without certificates |
//! | `report.rs` | what is printed |
//! | `recorded.rs` | an epoch's file for `leoma simulate` |
//! | `task.rs` | the check of one task's clip |
//! | `forecasts.rs` | the check of one task of the oracle |
//! | `scores.rs` | the check of one task's scores |
//! | `motion.rs` | both, of the mechanism motion |

mod args;
mod believe;
mod buckets;
mod cells;
mod epoch_file;
mod forecasts;
mod gather;
mod motion;
mod read;
mod recorded;
mod replay;
mod report;
mod scores;
mod sources;
mod task;
mod uncertified;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use leoma_protocol::{Digest, Network};
use serde_json::{Value, json};

pub(super) use self::args::AuditArgs;
use self::args::{AuditCommand, SnapshotArgs};
use self::epoch_file::EpochFile;
use self::gather::{Gather, Gathered};
use self::read::{read_allowlist, read_json};
pub(super) use self::recorded::{Recorded, recorded};
use self::replay::{Replayed, replay};
use self::report::print_report;
use self::task::Given;
use crate::cli::output::print_json;
use crate::cli::settings;
use crate::config::{Config, Plug};

impl AuditArgs {
    pub(super) async fn run(self, config_file: Option<PathBuf>) -> anyhow::Result<()> {
        if let Some(AuditCommand::Snapshot(args)) = self.command {
            return args.run(config_file).await;
        }
        if let Some(task_id) = self.clip.task {
            let allowlist = self.allowlist.as_deref().map(read_allowlist).transpose()?;
            let (network, json) = (self.network(), self.json);
            let config = settings::load(config_file, BTreeMap::new())?;
            let plug = config.mechanism.plug();
            let given = Given { config, buckets: self.buckets, allowlist, network, json };
            return match plug {
                Plug::Video => self.clip.run(task_id, given).await,
                Plug::Motion => motion::run(&self.clip, task_id, given).await,
                Plug::Oracle => forecasts::run(&self.clip, task_id, given).await,
            };
        }
        let config = self.sources.config(config_file)?;
        let replayed = match (&self.snapshot, self.epoch) {
            (Some(path), _) if self.allow_v1 => {
                let report = uncertified::recompute(path, self.burn_uid, self.network())?;
                Replayed { report, faults: Vec::new() }
            }
            (Some(path), _) => replay_of(&read_epoch_file(path)?, &config)?,
            (None, Some(epoch_block)) => {
                let gather = Gather {
                    epoch_block,
                    sources: &self.sources,
                    buckets: &self.buckets,
                    allowlist: self.allowlist.as_deref(),
                };
                let Gathered { file, notes } = gather.run(&config).await?;
                let mut replayed = replay_of(&file, &config)?;
                replayed.report["notes"] = json!(notes);
                replayed
            }
            (None, None) => bail!("name an epoch with --epoch, or a file with --snapshot"),
        };
        conclude(&replayed, self.json)
    }

    const fn network(&self) -> Network {
        Network { genesis: self.genesis, netuid: self.netuid }
    }
}

fn replay_of(file: &EpochFile, config: &Config) -> anyhow::Result<Replayed> {
    let record = config.mechanism.paying();
    replay(file, &config.mechanism.consensus(), record.as_deref())
}

fn conclude(replayed: &Replayed, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(&replayed.report)?;
    } else {
        print_report(&replayed.report);
    }
    if replayed.faults.is_empty() { Ok(()) } else { bail!("{}", replayed.faults.join("; ")) }
}

fn read_epoch_file(path: &Path) -> anyhow::Result<EpochFile> {
    let value: Value = read_json(path)?;
    if value.get("schema").is_none() {
        bail!(
            "{} is not a file of `leoma audit snapshot`; if it is a snapshot without certificates, add --allow-v1",
            path.display()
        );
    }
    serde_json::from_value(value).with_context(|| format!("{} is malformed", path.display()))
}

impl SnapshotArgs {
    async fn run(self, config_file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = self.sources.config(config_file)?;
        let gather = Gather {
            epoch_block: self.epoch,
            sources: &self.sources,
            buckets: &self.buckets,
            allowlist: self.allowlist.as_deref(),
        };
        let Gathered { file, notes } = gather.run(&config).await?;
        for note in &notes {
            eprintln!("not read: {note}");
        }
        let bytes = serde_json::to_vec(&file)?;
        std::fs::write(&self.out, &bytes).with_context(|| self.out.display().to_string())?;
        if self.json {
            return print_json(&json!({
                "epoch_block": file.epoch_block,
                "snapshot_sha256": Digest::of(&bytes),
                "out": self.out.display().to_string(),
                "witnesses": file.witnesses.len(),
                "attestations": file.attestations.len(),
                "files": file.files.len(),
                "set": file.set.len(),
                "notes": notes,
            }));
        }
        println!(
            "epoch {}: {} witnesses, {} attested digests, {} files, weights of {} validators",
            file.epoch_block,
            file.witnesses.len(),
            file.attestations.len(),
            file.files.len(),
            file.set.len()
        );
        Ok(())
    }
}
