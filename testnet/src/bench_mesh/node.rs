//! One validator's mesh in a process of its own. Orders come on standard input, answers go to
//! standard output, a line of JSON each.

use std::collections::HashMap;
use std::future::ready;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use leoma_protocol::codec::Wire as _;
use leoma_protocol::mesh::libp2p::Multiaddr;
use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::mesh::{Acceptance, Mesh, MeshConfig, MeshError, MeshEvent, MeshHandle};
use leoma_protocol::messages::TaskList;
use leoma_protocol::verdict::SignedVerdict;
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, NotSafe, TaskId,
};
use serde::{Deserialize, Serialize};
use sp_core::{Pair as _, sr25519};
use tokio::sync::mpsc;

const HEAD: BlockNumber = BlockNumber(100_000);
const INTERVAL: u64 = 100;
/// The first task announced is the one after this: within the lookback, with room for more than are
/// asked for.
pub(super) const FIRST_TASK: u64 = 710;

/// One validator of a measured mesh.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs {
    /// Its number, from 0.
    #[arg(long)]
    number: u16,
    /// How many validators there are.
    #[arg(long)]
    of: u16,
    /// Bytes of a verdict file.
    #[arg(long)]
    file_bytes: u32,
}

/// Why a node ends early.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The mesh refuses.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A file was announced twice.
    #[error(transparent)]
    NotSafe(#[from] NotSafe),
    /// Orders cannot be read, or answers not written.
    #[error(transparent)]
    Pipe(#[from] std::io::Error),
    /// A line that is not an order.
    #[error("not an order: {0}")]
    Order(#[from] serde_json::Error),
    /// A message that does not fit its limit.
    #[error(transparent)]
    Codec(#[from] leoma_protocol::codec::CodecError),
}

/// What the parent asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Where it can be reached.
    Address,
    /// Dial this.
    Dial(String),
    /// Validators with a good link.
    Mutual,
    /// How it is connected.
    Links,
    /// Produce and announce a file.
    Announce(u64),
    /// Fetch, verify and attest to every file from now on.
    Attest,
    /// When announcements arrived.
    Heard,
    /// When certificates came to be.
    Certified,
}

/// An announcement, and when it was handed to the mesh.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Announced {
    pub(super) task: u64,
    /// Its producer's number.
    pub(super) producer: u16,
    /// Nanoseconds since 1970.
    pub(super) at: u64,
    /// The announcement's encoding, without what gossip puts around it.
    pub(super) bytes: usize,
}

/// When something about a file was learnt.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Learnt {
    /// The file's task.
    pub(super) task: u64,
    /// The file's producer.
    pub(super) producer: u16,
    /// Nanoseconds since 1970.
    pub(super) at: u64,
}

/// Connections by transport, and gossip partners.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Links {
    pub(super) tcp: usize,
    pub(super) quic: usize,
}

/// One clock for all processes of the machine.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn pair(number: u16) -> sr25519::Pair {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    sr25519::Pair::from_seed(&seed)
}

/// What it learnt, by file.
#[derive(Debug, Default)]
struct Notes {
    attests: bool,
    heard: Vec<Learnt>,
    certified: Vec<Learnt>,
}

/// What its tasks share.
#[derive(Clone, Debug)]
struct Validator {
    number: u16,
    handle: MeshHandle,
    network: Network,
    signer: HotkeySigner,
    numbers: Arc<HashMap<Hotkey, u16>>,
    notes: Arc<Mutex<Notes>>,
}

impl Validator {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learnt(&self, file: &FileId) -> Learnt {
        let at = now();
        let producer = self.numbers.get(&file.producer).copied().unwrap_or(u16::MAX);
        Learnt { task: file.task_id.0, producer, at }
    }

    /// Handles the mesh's events as a real validator does, without judging.
    fn on_event(&self, event: MeshEvent) {
        match event {
            MeshEvent::Announcement(announcement) => {
                let learnt = self.learnt(&announcement.file);
                let attests = {
                    let mut notes = self.notes();
                    notes.heard.push(learnt);
                    notes.attests
                };
                if attests {
                    let validator = self.clone();
                    let (file, digest) = (announcement.file, announcement.digest);
                    let own = learnt.producer == self.number;
                    tokio::spawn(async move {
                        if let Err(error) = validator.attest(file, digest, own).await {
                            tracing::warn!(%error, "cannot attest to a file");
                        }
                    });
                }
            }
            MeshEvent::Certified(certificate) => {
                let learnt = self.learnt(&certificate.file);
                self.notes().certified.push(learnt);
            }
            _ => {}
        }
    }

