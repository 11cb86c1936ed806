//! What can go wrong with the chain's folder, its genesis or its port.

use node_subtensor_runtime::GenesisError;
use node_subtensor_runtime::executor::ExecutionError;
use sp_core::H256;
use std::io;
use std::path::{Path, PathBuf};

/// The chain cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ChainError {
    /// A file or folder failed.
    #[error("{action} {path}: {source}")]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Another process has the folder.
    #[error("{path} is in use by another process")]
    Locked { path: PathBuf },
    /// Bytes in the middle of the journal are not what was written.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Damaged { path: PathBuf, offset: u64, reason: &'static str },
    /// The folder is empty and no genesis was given.
    #[error("{path} holds no chain yet; a genesis is needed")]
    NoGenesis { path: PathBuf },
    /// The folder holds a chain with another genesis.
    #[error("{path} holds the chain {stored:?}, but the genesis given makes {given:?}")]
    OtherGenesis { path: PathBuf, stored: H256, given: H256 },
    /// The genesis contradicts itself.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The genesis file cannot be parsed.
    #[error("{path} is not a genesis document: {source}")]
    GenesisFile { path: PathBuf, source: serde_json::Error },
    /// The port cannot be used.
    #[error("listening on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port; 0 means any.
        port: u16,
        source: io::Error,
    },
    /// Two RPC methods have the same name, which is a defect.
    #[error("registering RPC methods: {0}")]
    Methods(#[from] jsonrpsee::core::RegisterMethodError),
    /// The runtime failed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// A task of the node ended on its own.
    #[error("the {0} task ended: {1}")]
    Task(&'static str, tokio::task::JoinError),
    /// A block is too large for the journal.
    #[error("block {number} takes {bytes} bytes, more than the journal's {limit}")]
    BlockTooLarge { number: u32, bytes: usize, limit: usize },
}

impl ChainError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
