//! The chain as an address book: validators announce their addresses in it and find each other's.
//!
//! A validator's axon entry is the address and port of its mesh, for both TCP and QUIC. The mesh
//! dials the entries of allowlisted validators; a peer that answers must prove its hotkey like any
//! other. Our own entry is written when `LEOMA_MESH_EXTERNAL` names an address that differs from
//! the one on chain.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_chain::{Axon, ChainClient, Metagraph};
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::multiaddr::Protocol;
use leoma_protocol::mesh::{MeshConfig, MeshError, MeshHandle};
use leoma_protocol::{Hotkey, HotkeySigner};
use leoma_rotation::AllowlistHistory;
use leoma_storage::{EndpointPolicy, is_public};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause after a failed announcement: few reasons pass sooner, and each try costs a transaction.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// Keeps the mesh's addresses and the chain's in step.
#[derive(Debug)]
pub struct Axons {
    /// The chain.
    pub chain: ChainClient,
    /// Our key.
    pub signer: HotkeySigner,
    /// The mesh.
    pub mesh: MeshHandle,
    /// Which entries may be dialled: loopback addresses only on a subnet that runs on this machine.
    pub policy: EndpointPolicy,
    /// What our own entry should be; `None` leaves the entry unchanged.
    pub own: Option<Axon>,
}

/// The address to announce: the first of `LEOMA_MESH_EXTERNAL` with an IP address and a port, which
/// is all that a chain entry can hold.
pub fn axon_of(external: &[Multiaddr]) -> Option<Axon> {
    let read = |address: &Multiaddr| {
        let mut parts = address.iter();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => IpAddr::V6(ip),
            _ => return None,
        };
        let port = match parts.next()? {
            Protocol::Tcp(port) | Protocol::Udp(port) => port,
            _ => return None,
        };
        (port != 0 && !ip.is_unspecified()).then_some(Axon { ip, port })
    };
    external.iter().find_map(read)
}

/// Whether an entry may be dialled: others must not be able to point us at our own network.
fn may_dial(axon: &Axon, policy: EndpointPolicy) -> bool {
    policy != EndpointPolicy::Public || is_public(axon.ip)
}

/// The entries that are to be dialled now.
fn wanted(
    metagraph: &Metagraph,
    allowlists: &AllowlistHistory,
    own: &Hotkey,
    policy: EndpointPolicy,
) -> BTreeMap<Hotkey, Axon> {
    let Some(newest) = allowlists.entries().last() else { return BTreeMap::new() };
    let others = newest.allowlist.validators().iter().filter(|hotkey| *hotkey != own);
    let entry = |hotkey: &Hotkey| Some((*hotkey, metagraph.neuron(hotkey)?.axon?));
    others.filter_map(entry).filter(|(_, axon)| may_dial(axon, policy)).collect()
}

impl Axons {
    /// Runs until `stop`.
    pub async fn run(
        self,
        mut metagraphs: watch::Receiver<Arc<Metagraph>>,
        mut allowlists: watch::Receiver<Arc<AllowlistHistory>>,
        stop: CancellationToken,
    ) {
        let own = self.signer.hotkey();
        let mut dialled = BTreeMap::new();
        let mut tried: Option<Instant> = None;
        loop {
            let metagraph = Arc::clone(&metagraphs.borrow_and_update());
            let history = Arc::clone(&allowlists.borrow_and_update());
            let wanted = wanted(&metagraph, &history, &own, self.policy);
            if self.follow(&mut dialled, wanted).await.is_err() {
                return; // The mesh has ended.
            }
            if tried.is_none_or(|tried| tried.elapsed() >= RETRY_AFTER) && self.is_due(&metagraph) {
                tried = Some(Instant::now());
                self.announce().await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = metagraphs.changed() => if changed.is_err() { return },
                changed = allowlists.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn follow(
        &self,
        dialled: &mut BTreeMap<Hotkey, Axon>,
        wanted: BTreeMap<Hotkey, Axon>,
    ) -> Result<(), MeshError> {
        for (hotkey, axon) in
            dialled.iter().filter(|(hotkey, axon)| wanted.get(hotkey) != Some(axon))
        {
            tracing::debug!(%hotkey, ip = %axon.ip, port = axon.port, "address removed from chain, no longer dialling it");
            for address in MeshConfig::listen_on(axon.ip, axon.port) {
                self.mesh.forget(address).await?;
            }
        }
        for (hotkey, axon) in
            wanted.iter().filter(|(hotkey, axon)| dialled.get(hotkey) != Some(axon))
        {
            tracing::info!(%hotkey, ip = %axon.ip, port = axon.port, "address found on chain");
            for address in MeshConfig::listen_on(axon.ip, axon.port) {
                self.mesh.dial(address).await?;
            }
        }
        *dialled = wanted;
        Ok(())
    }

    /// Whether our entry differs from the chain's and the chain's rate limit allows a new one.
    fn is_due(&self, metagraph: &Metagraph) -> bool {
        let (Some(own), Some(neuron)) = (self.own, metagraph.neuron(&self.signer.hotkey())) else {
            return false;
        };
        let free_at = neuron.axon_block.0.saturating_add(metagraph.serving_rate_limit);
        neuron.axon != Some(own) && (neuron.axon_block.0 == 0 || metagraph.block.0 >= free_at)
    }

    async fn announce(&self) {
        let Some(own) = self.own else { return };
        match self.chain.serve_axon(&self.signer, own).await {
            Ok(transaction) => {
                tracing::info!(ip = %own.ip, port = own.port, %transaction, "address announced on chain")
            }
            Err(error) => {
                tracing::warn!(%error, seconds = RETRY_AFTER.as_secs(), "failed to announce our address on chain, will retry")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_address_with_an_ip_and_a_port_is_announced() {
        let external =
            addresses(&["/dns4/a.example/tcp/4070", "/ip4/8.8.8.8/tcp/4071", "/ip4/9.9.9.9/tcp/1"]);
        assert_eq!(axon_of(&external), Some(Axon { ip: [8, 8, 8, 8].into(), port: 4071 }));
        let external = addresses(&["/ip6/2600::1/udp/4070/quic-v1"]);
        assert_eq!(axon_of(&external).map(|axon| axon.port), Some(4070));
        assert_eq!(axon_of(&addresses(&["/ip4/0.0.0.0/tcp/4070", "/ip4/8.8.8.8/tcp/0"])), None);
        assert_eq!(axon_of(&[]), None);
    }

    #[test]
    fn a_strangers_word_leads_to_public_addresses_only() {
        for ip in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fd00::1"] {
            let axon = Axon { ip: ip.parse().unwrap(), port: 4070 };
            assert!(!may_dial(&axon, EndpointPolicy::Public), "{ip}");
            assert!(may_dial(&axon, EndpointPolicy::Loopback), "{ip}: a subnet on this machine");
        }
        assert!(may_dial(
            &Axon { ip: "8.8.8.8".parse().unwrap(), port: 1 },
            EndpointPolicy::Public
        ));
    }
}