    async fn attest(&self, file: FileId, digest: Digest, own: bool) -> Result<(), MeshError> {
        if !own {
            let bytes = self
                .handle
                .fetch_verdict(file, digest, |bytes| {
                    ready(Acceptance::from(Digest::of(&bytes) == digest))
                })
                .await?;
            self.handle.provide_verdict(file, digest, bytes).await?;
        }
        self.handle.attest(file, digest).await?;
        Ok(())
    }

    /// Holds a file of its own and says so.
    async fn announce(&self, task: u64, file_bytes: u32) -> Result<Announced, NodeError> {
        let id = FileId { task_id: TaskId(task), producer: self.signer.hotkey() };
        let seed = Digest::of_parts(&[id.producer.as_bytes(), &task.to_be_bytes()]);
        let bytes: Vec<u8> = seed.0.into_iter().cycle().take(file_bytes as usize).collect();
        let verdict = SignedVerdict { id, digest: Digest::of(&bytes), bytes };
        self.handle.provide_verdict(id, verdict.digest, verdict.bytes.clone()).await?;
        let announcement = self.signer.sign_announcement(self.network, &verdict)?;
        let bytes = announcement.to_wire()?.len();
        let announced = Announced { task, producer: self.number, at: now(), bytes };
        self.handle.announce(announcement).await?;
        Ok(announced)
    }

    async fn links(&self) -> Result<Links, MeshError> {
        let peers = self.handle.status().await?.peers;
        let quic =
            peers.iter().filter(|peer| peer.view.address.as_str().contains("/quic-v1")).count();
        Ok(Links { tcp: peers.len() - quic, quic })
    }

    async fn answer(&self, order: Order, file_bytes: u32) -> Result<String, NodeError> {
        let answer = match order {
            Order::Address => {
                let listening = self.handle.status().await?.listening;
                serde_json::to_string(
                    &listening.iter().find(|address| address.as_str().contains("/tcp/")),
                )
            }
            Order::Dial(address) => {
                let address: Multiaddr = address.parse().map_err(|_| MeshError::Address)?;
                self.handle.dial(address).await?;
                serde_json::to_string(&())
            }
            Order::Mutual => {
                let peers = self.handle.status().await?.peers;
                serde_json::to_string(&peers.iter().filter(|peer| peer.view.mutual).count())
            }
            Order::Links => serde_json::to_string(&self.links().await?),
            Order::Announce(task) => serde_json::to_string(&self.announce(task, file_bytes).await?),
            Order::Attest => {
                self.notes().attests = true;
                serde_json::to_string(&())
            }
            Order::Heard => serde_json::to_string(&self.notes().heard),
            Order::Certified => serde_json::to_string(&self.notes().certified),
        };
        Ok(answer?)
    }
}

pub(super) async fn run(args: NodeArgs) -> Result<(), NodeError> {
    let network = Network { genesis: Digest::of(b"a measured chain"), netuid: Netuid(99) };
    let signer = HotkeySigner::new(pair(args.number), Arc::new(MemoryGuard::default()));
    let numbers: HashMap<Hotkey, u16> =
        (0..args.of).map(|number| (pair(number).public().into(), number)).collect();
    let keypair = Keypair::generate_ed25519();
    // Every validator announces files of its own, of as many tasks as are to be measured.
    let params = ConsensusParams {
        failover_grace: Some(1),
        settle_margin: HEAD.0 / INTERVAL,
        ..ConsensusParams::default()
    };
    let validators = numbers.keys().copied().collect();
    let lists = vec![TaskList { from: TaskId(0), interval: INTERVAL, validators }];
    let mut config =
        MeshConfig::new(keypair, network, Arc::new(params.into()), lists, signer.clone());
    config.listen = MeshConfig::listen_on(Ipv4Addr::LOCALHOST.into(), 0).to_vec();
    config.head = HEAD;
    let (handle, mut events) = Mesh::spawn(config)?;
    let validator = Validator {
        number: args.number,
        handle,
        network,
        signer,
        numbers: Arc::new(numbers),
        notes: Arc::default(),
    };
    let listener = validator.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            listener.on_event(event);
        }
    });
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let answer = validator.answer(serde_json::from_str(&order?)?, args.file_bytes).await?;
        println!("{answer}");
    }
    validator.handle.shutdown().await;
    Ok(())
}

/// The lines of standard input, until its end. The parent waits for each answer: one line is all
/// that ever waits.
fn orders() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
