//! A check and its outcome.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckOutcome {
    /// As it should be.
    Pass,
    /// A validator runs, but not as well as it could.
    Warn,
    /// A validator cannot do its work.
    Fail,
    /// Not checked, because it depends on something that failed.
    Skip,
}

impl CheckOutcome {
    /// A word for people; a failure stands out.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// One thing that was checked. Serialises as `{name, outcome, finding, next_step}`; holds no
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was checked; names are stable between releases. Checks of several things of one kind
    /// share a name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// What was found.
    pub finding: String,
    /// What to do, unless the finding says so.
    pub next_step: Option<String>,
}

impl Check {
    pub(super) fn pass(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, outcome: CheckOutcome::Pass, finding: finding.into(), next_step: None }
    }

    pub(super) fn warn(
        name: &'static str,
        finding: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let (finding, next_step) = (finding.into(), Some(next_step.into()));
        Self { name, outcome: CheckOutcome::Warn, finding, next_step }
    }

    pub(super) fn fail(
        name: &'static str,
        finding: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self { outcome: CheckOutcome::Fail, ..Self::warn(name, finding, next_step) }
    }

    /// `missing` completes "skipped: ".
    pub(super) fn skip(name: &'static str, missing: &str) -> Self {
        Self { outcome: CheckOutcome::Skip, ..Self::pass(name, format!("skipped: {missing}")) }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {:<18} {}", self.outcome.word(), self.name, self.finding)?;
        if let Some(next_step) = &self.next_step {
            write!(f, "\n{:25}-> {next_step}", "")?;
        }
        Ok(())
    }
}
