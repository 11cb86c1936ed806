//! Who may be asked: registered hotkeys with an announced axon that are no validators, by permit or
//! by the allowlist. The chain alone decides, and of each task its first block: whoever makes the
//! task's file and whoever checks it admit the same miners, whenever they look. Axons with an IPv6
//! address are not asked by anybody: not every validator's line has IPv6, and one without it would
//! fail miners that all others reach.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leoma_chain::{ChainClient, ChainError, Head, Metagraph, Neuron};
use leoma_protocol::synapse::Target;
use leoma_protocol::{BlockNumber, Digest, Hotkey, TaskId};
use leoma_rotation::AllowlistHistory;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::corpus::Seed;
use crate::mechanism::TaskError;
use crate::metrics::Metrics;
use crate::miners::{Blacklist, MinerState, MinerTable, Validity};
use crate::outbound::Reach;
use crate::rescoring::Unread;
use crate::verdicts::Owed;

/// Why an axon is not asked, as other tools know it.
const NOT_PUBLIC: &str = "axon_not_public";
/// The same for an address that some validators could not reach.
const NOT_IPV4: &str = "axon_not_ipv4";

/// Why an address is not asked, if it is not.
fn refused(ip: IpAddr, reach: Reach) -> Option<&'static str> {
    match ip {
        IpAddr::V6(_) => Some(NOT_IPV4),
        IpAddr::V4(_) => (!reach.allows(ip)).then_some(NOT_PUBLIC),
    }
}

/// The miners of a task, each with the address of its axon.
pub(crate) type Admitted = BTreeMap<Hotkey, SocketAddr>;

/// What is read of the chain at a task's first block.
#[async_trait::async_trait]
pub(crate) trait FirstBlocks: Send + Sync + fmt::Debug {
    /// The hash of a block.
    async fn hash(&self, block: BlockNumber) -> Result<Digest, ChainError>;
    /// The subnet at a block. Of blocks older than some 300, only archive nodes have it.
    async fn subnet_at(&self, block: Head) -> Result<Metagraph, ChainError>;
}

#[async_trait::async_trait]
impl FirstBlocks for ChainClient {
    async fn hash(&self, block: BlockNumber) -> Result<Digest, ChainError> {
        self.block_hash(block).await
    }

    async fn subnet_at(&self, block: Head) -> Result<Metagraph, ChainError> {
        self.metagraph(block).await
    }
}

/// Who the miners of a task are.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// The chain.
    pub(crate) chain: Arc<dyn FirstBlocks>,
    /// Who the validators are.
    pub(crate) allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    /// Miners that this operator does not ask, nor misses in files of others.
    pub(crate) blacklist: Blacklist,
    /// Which addresses may be asked.
    pub(crate) reach: Reach,
}

impl Admission {
    /// The miners of a task with this first block.
    ///
    /// # Errors
    /// [`TaskError::Chain`], [`TaskError::Board`]; [`TaskError::NoMiners`] where there are none.
    pub(crate) async fn miners(&self, first: Seed) -> Result<Admitted, TaskError> {
        let admitted = self.at(first).await?;
        if admitted.is_empty() { Err(TaskError::NoMiners) } else { Ok(admitted) }
    }

    /// Who must have an entry in the file of a task that starts with this block.
    ///
    /// # Errors
    /// [`Unread::Ours`].
    pub(crate) async fn owed(&self, start: BlockNumber) -> Result<Owed, Unread> {
        match self.at_start(start).await {
            Ok(admitted) => Ok(Owed::To(admitted.into_keys().collect())),
            // No other try would tell.
            Err(error @ TaskError::Chain(ChainError::Pruned { .. })) => {
                Ok(Owed::Unknown(error.to_string()))
            }
            Err(error) => Err(Unread::Ours(error.to_string())),
        }
    }

    async fn at_start(&self, block: BlockNumber) -> Result<Admitted, TaskError> {
        let hash = self.chain.hash(block).await?;
        self.at(Seed { block, hash }).await
    }

    async fn at(&self, first: Seed) -> Result<Admitted, TaskError> {
        let block = Head { number: first.block, hash: first.hash };
        let metagraph = self.chain.subnet_at(block).await?;
        let allowlists = Arc::clone(&self.allowlists.borrow());
        let table = axons(&metagraph, &allowlists, self.reach);
        Ok(self.blacklist.apply(&table).await?.served().collect())
    }
}

