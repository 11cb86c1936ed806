//! A validator that lies. Its process is killed, and its key speaks from here: as a node of the
//! mesh in its own place and, for the second story, as one in the strangers' place.
//!
//! | lie | what honest validators see |
//! |---|---|
//! | two files | the mesh is cut in two; each half gets an announcement, a vote and a grant, and finds another file for the same task in the bucket that was granted to it |
//! | a late second file | after an epoch's block, another digest is announced for a task whose file they have |

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leoma::state::Books;
use leoma_chain::Head;
use leoma_protocol::mesh::{GrantBytes, Mesh, MeshConfig, MeshEvent, MeshHandle};
use leoma_protocol::verdict::{EntryStatus, SignedVerdict, VerdictDraft, VerdictEntry};
use leoma_protocol::{
    BlockNumber, ConsensusSchedule, Hotkey, HotkeySigner, MemoryGuard, Network, TaskId,
};
use leoma_rotation::{Allowlist, AllowlistHistory, Schedule};
use leoma_storage::{Grant, OwnBucket};
use libp2p::identity::Keypair;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::launch::{LaunchError, Subnet};
use crate::netns::Namespace;
use crate::storage::BucketKeys;

/// How long a lie waits for connections to all that it is meant for.
const MEETING_LIMIT: Duration = Duration::from_secs(20);
/// Blocks in which a turn is still young: its true producer has hardly begun to sample.
const YOUNG_TURN: u64 = 8;
/// Blocks after an epoch's block at which a late lie comes: the early ones have computed by then.
const LATE: u64 = 3;
/// How often the block is looked at while a turn is waited for.
const LOOK_FOR_TURN: Duration = Duration::from_millis(100);

/// One voice of the liar: a node of the mesh on a thread of its own.
#[derive(Debug)]
struct Node {
    mesh: MeshHandle,
    signer: HotkeySigner,
    /// Whom it lies to, by place and hotkey.
    audience: Vec<(usize, Hotkey)>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// Where a node lives and whom it dials.
struct Place {
    keypair: Keypair,
    namespace: Option<Arc<Namespace>>,
    port: u16,
    audience: Vec<usize>,
}

/// A lie in force.
#[derive(Debug)]
pub(super) struct Lie {
    liar: usize,
    /// Each voice with the file that it tells of.
    told: Vec<(Node, SignedVerdict)>,
    /// Not before this block.
    from: u64,
    begun: Instant,
    is_told: bool,
}

impl Lie {
    /// Kills the liar's process and cuts the mesh in two: `half`, which the liar's own place
    /// belongs to, and the others. Each half is to get a file of its own for the liar's next turn.
    pub(super) async fn two_files(
        subnet: &mut Subnet,
        liar: usize,
        half: &[usize],
    ) -> Result<Self, LaunchError> {
        let count = subnet.plan.validators.len();
        let others: Vec<usize> =
            (0..count).filter(|one| *one != liar && !half.contains(one)).collect();
        let (task, block) = next_turn(subnet, liar).await;
        subnet.kill_validator(liar);
        let (near, far) = ([half, &[liar]].concat(), [&others[..], &[count]].concat());
        subnet.network()?.partition(&[near, far])?;
        let own = own_place(subnet, liar, half.to_vec())?;
        let stranger = Place {
            keypair: Keypair::generate_ed25519(),
            namespace: Some(subnet.network()?.namespace(count)?.clone()),
            port: own.port,
            audience: others,
        };
        let buckets = [subnet.plan.validators[liar].bucket.clone(), subnet.plan.spare.clone()];
        let mut told = Vec::new();
        for ((place, bucket), passed) in [own, stranger].into_iter().zip(buckets).zip([true, false])
        {
            let node = Node::start(subnet, liar, place).await?;
            let file = sign(&node, subnet, task, block, passed)?;
            publish(subnet, &node, &bucket, &file).await?;
            told.push((node, file));
        }
        Ok(Self { liar, told, from: 0, begun: Instant::now(), is_told: false })
    }

    /// Kills the liar's process. A second file for a task whose true file others hold is to be
    /// announced after `boundary`.
    pub(super) async fn late_second_file(
        subnet: &mut Subnet,
        liar: usize,
        boundary: u64,
    ) -> Result<Self, LaunchError> {
        let task = newest_file(subnet, liar);
        subnet.kill_validator(liar);
        let audience = (0..subnet.plan.validators.len()).filter(|one| *one != liar).collect();
        // Not under the address of its process: the other lie may be told from there just now.
        let place = Place {
            keypair: Keypair::generate_ed25519(),
            port: 0,
            ..own_place(subnet, liar, audience)?
        };
        let node = Node::start(subnet, liar, place).await?;
        let block = BlockNumber(task.0 * subnet.plan.interval + 1);
        let file = sign(&node, subnet, task, block, false)?;
        let from = boundary + LATE;
        Ok(Self { liar, told: vec![(node, file)], from, begun: Instant::now(), is_told: false })
    }

