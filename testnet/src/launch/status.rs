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
    /// Files whose certificates it holds: `mesh.files`.
    pub certificates: u64,
    /// Epochs that it witnessed on chain in time, of the newest that it lists: `witnesses`.
    pub witnesses: u64,
}

impl ValidatorStatus {
    /// Asks the validator at `url`; `None` when it does not answer.
    pub async fn fetch(client: &reqwest::Client, url: &str) -> Option<Self> {
        let answer = client.get(format!("{url}/status")).timeout(TIME_LIMIT).send().await.ok()?;
        let status: Value = answer.json().await.ok()?;
        let ready = client.get(format!("{url}/readyz")).timeout(TIME_LIMIT).send().await.ok()?;
        Some(Self { ready: ready.status().is_success(), ..Self::read(&status) })
    }

    /// What keeps the validator at `url` from being ready, in its own words; empty when it is ready.
    pub async fn obstacles(client: &reqwest::Client, url: &str) -> Vec<String> {
        let asked = client.get(format!("{url}/readyz")).timeout(TIME_LIMIT).send();
        let Ok(answer) = asked.await else { return vec!["does not answer".to_owned()] };
        if answer.status().is_success() {
            return Vec::new();
        }
        let body = answer.text().await.unwrap_or_default();
        let failed = body.lines().filter(|line| *line != "not ready");
        failed.map(|line| line.trim_start_matches("[-] ").to_owned()).collect()
    }

    fn read(status: &Value) -> Self {
        let count = |value: &Value| match value {
            Value::Array(list) => list.len() as u64,
            other => other.as_u64().unwrap_or(0),
        };
        let of = |list: &Value, counts: fn(&Value) -> bool| {
            list.as_array().map_or(0, |list| list.iter().filter(|one| counts(one)).count() as u64)
        };
        Self {
            ready: false,
            peers: count(&status["peers"]),
            tasks_sampled: count(&status["tasks_sampled"]),
            certificates: of(&status["mesh"]["files"], |file| !file["certified"].is_null()),
            witnesses: of(&status["witnesses"], |witness| witness["state"] == "final"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_and_lists_are_read() {
        let status = ValidatorStatus::read(&json!({
            "peers": [1, 2, 3], "tasks_sampled": 4, "more": {},
            "mesh": { "files": [{ "certified": "0x12" }, { "certified": null }] },
            "witnesses": [{ "state": "final" }, { "state": "prepared" }, { "state": "final" }],
        }));
        let expected = ValidatorStatus {
            ready: false,
            peers: 3,
            tasks_sampled: 4,
            certificates: 1,
            witnesses: 2,
        };
        assert_eq!(status, expected);
        assert_eq!(ValidatorStatus::read(&json!({"peers": 2})).peers, 2);
        assert_eq!(ValidatorStatus::read(&json!([])), ValidatorStatus::default());
    }
}
