//! The validator's state as HTTP shows it: `/readyz`, `/status` and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_chain::Metagraph;
use leoma_protocol::Hotkey;
use leoma_protocol::mesh::Voice;
use leoma_scoring::worker::ScorerPool;
use leoma_web::{ReadyCheck, Source};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::miners::MinerTable;
use crate::verdicts::Exchange;

use super::open::Opened;

/// The validator is not ready when the head is older than this: ten blocks of the live chain.
const HEAD_TOO_OLD: Duration = Duration::from_secs(120);
/// Epochs that `/status` lists.
const LISTED_EPOCHS: u32 = 20;

/// What the HTTP server shows of a running validator.
#[derive(Debug)]
pub(super) struct StatusSource {
    pub(super) opened: Opened,
    pub(super) exchange: Exchange,
    /// When the newest block changed last.
    pub(super) head_moved: watch::Receiver<Instant>,
    /// `None` where this process does not validate miners.
    pub(super) miners: Option<watch::Receiver<Arc<MinerTable>>>,
}

#[async_trait::async_trait]
impl Source for StatusSource {
    fn readiness(&self) -> Vec<ReadyCheck> {
        let mut checks = vec![self.chain_check()];
        let mut check = |name, ok, detail| checks.push(ReadyCheck { name, ok, detail });
        let metagraph = Arc::clone(&self.opened.subnet.metagraph.borrow());
        let uid = metagraph.uid(&self.opened.hotkey);
        check(
            "registration",
            uid.is_some(),
            uid.map_or("not registered".to_owned(), |uid| format!("uid {uid}")),
        );
        let permit =
            metagraph.neuron(&self.opened.hotkey).is_some_and(|neuron| neuron.validator_permit);
        check(
            "permit",
            permit,
            if permit {
                "validator permit"
            } else {
                "no validator permit: weights will be refused"
            }
            .to_owned(),
        );
        let allowlists = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let newest = allowlists.entries().last();
        check(
            "allowlist",
            newest.is_some(),
            newest.map_or("none yet".to_owned(), |entry| {
                format!("{} validators", entry.allowlist.validators().len())
            }),
        );
        let listed = newest.is_some_and(|entry| entry.allowlist.contains(&self.opened.hotkey));
        check(
            "membership",
            listed,
            if listed { "on the allowlist" } else { "not on the allowlist: ask the subnet owner" }
                .to_owned(),
        );
        let others = newest.map_or(0, |entry| {
            entry.allowlist.validators().len().saturating_sub(usize::from(listed))
        });
        let connected = self.exchange.connected().len();
        check("mesh", others == 0 || connected > 0, format!("{connected} of {others} peers"));
        let voice = self.exchange.voice();
        let detail = match voice {
            Voice::Listening => "listening for a double of this hotkey, nothing is signed yet",
            Voice::Alone => "only here",
            Voice::Doubled => "this hotkey runs elsewhere too: stop one of the two and restart",
        };
        check("identity", voice == Voice::Alone, detail.to_owned());
        checks
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        if let Ok(status) = self.exchange.mesh().status().await {
            self.opened.telemetry.mesh.update(&status);
        }
        let mut body = String::new();
        prometheus_client::encoding::text::encode(&mut body, &self.opened.telemetry.registry)?;
        Ok(body)
    }

    async fn agreement(&self) -> Result<String, String> {
        let signed = self.exchange.signed().await.map_err(|error| error.to_string())?;
        serde_json::to_string(&signed).map_err(|error| error.to_string())
    }

    async fn status(&self) -> Value {
        let metagraph = Arc::clone(&self.opened.subnet.metagraph.borrow());
        let allowlists = Arc::clone(&self.opened.subnet.allowlists.borrow());
        let mesh = match self.exchange.mesh().status().await {
            Ok(status) => serde_json::to_value(status).unwrap_or(Value::Null),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let peers = mesh.get("peers").cloned().unwrap_or_else(|| json!([]));
        let peers: Vec<Value> = peers
            .as_array()
            .map(|peers| {
                peers
                    .iter()
                    .filter(|peer| !peer["hotkey"].is_null())
                    .map(|peer| self.with_uid(peer, &metagraph))
                    .collect()
            })
            .unwrap_or_default();
        let epochs = self.opened.state.epochs(LISTED_EPOCHS).unwrap_or_default();
        let sampled = self.opened.state.count_files(self.opened.hotkey).unwrap_or(0);
        let newest = allowlists.entries().last();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hotkey": self.opened.hotkey,
            "uid": metagraph.uid(&self.opened.hotkey),
            "network": self.opened.state.network(),
            "head": self.opened.heads.borrow().number,
            "chain_endpoints": self.opened.chain.endpoints(),
            "device": self.opened.device,
            "scoring": self.opened.scorer.as_ref().map(ScorerPool::counts),
            "listening_for_double": self.exchange.voice() == Voice::Listening,
            "ready": self.readiness().iter().all(|check| check.ok),
            "checks": self.readiness(),
            "peers": peers,
            "mesh": mesh,
            "tasks_sampled": sampled,
            "epochs": epochs,
            "allowlist": newest.map(|entry| json!({
                "sha256": entry.allowlist.digest(), "interval": entry.allowlist.interval(),
                "validators": entry.allowlist.validators(), "committed_at": entry.committed_at, "from_task": entry.from_task,
            })),
            "miners": self.miners.as_ref().map(|miners| serde_json::to_value(&**miners.borrow()).unwrap_or(Value::Null)),
        })
    }
}

impl StatusSource {
    fn chain_check(&self) -> ReadyCheck {
        let age = self.head_moved.borrow().elapsed();
        let endpoints = self.opened.chain.endpoints();
        let usable =
            endpoints.iter().filter(|endpoint| endpoint.connected && !endpoint.dropped).count();
        let detail = format!(
            "block {}, {} s old; {usable} of {} endpoints in use",
            self.opened.heads.borrow().number,
            age.as_secs(),
            endpoints.len()
        );
        ReadyCheck { name: "chain", ok: age < HEAD_TOO_OLD, detail }
    }

    fn with_uid(&self, peer: &Value, metagraph: &Metagraph) -> Value {
        let hotkey: Option<Hotkey> = peer["hotkey"].as_str().and_then(|text| text.parse().ok());
        let mut peer = peer.clone();
        peer["uid"] = json!(hotkey.and_then(|hotkey| metagraph.uid(&hotkey)));
        peer
    }
}
