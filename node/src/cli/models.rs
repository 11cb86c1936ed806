//! `leoma models`: the files of learned judges.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output::print_json;
use crate::config::Config;
use crate::models::{FileState, Hub, KNOWN, KnownModel, Lock, copy, pull, state, verify};

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models that the judge can use, and which are here.
    List(ListArgs),
    /// Download a model's files into the folder of LEOMA_MODELS, and check each against the
    /// registry's SHA-256.
    ///
    /// The first pull takes the registry's newest commit and writes it, with size and SHA-256 of
    /// every file, into a lock beside the files. Later pulls keep that commit. A pull that was
    /// interrupted goes on where it ended. Small files have no sum in the registry: theirs is
    /// recorded when they first come.
    ///
    /// All validators of a subnet should use the same commit: their judge's id names the files.
    /// Send the lock's commit to the others, who pull it with --revision.
    Pull(PullArgs),
    /// Read every file of the pulled models again and compare it with the lock.
    ///
    /// The exit code is 1 where a file is missing or differs.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// A model's name, as `leoma models list` shows it.
    #[arg(value_name = "MODEL", value_parser = known)]
    model: &'static KnownModel,
    /// A commit or a branch of the model's repository, in place of the lock's commit.
    #[arg(long, value_name = "COMMIT", conflicts_with = "from")]
    revision: Option<String>,
    /// Copy a folder that was pulled on another machine, in place of a download.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Models' names; without one, all that were pulled.
    #[arg(value_name = "MODEL", value_parser = known)]
    models: Vec<&'static KnownModel>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn known(name: &str) -> Result<&'static KnownModel, String> {
    let names = || KNOWN.map(|model| model.name).join(", ");
    KnownModel::find(name).ok_or_else(|| format!("the known models are {}", names()))
}

impl ModelsCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let config = super::settings::load(file, BTreeMap::new())?;
        match self {
            Self::List(args) => args.run(&config.judging.models),
            Self::Pull(args) => args.run(&config).await,
            Self::Verify(args) => args.run(&config.judging.models).await,
        }
    }
}

impl ListArgs {
    fn run(&self, models: &Path) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for model in &KNOWN {
            let folder = models.join(model.name);
            let lock = Lock::read(&folder)?;
            let here = lock.as_ref().map(|lock| is_whole(lock, &folder));
            if self.json {
                rows.push(row(model, &folder, lock.as_ref(), here));
                continue;
            }
            println!("{:<28} {} ({})", model.name, model.repository, model.licence);
            println!("{:<28} {}, by {}", "", model.purpose, model.setting);
            let said = match (&lock, here) {
                (Some(lock), Some(true)) => {
                    format!("commit {} in {}", &lock.revision[..12], folder.display())
                }
                (Some(_), _) => format!("not whole: leoma models pull {}", model.name),
                (None, _) => format!("not here: leoma models pull {}", model.name),
            };
            println!("{:<28} {said}", "");
        }
        if self.json { print_json(&rows) } else { Ok(()) }
    }
}

/// Whether all files are there, by their sizes.
fn is_whole(lock: &Lock, folder: &Path) -> bool {
    lock.files.iter().all(|file| state(file, folder) == FileState::Matches)
}

fn row(model: &KnownModel, folder: &Path, lock: Option<&Lock>, whole: Option<bool>) -> Value {
    json!({
        "name": model.name, "repository": model.repository, "licence": model.licence,
        "purpose": model.purpose, "setting": model.setting, "folder": folder,
        "revision": lock.map(|lock| &lock.revision), "files": lock.map(|lock| &lock.files),
        "whole": whole.unwrap_or(false),
    })
}

impl PullArgs {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let folder = config.judging.models.join(self.model.name);
        let progress = progress()?;
        let pulled = match &self.from {
            Some(from) => copy(self.model, from, &folder, &progress).await,
            None => {
                let hub = Hub::new(&config.services).context("failed to set up TLS")?;
                pull(&hub, self.model, &folder, self.revision.as_deref(), &progress).await
            }
        };
        progress.finish_and_clear();
        let pulled = pulled?;
        if self.json {
            let mut row = row(self.model, &folder, Some(&pulled.lock), Some(true));
            row["fetched"] = json!(pulled.fetched);
            return print_json(&row);
        }
        let bytes: u64 = pulled.lock.files.iter().map(|file| file.size).sum();
        println!(
            "{} at commit {}: {} files, {bytes} bytes, {} of them new",
            self.model.name,
            pulled.lock.revision,
            pulled.lock.files.len(),
            pulled.fetched.len()
        );
        for file in pulled.lock.files.iter().filter(|file| !file.stated) {
            println!("{}: the registry states no sum; recorded as it came", file.name);
        }
        println!("to judge with it: {}={}", self.model.setting, folder.display());
        Ok(())
    }
}

/// A bar on a terminal; elsewhere only the last message.
fn progress() -> anyhow::Result<ProgressBar> {
    let style = "{bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left: {msg}";
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

impl VerifyArgs {
    async fn run(self, models: &Path) -> anyhow::Result<()> {
        let asked =
            if self.models.is_empty() { KNOWN.iter().collect() } else { self.models.clone() };
        let (mut rows, mut wrong, mut looked) = (Vec::new(), 0, 0);
        for model in asked {
            let folder = models.join(model.name);
            let Some(lock) = Lock::read(&folder)? else {
                if self.models.is_empty() {
                    continue;
                }
                bail!("{} was not pulled: run `leoma models pull {0}`", model.name);
            };
            for (file, state) in verify(&lock, &folder).await? {
                looked += 1;
                wrong += usize::from(state != FileState::Matches);
                if !self.json {
                    let said = match &state {
                        FileState::Matches => "matches".to_owned(),
                        FileState::Missing => "is missing".to_owned(),
                        FileState::Differs { found } => format!("differs: {found}"),
                    };
                    println!("{}/{} {said}", model.name, file.name);
                }
                let (name, revision) = (model.name, &lock.revision);
                rows.push(json!({
                    "model": name, "revision": revision, "file": file, "result": state,
                }));
            }
        }
        if self.json {
            print_json(&rows)?;
        }
        if looked == 0 {
            bail!("no model was pulled into {}: run `leoma models pull`", models.display());
        }
        if wrong > 0 {
            bail!("{wrong} of {looked} files are not those of the lock: pull the model again");
        }
        Ok(())
    }
}
