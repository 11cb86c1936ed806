//! Why a subnet did not start, or stopped.

use std::path::PathBuf;
use std::time::Duration;

use leoma_chain::{ChainError, SubmitError};
use leoma_storage::{ConfigError, KeyError, StoreError};

use crate::corpus::CorpusError;
use crate::miners::MinerError;
use crate::netns::NetworkError;
use crate::storage::KeysError;

pub(super) type Result<T, E = LaunchError> = std::result::Result<T, E>;

/// Why a local subnet did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LaunchError {
    /// A program of this workspace is not built.
    #[error(
        "cannot find the program `{name}` in {folders}; \
         build it with `cargo build --bins -p leoma -p leoma-testnet`"
    )]
    NoProgram { name: &'static str, folders: String },
    /// A file or folder could not be handled.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A part did not start.
    #[error("{part} did not start: {source}")]
    Spawn { part: String, source: std::io::Error },
    /// A part ended that should run until it is stopped.
    #[error("{part} ended ({status}); its last log lines ({log}):\n{lines}")]
    Died { part: String, status: String, log: PathBuf, lines: String },
    /// A part did not become ready.
    #[error("{part} was not ready within {} s; its last log lines:\n{lines}", .after.as_secs())]
    NotReady { part: String, after: Duration, lines: String },
    /// What a part wrote about itself is unreadable.
    #[error("{path}: {source}")]
    Report { path: PathBuf, source: serde_json::Error },
    /// A command of the owner failed.
    #[error("`{command}` failed; its last log lines:\n{lines}")]
    Command { command: String, lines: String },
    /// The corpus is unusable.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The miners' videos could not be made.
    #[error("miners: {0}")]
    Miners(#[from] MinerError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The launcher cannot connect to the chain.
    #[error("connecting to the chain: {0}")]
    Rpc(#[from] subxt::rpcs::Error),
    /// A transaction was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The keys of the storage are unusable.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A bucket is misconfigured.
    #[error(transparent)]
    Bucket(#[from] ConfigError),
    /// A bucket did not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A source clip's name is not a valid object key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A client could not be made.
    #[error("http client: {0}")]
    Client(#[from] reqwest::Error),
    /// The network between validators cannot be made or changed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Validators share this machine's loopback, where nothing can be cut.
    #[error("validators have no addresses of their own in this run (Options::namespaces)")]
    NoNetwork,
    /// A stand-in refused an order.
    #[error("{url}: {reason}")]
    Admin { url: String, reason: String },
    /// Time ran out.
    #[error("time ran out after {} s: {state}; the logs are in {logs}", .after.as_secs())]
    TimeOut { after: Duration, state: String, logs: PathBuf },
    /// An option makes no sense.
    #[error("{0}")]
    Options(&'static str),
}
