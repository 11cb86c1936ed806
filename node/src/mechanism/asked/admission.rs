//! Who may be asked: registered hotkeys with an announced axon and without a validator's permit. The
//! chain alone decides, so validators that have read the same block admit the same miners. Axons
//! with an IPv6 address are not asked by anybody: not every validator's line has IPv6, and one
//! without it would fail miners that all others reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leoma_chain::{Metagraph, Neuron};
use leoma_protocol::synapse::Target;
use leoma_protocol::{Digest, Hotkey, TaskId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::miners::{MinerState, MinerTable, Validity};
use crate::outbound::Reach;

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

/// The axons of a subnet. One whose address must not be asked is listed with the reason: an address
/// on chain is a stranger's word, and could lead into our own network.
pub(crate) fn axons(metagraph: &Metagraph, reach: Reach) -> MinerTable {
    let of_neuron = |neuron: &Neuron| -> Option<(Hotkey, MinerState)> {
        let axon = neuron.axon.filter(|_| !neuron.validator_permit)?;
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

/// Publishes the table of the newest metagraph every `every`, until `stop`. Each table is reported
/// to the other validators, so it does not follow every block.
pub(crate) async fn admit(
    (reach, every): (Reach, Duration),
    metagraphs: watch::Receiver<Arc<Metagraph>>,
    metrics: Metrics,
    tables: watch::Sender<Arc<MinerTable>>,
    stop: CancellationToken,
) {
    loop {
        let table = axons(&metagraphs.borrow(), reach);
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
pub(crate) fn in_order(table: &MinerTable, task_id: TaskId) -> Vec<Target> {
    let target = |(hotkey, address): (Hotkey, SocketAddr)| Target {
        ip: address.ip(),
        port: address.port(),
        hotkey,
    };
    let mut targets: Vec<Target> = table.served().map(target).collect();
    targets.sort_by_cached_key(|target| {
        Digest::of_parts(&[&task_id.0.to_be_bytes(), target.hotkey.as_bytes()])
    });
    targets
}

#[cfg(test)]
mod tests {
    use leoma_chain::Axon;
    use leoma_protocol::{BlockNumber, Uid};

    use super::*;

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
        let table = axons(&metagraph(), Reach::new(false));
        assert_eq!(of(&table), [2, 5]);
        assert_eq!(table.admitted().count(), 2);
        let named: Vec<u8> = table.miners.keys().map(|hotkey| hotkey.as_bytes()[0]).collect();
        assert_eq!(named, [2, 3, 4, 5, 6], "neither the validator nor the owner is a miner");
        for (miner, reason) in [(4, "axon_not_public"), (6, "axon_not_ipv4")] {
            let refused = Validity::Invalid { reason: reason.to_owned() };
            assert_eq!(table.miners[&Hotkey::from_bytes([miner; 32])].validity, refused);
        }
        assert_eq!(of(&axons(&metagraph(), Reach::new(true))), [2, 3, 4, 5]);
    }

    #[test]
    fn the_last_to_be_asked_are_others_in_other_tasks() {
        let table = axons(&metagraph(), Reach::new(true));
        let order = |task| -> Vec<Hotkey> {
            in_order(&table, TaskId(task)).iter().map(|target| target.hotkey).collect()
        };
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|task| order(task) != order(1)));
        assert_eq!(order(1).len(), 4);
    }

    #[tokio::test]
    async fn the_newest_metagraph_gives_the_table() {
        let (graphs, metagraphs) = watch::channel(Arc::new(metagraph()));
        let (sender, mut tables) = watch::channel(Arc::<MinerTable>::default());
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(admit(
            (Reach::new(false), Duration::from_millis(20)),
            metagraphs,
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
