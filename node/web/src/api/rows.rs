//! Which verdicts a list holds: the query parameters of every list.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::view::{Found, View};

/// Most rows in one answer.
const MAX_ROWS: usize = 1000;

/// Which verdicts.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VerdictFilter {
    /// Only those of this task.
    pub(super) task_id: Option<u64>,
    /// Only those on this miner.
    #[serde(alias = "hotkey", alias = "miner")]
    pub(super) miner_hotkey: Option<String>,
    /// Only those of this validator.
    #[serde(alias = "validator")]
    pub(super) validator_hotkey: Option<String>,
}

impl VerdictFilter {
    /// Every verdict of a file that is wanted, newest first.
    pub(super) fn of<'a>(&'a self, view: &'a View) -> impl Iterator<Item = Found<'a>> + Send {
        let found: Box<dyn Iterator<Item = Found<'a>> + Send> = match &self.miner_hotkey {
            Some(miner) => Box::new(view.verdicts_on(miner)),
            None => Box::new(view.verdicts()),
        };
        found.filter(|found| {
            let verdict = &found.file.verdict;
            self.task_id.is_none_or(|wanted| wanted == verdict.task_id)
                && self.validator_hotkey.as_ref().is_none_or(|wanted| **wanted == *verdict.producer)
        })
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Rows {
    /// How many to return at most, 1 to 1000.
    limit: Option<usize>,
    /// How many of the newest to leave out.
    offset: Option<usize>,
}

impl Rows {
    /// Rows of the answer, at most.
    pub(super) fn limit(self) -> usize {
        self.limit.unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS)
    }

    /// Rows that are left out before them.
    pub(super) fn offset(self) -> usize {
        self.offset.unwrap_or(0)
    }
}