/// The axons of a subnet that are no validators'. One whose address must not be asked is listed with
/// the reason: an address on chain is a stranger's word, and could lead into our own network.
///
/// Validators of the list in force have no axon to be asked, even without a permit: theirs is the
/// address of their mesh, and none may judge itself.
pub(crate) fn axons(
    metagraph: &Metagraph,
    allowlists: &AllowlistHistory,
    reach: Reach,
) -> MinerTable {
    let listed = allowlists.at_block(metagraph.block).map(|entry| &entry.allowlist);
    let of_neuron = |neuron: &Neuron| -> Option<(Hotkey, MinerState)> {
        let is_listed = listed.is_some_and(|list| list.contains(&neuron.hotkey));
        let axon = neuron.axon.filter(|_| !neuron.validator_permit && !is_listed)?;
        let validity = match refused(axon.ip, reach) {
            None => Validity::Served { address: SocketAddr::new(axon.ip, axon.port) },
            Some(reason) => Validity::Invalid { reason: reason.to_owned() },
        };
        let (uid, commit_block) = (neuron.uid, neuron.axon_block);
        Some((neuron.hotkey, MinerState { uid, commit_block, validity }))
    };
    let miners: BTreeMap<_, _> = metagraph.neurons.iter().filter_map(of_neuron).collect();
    MinerTable { block: metagraph.block, miners }
}