    /// Tells the lie, once it is time and its audience is there.
    pub(super) async fn go_on(&mut self, subnet: &Subnet) {
        let block = subnet.block();
        let is_met = |(node, _): &(Node, SignedVerdict)| node.has_met_all();
        let meets = self.begun.elapsed() < MEETING_LIMIT && !self.told.iter().all(is_met);
        if self.is_told || meets || block < self.from {
            return;
        }
        self.is_told = true;
        for (node, file) in &self.told {
            node.announce(subnet.chain.network(), file).await;
        }
    }

    /// What the books of the others show of the lie, once they show it.
    pub(super) fn effect(&self, subnet: &Subnet) -> Option<String> {
        let number = self.liar + 1;
        match &self.told[..] {
            [(_, file)] => {
                let accused = (file.id.task_id, file.id.producer);
                let knows = |one: &usize| books(subnet, *one).evidence.contains(&accused);
                let knowing = (0..subnet.plan.validators.len()).filter(knows).count();
                (knowing > 0).then(|| {
                    format!(
                        "{knowing} know that validator-{number} signed task {} twice",
                        accused.0
                    )
                })
            }
            told => {
                let holds = |node: &Node, file: &SignedVerdict| {
                    node.audience.iter().any(|(one, _)| {
                        let files = books(subnet, *one).files;
                        files.get(&file.id).is_some_and(|held| held.contains(&file.digest))
                    })
                };
                let task = told.first()?.1.id.task_id;
                told.iter().all(|(node, file)| holds(node, file)).then(|| {
                    format!("each half holds another file of validator-{number} for task {task}")
                })
            }
        }
    }
}

impl Node {
    async fn start(subnet: &Subnet, liar: usize, place: Place) -> Result<Self, LaunchError> {
        let Place { keypair, namespace, port, audience } = place;
        // It does not know what the other voice signed.
        let pair = subnet.plan.validators[liar].account.pair();
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        let network = subnet.chain.network();
        let lists = AllowlistHistory::since_genesis(list(subnet)?).task_lists();
        let consensus = Arc::new(ConsensusSchedule::production());
        let mut config = MeshConfig::new(keypair, network, consensus, lists, signer.clone());
        let listen = if namespace.is_some() {
            std::net::Ipv4Addr::UNSPECIFIED
        } else {
            std::net::Ipv4Addr::LOCALHOST
        };
        config.listen = MeshConfig::listen_on(listen.into(), port).to_vec();
        config.bootnodes = audience.iter().filter_map(|one| subnet.mesh_address(*one)).collect();
        config.head = BlockNumber(subnet.block());
        let stop = CancellationToken::new();
        let heads = subnet.chain.follow_heads(stop.clone()).await?;
        let (mesh, thread) = spawn(config, namespace, heads, stop.clone())?;
        let hotkey = |one: usize| (one, subnet.plan.validators[one].account.hotkey);
        let audience = audience.into_iter().map(hotkey).collect();
        Ok(Self { mesh, signer, audience, stop, thread: Some(thread) })
    }

    fn has_met_all(&self) -> bool {
        let holdings = self.mesh.holdings();
        let connected = &holdings.borrow().connected;
        self.audience.iter().all(|(_, hotkey)| connected.contains(hotkey))
    }

    /// Announces a file and votes for it.
    async fn announce(&self, network: Network, file: &SignedVerdict) {
        let Ok(announcement) = self.signer.sign_announcement(network, file) else { return };
        if let Err(error) = self.mesh.announce(announcement).await {
            tracing::warn!(task = %file.id.task_id, %error, "a lie was not told");
        }
        // A late one gets no vote that counts.
        let _refused = self.mesh.attest(file.id, file.digest).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panicked: then it is over, too.
            let _ = thread.join();
        }
    }
}

