//! `leoma audit`: recompute an epoch's winner and weights from public files, with no chain and no
//! mesh.
//!
//! | file | subject |
//! |---|---|
//! | `args.rs`, `buckets.rs` | what is given on the command line |
//! | `inputs.rs` | what the epoch is recomputed from |
//! | `believe.rs` | which attestations and which evidence are believed |
//! | `report.rs` | what is printed |
//! | `task.rs` | the check of one task's clip |

mod args;
mod believe;
mod buckets;
mod inputs;
mod report;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use leoma_protocol::verdict::{self, Expected};
use leoma_protocol::{ConsensusParams, FileId, Network};
use leoma_rotation::{Certificates, EpochInputs, TaskVerdicts, epoch};
use serde_json::{Value, json};

pub(super) use self::args::AuditArgs;
use self::believe::{AgreementFile, Believed, believe};
use self::inputs::{Candidate, Found, Inputs, Refused, read_allowlist, read_json};
use self::report::{decision_json, print_report, task_rows};
use self::task::Given;
use crate::cli::output::print_json;
use crate::verdicts::report::outcome_json;

impl AuditArgs {
    pub(super) async fn run(self, config_file: Option<PathBuf>) -> anyhow::Result<()> {
        match self.clip.task {
            Some(task_id) => {
                let allowlist = self.allowlist.as_deref().map(read_allowlist).transpose()?;
                let (network, json) = (self.network(), self.json);
                let given = Given { config_file, buckets: self.buckets, allowlist, network, json };
                self.clip.run(task_id, given).await
            }
            None => {
                let report = self.recompute().await?;
                if self.json {
                    print_json(&report)?;
                } else {
                    print_report(&report);
                }
                Ok(())
            }
        }
    }

    const fn network(&self) -> Network {
        Network { genesis: self.genesis, netuid: self.netuid }
    }

    /// The epoch, with what was left out and why.
    async fn recompute(&self) -> anyhow::Result<Value> {
        let params = ConsensusParams { accept_v1: self.allow_v1, ..ConsensusParams::default() };
        let Inputs { history, snapshot, found, last_winner } = self.inputs(&params).await?;
        let Found { candidates, mut refused, readable } = found;
        let files = self.verified(candidates, &mut refused);
        let agreement: Option<AgreementFile> =
            self.certificates.as_deref().map(read_json).transpose()?;
        let Believed { attested, evidence, on_trust } = agreement
            .map_or_else(Believed::default, |given| {
                believe(given, self.network(), &history, snapshot.block, &mut refused)
            });
        let certificates = Certificates::count(&history, attested.iter().copied());
        // A validator that attested twice loses its votes, which the count above sees to; only one
        // that signed two files loses its files.
        let guilty: Vec<FileId> =
            evidence.iter().filter(|key| key.as_producer).map(|key| key.file).collect();
        let (outcome, decision) = epoch(&EpochInputs {
            params: &params,
            history: &history,
            snapshot: &snapshot,
            files: &files,
            certificates: &certificates,
            evidence: &guilty,
            readable,
            last_winner,
        });
        refused.sort_by(|a, b| a.name.cmp(&b.name));
        let refused =
            refused.iter().map(|file| json!({ "file": file.name, "reason": file.reason }));
        let mut report = outcome_json(&outcome);
        if outcome.winner.is_none() {
            report["winner_uid"] = json!(snapshot.owner.map(|owner| owner.uid));
        }
        report["decision"] = decision_json(&decision);
        report["refused"] = refused.collect();
        report["tasks"] = task_rows(&outcome.window, &files, &attested, &certificates);
        report["attestations_on_trust"] = json!(on_trust);
        report["evidence"] = json!(evidence);
        Ok(report)
    }

    fn verified(
        &self,
        candidates: Vec<Candidate>,
        refused: &mut Vec<Refused>,
    ) -> Vec<Arc<TaskVerdicts>> {
        // An envelope names the digest of the subnet's rules, whatever else this audit accepts.
        let params = ConsensusParams::default().digest();
        let (network, accept_v1) = (self.network(), self.allow_v1);
        let mut files = Vec::with_capacity(candidates.len());
        for Candidate { name, id, bytes } in candidates {
            match verdict::verify(&bytes, &Expected { id, network, params, accept_v1 }) {
                Ok(verified) => files.push(Arc::new(TaskVerdicts::from(&verified))),
                Err(reason) => refused.push(Refused { name, reason: reason.to_string() }),
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        audit: AuditArgs,
    }

    async fn audit(snapshot: &Value, more: &[&str]) -> anyhow::Result<Value> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("snapshot.json");
        std::fs::write(&path, snapshot.to_string())?;
        let arguments = ["audit", "--snapshot", path.to_str().unwrap(), "--allow-v1"];
        let command = Command::try_parse_from(arguments.iter().chain(more))?;
        command.audit.recompute().await
    }

    /// Epochs that the Python implementation computed, in the form of a snapshot.
    fn epochs() -> Vec<Value> {
        let text = std::fs::read_to_string("../vectors/consensus.json").unwrap();
        let mut vectors: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(vectors["cases"].take()).unwrap()
    }

    #[tokio::test]
    async fn an_audit_gives_the_weights_and_the_reason() {
        let won = epochs().into_iter().find(|case| !case["winner_hotkey"].is_null()).unwrap();
        let report = audit(&won, &[]).await.unwrap();
        let weights =
            json!([{ "hotkey": won["winner_hotkey"], "uid": won["winner_uid"], "share": 65535 }]);
        let decision = json!({ "state": "known", "reason": "won the window", "weights": weights });
        assert_eq!(report["decision"], decision);
        assert_eq!(report["winner_uid"], won["winner_uid"]);
    }

    #[tokio::test]
    async fn weight_is_burned_on_the_owners_uid_and_on_no_other() {
        let mut none = epochs().remove(0);
        none["files"] = json!({});
        let report = audit(&none, &[]).await.unwrap();
        assert_eq!(report["decision"]["state"], "unknown");
        assert_eq!(
            (&report["decision"]["weights"], &report["winner_uid"]),
            (&Value::Null, &Value::Null)
        );
        assert!(
            report["decision"]["reason"].as_str().unwrap().contains("owner's uid is not known")
        );

        let owner = none["miners"][0].clone();
        let uid = owner["uid"].to_string();
        for report in [audit(&none, &["--burn-uid", &uid]).await.unwrap(), {
            none["owner_uid"] = owner["uid"].clone();
            audit(&none, &[]).await.unwrap()
        }] {
            let weights =
                json!([{ "hotkey": owner["hotkey"], "uid": owner["uid"], "share": 65535 }]);
            let reason = "no miner is eligible";
            let decision = json!({ "state": "known", "reason": reason, "weights": weights });
            assert_eq!((&report["decision"], &report["winner_uid"]), (&decision, &owner["uid"]));
        }
        let error = audit(&none, &["--burn-uid", "65000"]).await.unwrap_err();
        assert!(error.to_string().contains("65000"), "{error}");
    }
}