/// Publishes the table of the newest metagraph every `every`, until `stop`, for pages and reports.
/// Each table is reported to the other validators, so it does not follow every block.
pub(crate) async fn admit(
    (reach, every): (Reach, Duration),
    metagraphs: watch::Receiver<Arc<Metagraph>>,
    allowlists: watch::Receiver<Arc<AllowlistHistory>>,
    metrics: Metrics,
    tables: watch::Sender<Arc<MinerTable>>,
    stop: CancellationToken,
) {
    loop {
        let table = axons(&metagraphs.borrow(), &allowlists.borrow(), reach);
        let admitted = table.served().count();
        metrics.valid_miners.set(i64::try_from(admitted).unwrap_or(i64::MAX));
        if tables.borrow().miners != table.miners {
            tracing::info!(admitted, announced = table.miners.len(), block = %table.block, "axons read");
        }
        tables.send_replace(Arc::new(table));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Whom to ask, in an order that differs from task to task: a turn that is too short cuts off the
/// last ones.
pub(crate) fn in_order(miners: &Admitted, task_id: TaskId) -> Vec<Target> {
    let target = |(hotkey, address): (&Hotkey, &SocketAddr)| Target {
        ip: address.ip(),
        port: address.port(),
        hotkey: *hotkey,
    };
    let mut targets: Vec<Target> = miners.iter().map(target).collect();
    targets.sort_by_cached_key(|target| {
        Digest::of_parts(&[&task_id.0.to_be_bytes(), target.hotkey.as_bytes()])
    });
    targets
}

#[cfg(test)]
mod tests {
    use leoma_chain::Axon;
    use leoma_protocol::Uid;
    use leoma_rotation::Allowlist;
    use leoma_web::testing::MemoryBoard;
    use leoma_web::{Blacklisted, Board as _};

    use super::*;
    use crate::mechanism::asked::fixture::FixedSubnet;

    fn nobody() -> AllowlistHistory {
        AllowlistHistory::default()
    }

    fn listed(validators: &[u8]) -> Allowlist {
        let hotkeys = validators.iter().map(|byte| Hotkey::from_bytes([*byte; 32]));
        Allowlist::new(100, hotkeys).unwrap()
    }

    fn neuron(uid: u16, validator_permit: bool, axon: Option<&str>) -> Neuron {
        let axon = axon.map(|address| {
            let address: SocketAddr = address.parse().unwrap();
            Axon { ip: address.ip(), port: address.port() }
        });
        Neuron {
            uid: Uid(uid),
            hotkey: Hotkey::from_bytes([uid as u8; 32]),
            validator_permit,
            stake: 0,
            last_update: BlockNumber(0),
            registered_at: BlockNumber(1),
            axon,
            axon_block: BlockNumber(7),
        }
    }

    fn metagraph() -> Metagraph {
        Metagraph {
            block: BlockNumber(9),
            owner: Hotkey::from_bytes([0; 32]),
            min_weights: 1,
            max_weight: u16::MAX,
            serving_rate_limit: 0,
            neurons: vec![
                neuron(0, false, None),
                neuron(1, true, Some("1.1.1.1:4070")),
                neuron(2, false, Some("1.1.1.1:8091")),
                neuron(3, false, Some("127.0.0.1:8091")),
                neuron(4, false, Some("169.254.169.254:80")),
                neuron(5, false, Some("8.8.8.8:8091")),
                neuron(6, false, Some("[2606:4700::1111]:8091")),
            ],
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain: BTreeMap::new(),
        }
    }

    #[test]
    fn a_registered_axon_without_a_permit_is_asked_unless_it_leads_into_our_network() {
        let of = |table: &MinerTable| -> Vec<u8> {
            table.served().map(|(hotkey, _)| hotkey.as_bytes()[0]).collect()
        };
        let table = axons(&metagraph(), &nobody(), Reach::new(false));
        assert_eq!(of(&table), [2, 5]);
        assert_eq!(table.admitted().count(), 2);
        let named: Vec<u8> = table.miners.keys().map(|hotkey| hotkey.as_bytes()[0]).collect();
        assert_eq!(named, [2, 3, 4, 5, 6], "neither the validator nor the owner is a miner");
        for (miner, reason) in [(4, "axon_not_public"), (6, "axon_not_ipv4")] {
            let refused = Validity::Invalid { reason: reason.to_owned() };
            assert_eq!(table.miners[&Hotkey::from_bytes([miner; 32])].validity, refused);
        }
        assert_eq!(of(&axons(&metagraph(), &nobody(), Reach::new(true))), [2, 3, 4, 5]);
        // Listed validators are no miners, with a permit or without.
        let validators = AllowlistHistory::since_genesis(listed(&[1, 2, 4]));
        let table = axons(&metagraph(), &validators, Reach::new(true));
        assert_eq!(of(&table), [3, 5]);
        assert_eq!(table.miners.len(), 3);
        // A list that does not count yet at the block of the table changes nothing.
        let mut later = AllowlistHistory::since_genesis(listed(&[1]));
        later.commit(BlockNumber(5), listed(&[1, 2])).unwrap();
        assert_eq!(of(&axons(&metagraph(), &later, Reach::new(true))), [2, 3, 4, 5]);
    }

    fn seed() -> Seed {
        Seed { block: BlockNumber(700), hash: Digest::of(b"the task's first block") }
    }

    fn served(miners: &[u8]) -> Vec<(Hotkey, SocketAddr)> {
        let address = SocketAddr::from(([127, 0, 0, 1], 8091));
        let axon = |byte: &u8| (Hotkey::from_bytes([*byte; 32]), address);
        miners.iter().map(axon).collect()
    }

    #[tokio::test]
    async fn who_makes_a_file_and_who_checks_it_admit_the_miners_of_its_first_block() {
        let subnet = FixedSubnet::new(seed().hash, served(&[1, 2, 3]));
        let admission = subnet.admission(listed(&[1]));
        let asked: Vec<Hotkey> = admission.miners(seed()).await.unwrap().into_keys().collect();
        assert_eq!(asked, [2, 3].map(|byte| Hotkey::from_bytes([byte; 32])));
        let owed = admission.owed(seed().block).await;
        assert_eq!(owed, Ok(Owed::To(asked.into_iter().collect())));
        // Whom an operator does not ask, it does not miss either.
        let entry = Blacklisted {
            hotkey: Hotkey::from_bytes([3; 32]).to_string(),
            reason: None,
            added_by: None,
            created_at: None,
        };
        let board = Arc::new(MemoryBoard::default());
        board.blacklist_add(entry).await.unwrap();
        let admission = Admission { blacklist: Blacklist { board }, ..admission };
        assert_eq!(admission.miners(seed()).await.unwrap().len(), 1);
        assert!(matches!(admission.owed(seed().block).await, Ok(Owed::To(to)) if to.len() == 1));
        // A validator alone has nobody to ask, itself included.
        let _before = subnet.replace(served(&[1]));
        let error = admission.miners(seed()).await.unwrap_err();
        assert!(matches!(error, TaskError::NoMiners), "{error}");
    }

    #[tokio::test]
    async fn what_the_chain_no_longer_says_is_not_asked_for_again() {
        let subnet = FixedSubnet::new(seed().hash, served(&[2]));
        let admission = subnet.admission(listed(&[1]));
        subnet.lack(ChainError::Pruned { what: "the metagraph" });
        assert!(matches!(admission.owed(seed().block).await, Ok(Owed::Unknown(_))));
        subnet.lack(ChainError::Timeout { what: "the metagraph" });
        assert!(matches!(admission.owed(seed().block).await, Err(Unread::Ours(_))));
    }

    #[test]
    fn the_last_to_be_asked_are_others_in_other_tasks() {
        let miners: Admitted = axons(&metagraph(), &nobody(), Reach::new(true)).served().collect();
        let order = |task| -> Vec<Hotkey> {
            in_order(&miners, TaskId(task)).iter().map(|target| target.hotkey).collect()
        };
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|task| order(task) != order(1)));
        assert_eq!(order(1).len(), 4);
    }

    #[tokio::test]
    async fn the_newest_metagraph_gives_the_table() {
        let (graphs, metagraphs) = watch::channel(Arc::new(metagraph()));
        let (_, allowlists) = watch::channel(Arc::new(nobody()));
        let (sender, mut tables) = watch::channel(Arc::<MinerTable>::default());
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(admit(
            (Reach::new(false), Duration::from_millis(20)),
            metagraphs,
            allowlists,
            metrics.clone(),
            sender,
            stop.clone(),
        ));
        tables.wait_for(|table| table.served().count() == 2).await.unwrap();
        let mut fewer = metagraph();
        fewer.block = BlockNumber(10);
        fewer.neurons.truncate(3);
        graphs.send_replace(Arc::new(fewer));
        let table = tables.wait_for(|table| table.block == BlockNumber(10)).await.unwrap();
        assert_eq!((table.served().count(), metrics.valid_miners.get()), (1, 1));
        drop(table);
        stop.cancel();
        running.await.unwrap();
    }
}