/// Runs a mesh on a thread of its own, so that its sockets belong to the namespace.
fn spawn(
    config: MeshConfig,
    namespace: Option<Arc<Namespace>>,
    heads: watch::Receiver<Head>,
    stop: CancellationToken,
) -> Result<(MeshHandle, JoinHandle<()>), LaunchError> {
    let failed = |source| LaunchError::Spawn { part: "a liar".into(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let live = move || {
        let started = namespace.map_or(Ok(()), |namespace| namespace.enter());
        let started = started.and_then(|()| {
            let _inside = runtime.enter();
            Mesh::spawn(config).map_err(std::io::Error::other)
        });
        let (mesh, events) = match started {
            Ok((mesh, events)) => (mesh, events),
            Err(error) => return drop(tell.send(Err(error))),
        };
        if tell.send(Ok(mesh.clone())).is_ok() {
            runtime.block_on(stopped_or_over(&mesh, events, heads, &stop));
            runtime.block_on(mesh.shutdown());
        }
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("liar".into()).spawn(live).map_err(failed)?;
    let ended = |_| std::io::Error::other("it ended at once");
    let mesh = told.recv().map_err(ended).and_then(|started| started).map_err(failed)?;
    Ok((mesh, thread))
}

/// Tells the mesh of heads until `stop`. What it hears is of no use to a liar.
async fn stopped_or_over(
    mesh: &MeshHandle,
    mut events: mpsc::Receiver<MeshEvent>,
    mut heads: watch::Receiver<Head>,
    stop: &CancellationToken,
) {
    loop {
        let head = heads.borrow_and_update().number;
        if mesh.set_head(head).await.is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = heads.changed() => if changed.is_err() { return },
            event = events.recv() => if event.is_none() { return },
        }
    }
}

/// The place that a liar's process had, which its peers know.
fn own_place(subnet: &mut Subnet, liar: usize, audience: Vec<usize>) -> Result<Place, LaunchError> {
    let port = subnet.mesh_port(liar).unwrap_or_default();
    let namespace = match subnet.network() {
        Ok(network) => Some(network.namespace(liar)?.clone()),
        Err(_) => None,
    };
    let invalid = LaunchError::Options("a validator's mesh key is not a key");
    let key = hex::decode(&subnet.plan.validators[liar].mesh_key).ok();
    let keypair = key.and_then(|key| Keypair::ed25519_from_bytes(key).ok()).ok_or(invalid)?;
    Ok(Place { keypair, namespace, port, audience })
}

fn list(subnet: &Subnet) -> Result<Allowlist, LaunchError> {
    let hotkeys = subnet.plan.validators.iter().map(|validator| validator.account.hotkey);
    Allowlist::new(subnet.plan.interval, hotkeys)
        .map_err(|_| LaunchError::Options("the subnet's validators form no valid allowlist"))
}

fn books(subnet: &Subnet, one: usize) -> Books {
    let state = subnet.validator_folder(one).map(|folder| folder.join("state"));
    // The database may be unreadable while it is made; the next look comes soon.
    state.and_then(|state| Books::read(&state).ok()).unwrap_or_default()
}

/// Waits for a young turn of a validator for which it has signed nothing yet; returns the task and
/// a block of the turn.
async fn next_turn(subnet: &Subnet, one: usize) -> (TaskId, BlockNumber) {
    let hotkey = subnet.plan.validators[one].account.hotkey;
    loop {
        let block = subnet.block();
        if let Ok(list) = list(subnet) {
            let schedule = Schedule::new(&list, None);
            let task = list.task_at(BlockNumber(block));
            let begun = |step: usize| {
                let waited = schedule.grace_blocks().saturating_mul(step as u64);
                (task.0 * list.interval()).saturating_add(waited)
            };
            let young = schedule
                .step_of(task, &hotkey)
                .map(begun)
                .filter(|begun| (*begun + 1..=*begun + YOUNG_TURN).contains(&block));
            let slot = ("verdict_file".to_owned(), task, hotkey);
            if young.is_some() && !books(subnet, one).signed.contains_key(&slot) {
                return (task, BlockNumber(block));
            }
        }
        tokio::time::sleep(LOOK_FOR_TURN).await;
    }
}

/// The newest task whose file by this validator another one holds.
fn newest_file(subnet: &Subnet, one: usize) -> TaskId {
    let hotkey = subnet.plan.validators[one].account.hotkey;
    let others = (0..subnet.plan.validators.len()).filter(|other| *other != one);
    let held = others.flat_map(|other| books(subnet, other).files.into_keys());
    let newest = held.filter(|file| file.producer == hotkey).map(|file| file.task_id).max();
    // Without a file of its own there is no lie, and the fault does not fire.
    newest.unwrap_or_default()
}

/// Signs a file in which every miner passed, or none.
fn sign(
    node: &Node,
    subnet: &Subnet,
    task_id: TaskId,
    block: BlockNumber,
    passed: bool,
) -> Result<SignedVerdict, LaunchError> {
    let status = if passed { EntryStatus::Passed } else { EntryStatus::Failed };
    let entry = |hotkey: Hotkey| VerdictEntry {
        passed,
        ..VerdictEntry::unusable(hotkey, status.clone(), "a lie".into(), 1)
    };
    let draft = VerdictDraft {
        network: subnet.chain.network(),
        task_id,
        params: ConsensusSchedule::production().digest_at(block),
        judge: "a liar".into(),
        block,
        metadata_sha256: None,
        entries: subnet.plan.miners.iter().map(|miner| entry(miner.account.hotkey)).collect(),
    };
    let refused = |_| LaunchError::Options("a new guard refused to sign");
    node.signer.sign_verdict_file(draft).map_err(refused)
}

/// Puts a file into a bucket and grants access to everyone whom the node meets.
async fn publish(
    subnet: &Subnet,
    node: &Node,
    bucket: &BucketKeys,
    file: &SignedVerdict,
) -> Result<(), LaunchError> {
    let storage = &subnet.addresses.storage;
    let own = OwnBucket::new(bucket.writer(storage).open()?, file.id.producer);
    let _created = own.write_verdict(file.id.task_id, Bytes::from(file.bytes.clone())).await?;
    let grant = Grant::with_keys(&bucket.reader(storage)).ok();
    let grant = grant.and_then(|grant| GrantBytes::new(grant.encode()));
    let grant = grant.ok_or(LaunchError::Options("a bucket's grant is invalid"))?;
    // A mesh that has ended tells no lie, and the fault does not fire.
    let _ended = node.mesh.set_grant(grant).await;
    Ok(())
}
