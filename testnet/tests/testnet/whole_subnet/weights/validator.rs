//! A validator that sets weights and nothing else.

use leoma::weights::Spans;
use leoma_protocol::ConsensusSchedule;
use leoma_rotation::{Slot, WeightVector};
use sp_core::Pair as _;
use tokio::sync::watch;

use super::*;

/// A validator's connection to the chain, with its state in a folder. Dropped and made again it is
/// a process that was restarted.
pub(super) struct Validator {
    pub(super) weights: Weights,
    pub(super) chain: ChainClient,
    pub(super) state: State,
}

impl Validator {
    pub(super) async fn start(folder: &Path, name: &str, urls: &[&str]) -> Self {
        Self::of_mechanism(folder, name, urls, 0).await
    }

    /// One of a mechanism of the subnet, with a state of its own.
    pub(super) async fn of_mechanism(folder: &Path, name: &str, urls: &[&str], mecid: u8) -> Self {
        let index = NETUID.with_mechanism(mecid).unwrap();
        let folder = if mecid == 0 { folder.to_owned() } else { folder.join(mecid.to_string()) };
        let hotkey = Key::new(name).0;
        let signer = HotkeySigner::new(hotkey, Arc::new(MemoryGuard::default()));
        let log = Arc::new(SentTransactions::default());
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let chain = ChainClient::connect_all(&urls, index, None, log.clone()).await.unwrap();
        let state = State::open(&folder.join(name), chain.network(), signer.hotkey()).unwrap();
        log.keep_in(state.clone());
        // There is no allowlist, and so no witness to leave room for.
        let (_, allowlists) = watch::channel(Arc::default());
        let weights = Weights {
            chain: chain.clone(),
            signer,
            state: state.clone(),
            beacon: Beacon::new(beacon_public_key()).unwrap(),
            spans: Spans { consensus: Arc::new(ConsensusSchedule::production()), allowlists },
            metrics: Metrics::register(&mut Registry::default()),
        };
        Self { weights, chain, state }
    }

    pub(super) async fn head(&self) -> Head {
        self.chain.head().await.unwrap()
    }

    pub(super) async fn put(&self, epoch_block: u64, uid: Uid) -> Result<Progress, WeightsError> {
        // Who holds the slot in the chain's first block.
        let name = ["owner", "first", "second", "miner", "other"][usize::from(uid.0)];
        let slot = Slot { hotkey: Key::new(name).0.public().into(), uid };
        let weights = WeightVector::whole(slot);
        let target = Target { epoch_block: BlockNumber(epoch_block), weights };
        self.weights.put(&target, self.head().await).await
    }

    /// The weights that the chain holds of this validator.
    pub(super) async fn on_chain(&self, own: Uid) -> Vec<(Uid, u16)> {
        self.chain.weights(self.head().await, own).await.unwrap()
    }

    pub(super) async fn nonces(&self) -> Nonces {
        let endpoint = Endpoint::connect(&self.chain.endpoints()[0].url, NETUID).await.unwrap();
        endpoint.nonces(&self.weights.signer.hotkey()).await.unwrap()
    }

    pub(super) async fn transactions(&self) -> u64 {
        self.nonces().await.finalized
    }

    /// Is killed when its transaction is in the pool of a node that makes no more blocks.
    pub(super) async fn put_and_die(self, node: &ChainHandle, epoch_block: u64, uid: Uid) {
        node.controls().stall_production().await.unwrap();
        let sent = async {
            while self.nonces().await.next == 0 {
                tokio::time::sleep(BLOCK_TIME).await;
            }
        };
        tokio::select! {
            put = self.put(epoch_block, uid) => panic!("{put:?}"),
            sent = tokio::time::timeout(PATIENCE, sent) => sent.expect("the transaction in the pool"),
        }
    }

    /// Follows the commits until that of `epoch_block` has come to an end.
    pub(super) async fn until_ended(&self, epoch_block: u64) -> CommitState {
        let end = async {
            loop {
                // What fails is tried again with a later block, as the validator does.
                let _again = self.weights.follow(self.head().await).await;
                let commit = self.state.weight_commit(BlockNumber(epoch_block)).unwrap().unwrap();
                if !matches!(commit.state, CommitState::Prepared | CommitState::Committed) {
                    return commit.state;
                }
                tokio::time::sleep(BLOCK_TIME).await;
            }
        };
        tokio::time::timeout(PATIENCE, end).await.expect("an end of the commit")
    }

    pub(super) async fn until_block(&self, number: u64) {
        let reached = async {
            while self.head().await.number.0 < number {
                tokio::time::sleep(BLOCK_TIME).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the block in time");
    }

    pub(super) async fn until_put(&self, epoch_block: u64, uid: Uid) -> Progress {
        let put = async {
            loop {
                match self.put(epoch_block, uid).await {
                    Ok(progress) => return progress,
                    Err(_) => tokio::time::sleep(BLOCK_TIME).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, put).await.expect("weights in time")
    }
}
