//! Faults of ours that last, as `/readyz` names them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leoma_web::ReadyCheck;

/// The standing alarms, by subject. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Alarms {
    /// Raises the alarm of `subject`, or updates its text. Returns whether it is new.
    pub(crate) fn raise(&self, subject: &'static str, detail: impl Into<String>) -> bool {
        self.inner().insert(subject, detail.into()).is_none()
    }

    /// Ends the alarm of `subject`.
    pub(crate) fn clear(&self, subject: &'static str) {
        self.inner().remove(subject);
    }

    /// A failed check for each standing alarm.
    pub(crate) fn checks(&self) -> Vec<ReadyCheck> {
        let failed = |(name, detail): (&&'static str, &String)| ReadyCheck {
            name,
            ok: false,
            detail: detail.clone(),
        };
        self.inner().iter().map(failed).collect()
    }

    fn inner(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stands_until_it_is_cleared() {
        let alarms = Alarms::default();
        assert!(alarms.raise("chutes", "one"));
        assert!(!alarms.clone().raise("chutes", "two"));
        let checks = alarms.checks();
        assert_eq!(
            (checks[0].name, checks[0].ok, checks[0].detail.as_str()),
            ("chutes", false, "two")
        );
        alarms.clear("chutes");
        assert!(alarms.checks().is_empty());
    }
}
