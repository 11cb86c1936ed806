//! What a validator says about itself: `/readyz` and `/status`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A busy validator on a busy machine answers with its status page within this.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The part of `/status` that a launcher looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorStatus {
    /// Whether `/readyz` answers 200.
    pub ready: bool,
    /// Peers whose hotkey is proven: `peers`, a number or a list.
    pub peers: u64,
    /// Tasks that it sampled: `tasks_sampled`.
    pub tasks_sampled: u64,
}

impl ValidatorStatus {
    /// Asks the validator at `url`; `None` when it does not answer.
    pub async fn fetch(client: &reqwest::Client, url: &str) -> Option<Self> {
        let answer = client.get(format!("{url}/status")).timeout(TIME_LIMIT).send().await.ok()?;
        let status: Value = answer.json().await.ok()?;
        let ready = client.get(format!("{url}/readyz")).timeout(TIME_LIMIT).send().await.ok()?;
        Some(Self { ready: ready.status().is_success(), ..Self::read(&status) })
    }

    fn read(status: &Value) -> Self {
        let count = |value: &Value| match value {
            Value::Array(list) => list.len() as u64,
            other => other.as_u64().unwrap_or(0),
        };
        Self {
            ready: false,
            peers: count(&status["peers"]),
            tasks_sampled: count(&status["tasks_sampled"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_and_lists_are_read() {
        let status =
            ValidatorStatus::read(&json!({"peers": [1, 2, 3], "tasks_sampled": 4, "more": {}}));
        assert_eq!(status, ValidatorStatus { ready: false, peers: 3, tasks_sampled: 4 });
        assert_eq!(ValidatorStatus::read(&json!({"peers": 2})).peers, 2);
        assert_eq!(ValidatorStatus::read(&json!([])), ValidatorStatus::default());
    }
}
