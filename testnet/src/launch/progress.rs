//! Live progress: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::agreement::EPOCH_BLOCKS;
use super::mechanism::Mechanism;
use super::view::{ValidatorView, View};

/// Without a terminal, an unchanged state is printed again after this.
const REPEAT: Duration = Duration::from_secs(15);

/// Shows how a run goes.
#[derive(Debug)]
pub(super) enum Progress {
    /// On a terminal.
    Bars(Bars),
    /// Elsewhere.
    Lines(Lines),
}

/// One bar for the epoch, one line per validator.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    epoch: ProgressBar,
    validators: Vec<ProgressBar>,
}

/// What was printed last, and when.
#[derive(Debug, Default)]
pub(super) struct Lines {
    printed: String,
    at: Option<Instant>,
}

impl Progress {
    pub(super) fn new(validators: usize, mechanisms: &[Mechanism]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Lines::default());
        }
        let all = MultiProgress::new();
        let epoch = all.add(ProgressBar::new(EPOCH_BLOCKS));
        let style = ProgressStyle::with_template("{prefix:>12} {bar:40.cyan/blue} {msg}");
        epoch.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let style = ProgressStyle::with_template("{prefix:>12} {spinner} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let numbered = |mechanism| (1..=validators).map(move |number| (mechanism, number));
        let validators = mechanisms
            .iter()
            .flat_map(numbered)
            .map(|(mechanism, number)| {
                let line = all.add(ProgressBar::new_spinner());
                line.set_style(style.clone());
                line.set_prefix(match mechanisms.len() {
                    1 => format!("validator-{number}"),
                    _ => format!("{mechanism} {number}"),
                });
                line
            })
            .collect();
        Self::Bars(Bars { all, epoch, validators })
    }

    /// Reports a step.
    pub(super) fn say(&self, text: &str) {
        match self {
            Self::Bars(bars) => {
                // Only a lost terminal makes this fail, and then nobody reads it.
                let _ = bars.all.println(text);
            }
            Self::Lines(_) => eprintln!("{text}"),
        }
    }

    /// Shows the state of a moment.
    pub(super) fn show(&mut self, view: &View) {
        let epoch = format!("epoch {}", view.block / EPOCH_BLOCKS * EPOCH_BLOCKS);
        let agreed = view.epochs_agreed();
        match self {
            Self::Bars(bars) => {
                bars.epoch.set_prefix(epoch);
                bars.epoch.set_position(view.block % EPOCH_BLOCKS);
                bars.epoch.set_message(format!("block {}, {agreed} epochs agreed", view.block));
                let further = view.mechanisms.iter().flat_map(|further| &further.validators);
                let all = view.validators.iter().chain(further);
                for (line, validator) in bars.validators.iter().zip(all) {
                    line.set_message(describe(validator));
                    line.tick();
                }
            }
            Self::Lines(lines) => {
                let of = |validators: &[ValidatorView]| {
                    validators.iter().map(describe).collect::<Vec<_>>().join(" | ")
                };
                let mut state = format!("{agreed} epochs agreed | {}", of(&view.validators));
                for further in &view.mechanisms {
                    state += &format!(" || {}: {}", further.mechanism, of(&further.validators));
                }
                if lines.printed != state || lines.at.is_none_or(|at| at.elapsed() > REPEAT) {
                    eprintln!("block {:>4} {epoch}: {state}", view.block);
                    (lines.printed, lines.at) = (state, Some(Instant::now()));
                }
            }
        }
    }

    /// Clears the bars, so that a table can follow.
    pub(super) fn finish(&self) {
        if let Self::Bars(bars) = self {
            let _ = bars.all.clear();
        }
    }
}

fn describe(validator: &ValidatorView) -> String {
    let state = match (validator.running, validator.status.ready) {
        (false, _) => "down",
        (true, false) => "starting",
        (true, true) => "ready",
    };
    let weights: Vec<String> = validator
        .history
        .values()
        .map(|epoch| {
            let winner =
                epoch.weights.iter().max_by_key(|(uid, value)| (*value, std::cmp::Reverse(*uid)));
            let winner = winner.map_or_else(|| "nobody".into(), |(uid, _)| format!("uid {uid}"));
            format!("{}→{winner}", epoch.epoch_block)
        })
        .collect();
    let weights = if weights.is_empty() { "no weights".into() } else { weights.join(" ") };
    format!(
        "{state}, {} peers, {} tasks, {} certificates, {} witnesses, {weights}",
        validator.status.peers,
        validator.status.tasks_sampled,
        validator.status.certificates,
        validator.status.witnesses
    )
}
