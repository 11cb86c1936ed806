//! A subnet whose axons a test chooses, without a chain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use leoma_chain::{Axon, ChainError, Head, Metagraph, Neuron};
use leoma_protocol::{BlockNumber, Digest, Hotkey, Uid};
use leoma_rotation::{Allowlist, AllowlistHistory};
use leoma_web::testing::MemoryBoard;
use tokio::sync::watch;

use super::admission::{Admission, FirstBlocks};
use crate::miners::Blacklist;
use crate::outbound::Reach;

/// A chain whose blocks all have one hash and one subnet.
#[derive(Debug)]
pub(crate) struct FixedSubnet {
    hash: Digest,
    axons: Mutex<Vec<(Hotkey, SocketAddr)>>,
    lack: Mutex<Option<ChainError>>,
}

impl FixedSubnet {
    pub(crate) fn new(hash: Digest, axons: Vec<(Hotkey, SocketAddr)>) -> Arc<Self> {
        Arc::new(Self { hash, axons: Mutex::new(axons), lack: Mutex::default() })
    }

    /// Puts other axons in the place of those that it returns.
    pub(crate) fn replace(&self, axons: Vec<(Hotkey, SocketAddr)>) -> Vec<(Hotkey, SocketAddr)> {
        std::mem::replace(&mut *self.axons.lock().unwrap(), axons)
    }

    /// Answers this error from now on.
    pub(crate) fn lack(&self, error: ChainError) {
        *self.lack.lock().unwrap() = Some(error);
    }

    /// Who is admitted, where these are the validators; nobody is blacklisted.
    pub(crate) fn admission(self: &Arc<Self>, validators: Allowlist) -> Admission {
        let history = AllowlistHistory::since_genesis(validators);
        let (_, allowlists) = watch::channel(Arc::new(history));
        Admission {
            chain: Arc::<Self>::clone(self),
            allowlists,
            blacklist: Blacklist { board: Arc::new(MemoryBoard::default()) },
            reach: Reach::new(true),
        }
    }
}

#[async_trait::async_trait]
impl FirstBlocks for FixedSubnet {
    async fn hash(&self, _block: BlockNumber) -> Result<Digest, ChainError> {
        Ok(self.hash)
    }

    async fn subnet_at(&self, block: Head) -> Result<Metagraph, ChainError> {
        if let Some(error) = self.lack.lock().unwrap().clone() {
            return Err(error);
        }
        let neuron = |(uid, (hotkey, address)): (u16, &(Hotkey, SocketAddr))| Neuron {
            uid: Uid(uid),
            hotkey: *hotkey,
            validator_permit: false,
            stake: 0,
            last_update: BlockNumber(0),
            registered_at: BlockNumber(1),
            axon: Some(Axon { ip: address.ip(), port: address.port() }),
            axon_block: BlockNumber(1),
        };
        Ok(Metagraph {
            block: block.number,
            owner: Hotkey::from_bytes([0; 32]),
            min_weights: 1,
            max_weight: u16::MAX,
            serving_rate_limit: 0,
            neurons: (0..).zip(self.axons.lock().unwrap().iter()).map(neuron).collect(),
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain: BTreeMap::new(),
        })
    }
}
