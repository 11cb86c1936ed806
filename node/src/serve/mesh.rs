//! The second stage: joining the mesh with what an earlier run left for it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::libp2p::multiaddr::Protocol;
use leoma_protocol::mesh::libp2p::{Multiaddr, PeerId};
use leoma_protocol::mesh::{GrantBytes, Mesh, MeshConfig, MeshEvent, MeshHandle, Relay, Restored};
use leoma_rotation::WindowRange;
use leoma_storage::{BucketConfig, Grant};
use leoma_wallet::create_private;
use leoma_web::Start;
use tokio::sync::mpsc;

use crate::config::{Config, Plug};
use crate::mechanism::motion::MotionRecheck;
use crate::mechanism::oracle::{OracleRecheck, Rules};
use crate::verdicts::{Exchange, Rechecker, Rescorer, Rescoring, Waiting, restore};

use super::open::Opened;

/// The mesh, its events and our part in it.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) mesh: MeshHandle,
    pub(super) events: mpsc::Receiver<MeshEvent>,
    pub(super) exchange: Exchange,
}

impl Joined {
    /// Joins the mesh and offers the stored files to it.
    ///
    /// # Errors
    /// When the mesh cannot start or the state cannot be read.
    pub(super) async fn join(
        config: &Config,
        opened: &mut Opened,
        start: &Start,
    ) -> anyhow::Result<Self> {
        start.step("joining the mesh");
        let head = opened.heads.borrow().number;
        let params = opened.consensus.at(head);
        let first = WindowRange::new(params, &opened.history, head).oldest_task();
        let restored = opened.state.on_disk(move |state| restore(state, first)).await?;
        let settings = mesh_config(config, opened, restored)?;
        let (mesh, events) = Mesh::spawn_counted(settings, &mut opened.telemetry.registry)
            .context("failed to start the mesh")?;
        let exchange = Exchange::new(
            mesh.clone(),
            opened.signer.clone(),
            opened.library.clone(),
            opened.buckets.peers.clone(),
            opened.state.clone(),
            opened.telemetry.metrics.clone(),
            opened.heads.clone(),
        );
        let exchange = match rescoring(config, opened) {
            Some(rescoring) => exchange.rescoring(rescoring),
            None => exchange,
        };
        exchange.resume(first).await?;
        if let Some(read) = &config.buckets.own_read {
            set_grant(&mesh, read).await?;
        } else if opened.buckets.own.is_some() {
            tracing::warn!(
                "R2_OWN_READ_ACCESS_KEY is not set: peers cannot check our verdict files, and attest to none"
            );
        }
        Ok(Self { mesh, events, exchange })
    }
}

/// What computes others' entries again, by the mechanism that is served.
fn rescoring(config: &Config, opened: &Opened) -> Option<Arc<dyn Rescoring>> {
    let waiting = Waiting {
        buckets: Arc::clone(&opened.buckets.peers),
        subnet: opened.buckets.source.clone(),
        heads: opened.heads.clone(),
    };
    match config.mechanism.plug() {
        Plug::Video => {
            let judging = opened.judging.as_ref()?;
            let (scorer, metrics) = (judging.scorer().clone(), judging.metrics_id());
            Some(Arc::new(Rescorer::new(scorer, metrics, judging.under_way(), waiting)))
        }
        Plug::Motion => {
            let recheck = MotionRecheck {
                source: opened.buckets.source.clone(),
                admission: opened.admission(config),
            };
            Some(Arc::new(Rechecker::new(recheck, waiting)))
        }
        Plug::Oracle => {
            let record = config.mechanism.record.as_ref()?;
            let recheck = OracleRecheck {
                rules: Rules::of(record).ok()?,
                chain: opened.chain.clone(),
                admission: opened.admission(config),
            };
            Some(Arc::new(Rechecker::new(recheck, waiting)))
        }
    }
}

fn mesh_config(config: &Config, opened: &Opened, restored: Restored) -> anyhow::Result<MeshConfig> {
    let mut mesh = MeshConfig::new(
        mesh_key(&config.machine.state_dir)?,
        opened.chain.network(),
        Arc::clone(&opened.consensus),
        opened.history.task_lists(),
        opened.signer.clone(),
    );
    mesh.listen = config.mesh.listen.clone();
    mesh.external = config.mesh.external.clone();
    mesh.bootnodes = without_own(&config.mesh.bootnodes, mesh.keypair.public().to_peer_id());
    mesh.mdns = config.mesh.mdns;
    mesh.relay = Relay { serve: config.mesh.relay_serve, via: config.mesh.relay_via.clone() };
    mesh.head = opened.heads.borrow().number;
    mesh.restored = restored;
    Ok(mesh)
}

/// The bootnodes without this validator itself, which a list that is shared by several may name.
fn without_own(bootnodes: &[Multiaddr], own: PeerId) -> Vec<Multiaddr> {
    let (own, others): (Vec<_>, Vec<_>) = bootnodes
        .iter()
        .cloned()
        .partition(|address| address.iter().last() == Some(Protocol::P2p(own)));
    for address in own {
        tracing::warn!(%address, "LEOMA_BOOTNODES names this validator itself: ignoring it");
    }
    others
}

/// The mesh's identity: an ed25519 seed in `libp2p.key`, created at the first start.
fn mesh_key(folder: &Path) -> anyhow::Result<Keypair> {
    let path = folder.join("libp2p.key");
    let seed: [u8; 32] = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let mut seed = [0; 32];
            hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| {
                anyhow::anyhow!(
                    "{} is not 64 hexadecimal digits; delete it for a new identity",
                    path.display()
                )
            })?;
            seed
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed: [u8; 32] = rand::random();
            let written = create_private(&path)
                .and_then(|mut file| file.write_all(hex::encode(seed).as_bytes()));
            written.with_context(|| path.display().to_string())?;
            seed
        }
        Err(error) => bail!("{}: {error}", path.display()),
    };
    Ok(Keypair::ed25519_from_bytes(seed)?)
}

async fn set_grant(mesh: &MeshHandle, read: &BucketConfig) -> anyhow::Result<()> {
    let bytes = Grant::with_keys(read)
        .context("R2_OWN_READ_ACCESS_KEY cannot be granted to peers")?
        .encode();
    let grant = GrantBytes::new(bytes).context("the grant is too long")?;
    mesh.set_grant(grant).await?;
    Ok(())
}
