//! HTTP stand-ins for the services that validators call, and the miners behind them, each at its
//! own address.
//!
//! Paths, headers and JSON are those of the real services; base URLs are the caller's
//! configuration. Every stand-in can be told to fail, stall, lie or answer slowly, through the
//! [admin listener](FaultBoard).

mod admin;
mod args;
mod chutes;
mod config;
mod fault_layer;
mod faults;
mod gemini;
mod hugging_face;
mod market;

pub use args::ServicesArgs;
pub use config::{Keys, MinerEntry, ServicesConfig};
pub(crate) use fault_layer::Lie;
pub use faults::{Counts, Fault, FaultBoard, FaultKind, Service, TooManyFaults};
pub(crate) use market::feed as market_feed;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::miners::{ClipIndex, Miner, MinerError, Renderer, router};
use fault_layer::Listener;

/// Where everything answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesReport {
    /// `CHUTES_API_URL`.
    pub chutes_api: String,
    /// `CHUTES_GENERATE_URL`, with `{slug}` for the miner's.
    pub chutes_generate: String,
    /// `HF_API_URL`.
    pub hugging_face: String,
    /// `GEMINI_API_URL`.
    pub gemini: String,
    /// Where faults are ordered.
    pub admin: String,
    /// Every miner's own address, by slug.
    pub miners: BTreeMap<String, String>,
}

type Result<T, E = ServicesError> = std::result::Result<T, E>;

/// Why the stand-ins stopped or could not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ServicesError {
    /// A listener could not be opened.
    #[error("services: cannot listen for {name}: {source}")]
    Listen { name: String, source: std::io::Error },
    /// The miners cannot work.
    #[error("services: {0}")]
    Miners(#[from] MinerError),
    /// The client of the gateway could not be made.
    #[error("services: gateway client: {0}")]
    Client(#[from] reqwest::Error),
    /// A file could not be read or written.
    #[error("services: {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The configuration cannot be parsed.
    #[error("services: {path}: {source}")]
    Config { path: PathBuf, source: serde_json::Error },
    /// A listener ended.
    #[error("services: a listener ended: {0}")]
    Ended(String),
}

/// Running stand-ins. Dropping it stops them.
#[derive(Debug)]
pub struct Services {
    report: ServicesReport,
    board: FaultBoard,
    tasks: JoinSet<std::io::Result<()>>,
}

impl Services {
    /// Indexes the corpus and starts every stand-in and miner on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the corpus is unusable or a listener cannot be opened.
    pub async fn start(config: ServicesConfig) -> Result<Self> {
        let clips = Arc::new(ClipIndex::load(&config.corpus).await?);
        let renderer = Renderer::new(config.work.clone(), config.encoders);
        let board = FaultBoard::default();
        let mut tasks = JoinSet::new();
        let mut open = Opening { board: &board, tasks: &mut tasks };
        let mut miners = BTreeMap::new();
        for (place, entry) in config.miners.iter().enumerate() {
            let (slug, role) = (entry.slug.clone(), entry.role);
            let miner = Miner {
                slug: slug.clone(),
                role,
                is_twin: config.miners[..place].iter().any(|earlier| earlier.role == role),
                clips: Arc::clone(&clips),
                renderer: Arc::clone(&renderer),
            };
            let url = open.listen(Service::Miner, &slug, router(miner)).await?;
            miners.insert(slug, url);
        }
        let entries = Arc::new(config.miners);
        let api = chutes::Api { keys: config.chutes_keys.clone(), miners: Arc::clone(&entries) };
        let gateway = chutes::Gateway {
            keys: config.chutes_keys,
            miners: Arc::new(miners.clone().into_iter().collect()),
            client: reqwest::Client::builder().no_proxy().build()?,
        };
        let chutes_api = open.listen(Service::Chutes, "api", chutes::api(api)).await?;
        let gateway = open.listen(Service::Chutes, "gateway", chutes::gateway(gateway)).await?;
        let hugging_face =
            open.listen(Service::HuggingFace, "api", hugging_face::registry(entries)).await?;
        let gemini = {
            let model = gemini::Model { keys: config.gemini_keys, clips };
            open.listen(Service::Gemini, "api", gemini::model(model)).await?
        };
        let admin = open.listen_plainly("admin", admin::admin(board.clone())).await?;
        let chutes_generate = format!("{gateway}/{{slug}}/generate");
        let report =
            ServicesReport { chutes_api, chutes_generate, hugging_face, gemini, admin, miners };
        Ok(Self { report, board, tasks })
    }

    /// Where everything answers.
    pub const fn report(&self) -> &ServicesReport {
        &self.report
    }

    /// The standing orders to misbehave.
    pub const fn board(&self) -> &FaultBoard {
        &self.board
    }

    /// Waits for a listener to end, which none should.
    pub async fn ended(&mut self) -> ServicesError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => ServicesError::Ended(error.to_string()),
            Some(Err(error)) => ServicesError::Ended(error.to_string()),
            Some(Ok(Ok(()))) | None => ServicesError::Ended("it gave no reason".into()),
        }
    }
}

struct Opening<'a> {
    board: &'a FaultBoard,
    tasks: &'a mut JoinSet<std::io::Result<()>>,
}

impl Opening<'_> {
    async fn listen(&mut self, service: Service, name: &str, router: Router) -> Result<String> {
        let listener = Listener { board: self.board.clone(), service, name: name.into() };
        let layer = axum::middleware::from_fn_with_state(listener, fault_layer::show_faults);
        self.listen_plainly(&format!("{service} {name}"), router.layer(layer)).await
    }

    async fn listen_plainly(&mut self, name: &str, router: Router) -> Result<String> {
        let failed = |source| ServicesError::Listen { name: name.into(), source };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        tracing::info!(name, url, "listening");
        self.tasks.spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }
}
