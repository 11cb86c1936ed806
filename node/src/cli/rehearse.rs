//! `leoma rehearse`: a validator that sends no transaction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use leoma_protocol::{SlotKind, TaskId};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::serve::{Parts, ServeArgs, cancel_on_signal};
use super::signals::Signals;
use crate::state::{Books, EpochEntry};

/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  leoma preflight && leoma rehearse
  leoma rehearse --turns 0 --epochs 2 --json 2>rehearsal.log";

/// Run a whole validator, but send no transaction, and say what would have been set.
///
/// Needs all that `leoma serve` needs; `leoma preflight` checks that.
///
/// Everything else is real: it joins the mesh, samples on its turns, signs its verdict files, puts
/// them into its bucket, and attests to others' files. So stop a validator that runs with the same
/// hotkey first: of two that run, neither signs. It ends after that many turns and epochs; without
/// a place on the allowlist no turn comes, so use --turns 0. Lines of the log go to standard error.
///
/// Compare what it would have set with the Epochs page of another validator, then start `leoma
/// serve`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RehearseArgs {
    /// Turns of ours to sample.
    #[arg(long, default_value_t = 1, value_name = "N")]
    turns: usize,
    /// Epochs to decide.
    #[arg(long, default_value_t = 1, value_name = "N")]
    epochs: usize,
    /// Print each turn and epoch as a line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

impl RehearseArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        if self.turns == 0 && self.epochs == 0 {
            bail!("nothing to rehearse: name a number of turns or epochs");
        }
        let config = super::settings::load(file, self.serve.settings())?;
        crate::telemetry::init(&config.log.level, config.log.json);
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signal(Signals::listen()?, stop.clone()));
        let mut seen = Seen::before(&config.machine.state_dir)?;
        let parts = Parts { rehearses: true, ..Parts::ALL };
        let folder = config.machine.state_dir.clone();
        let mut serving = tokio::spawn(crate::serve::serve(config, parts, stop.clone()));
        while !seen.enough(&self) {
            tokio::select! {
                ended = &mut serving => {
                    ended??;
                    bail!("stopped after {} turns and {} epochs", seen.turns, seen.epochs);
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            seen.look(&folder, self.json)?;
        }
        stop.cancel();
        serving.await?
    }
}

/// What was printed already.
#[derive(Debug, Default)]
struct Seen {
    signed: BTreeSet<TaskId>,
    decided: BTreeSet<u64>,
    turns: usize,
    epochs: usize,
}

impl Seen {
    /// What was there before the rehearsal.
    fn before(folder: &Path) -> anyhow::Result<Self> {
        let books = Books::read(folder)?;
        let decided = books.epochs.iter().map(|epoch| epoch.epoch_block).collect();
        Ok(Self { signed: signed(&books), decided, ..Self::default() })
    }

    fn enough(&self, wanted: &RehearseArgs) -> bool {
        self.turns >= wanted.turns && self.epochs >= wanted.epochs
    }

    /// Says what is new.
    fn look(&mut self, folder: &Path, as_json: bool) -> anyhow::Result<()> {
        let books = Books::read(folder)?;
        for task in signed(&books) {
            if self.signed.insert(task) {
                self.turns += 1;
                say(as_json, &json!({ "task": task }), &format!("task {task}: sampled and signed"));
            }
        }
        let newest = books.epochs.iter().map(|epoch| epoch.epoch_block).max();
        for epoch in books.epochs.iter().filter(|epoch| is_decided(epoch, newest)) {
            if self.decided.insert(epoch.epoch_block) {
                self.epochs += 1;
                let value = json!({
                    "epoch": epoch.epoch_block, "weights": epoch.weights, "reason": epoch.reason,
                });
                say(as_json, &value, &words(epoch));
            }
        }
        Ok(())
    }
}

fn signed(books: &Books) -> BTreeSet<TaskId> {
    let verdicts = books.signed.keys().filter(|(kind, ..)| kind == SlotKind::VerdictFile.name());
    verdicts.map(|(_, task, _)| *task).collect()
}

/// An epoch with weights is over when its transaction was held back. One without is tried again
/// until the next one begins.
fn is_decided(epoch: &EpochEntry, newest: Option<u64>) -> bool {
    match epoch.weights {
        Some(_) => epoch.reason.contains("rehearsal"),
        None => Some(epoch.epoch_block) < newest,
    }
}

fn words(epoch: &EpochEntry) -> String {
    let weights = match &epoch.weights {
        Some(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(uid, share)| format!("{uid}={share}")).collect();
            format!("would have set uid=weight {}", pairs.join(" "))
        }
        None => "would have set nothing".to_owned(),
    };
    format!("epoch {}: {weights}; {}", epoch.epoch_block, epoch.reason)
}

fn say(as_json: bool, value: &serde_json::Value, text: &str) {
    if as_json { println!("{value}") } else { println!("{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_said_when_its_weights_were_held_back_or_there_are_none() {
        let epoch = |weights, reason: &str| EpochEntry {
            epoch_block: 360,
            set: false,
            weights,
            reason: reason.to_owned(),
        };
        let on_its_way = epoch(Some(vec![(3, u16::MAX)]), "set: won the window");
        assert!(!is_decided(&on_its_way, Some(540)));
        let refused = leoma_chain::Rejection::Rehearsed;
        let held_back = epoch(Some(vec![(3, u16::MAX)]), &format!("set: won ({refused})"));
        assert!(is_decided(&held_back, Some(360)));
        assert!(words(&held_back).starts_with("epoch 360: would have set uid=weight 3=65535; "));
        let none = epoch(None, "abstain: too few witnesses");
        // It is decided again until the next epoch begins.
        assert!(!is_decided(&none, Some(360)));
        assert!(is_decided(&none, Some(540)));
        assert_eq!(words(&none), "epoch 360: would have set nothing; abstain: too few witnesses");
    }
}
