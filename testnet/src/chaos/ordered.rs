//! One fault in force: orders it and looks for its effect.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use leoma::state::Books;
use leoma_protocol::{BlockNumber, Hotkey, TaskId};
use serde_json::Value;

use super::fault::{Attack, Fault, FaultKind};
use super::liar::Lie;
use super::stranger::Target;
use super::strangers::Strangers;
use super::tally::StrangerCounts;
use crate::launch::{EPOCH_BLOCKS, LaunchError, Subnet};
use crate::netns::{Impaired, Impairment};
use crate::{services, storage};

/// Faults are in force for at least this long: most of a task passes.
const HOLD_LEAST: Duration = Duration::from_secs(15);
/// A dead connection is closed by then: the second ping has no answer.
const DEAD_IS_NOTICED: Duration = Duration::from_secs(32);
/// How late uploads are while one is waited for, so that a validator can be killed in the middle of
/// one.
const UPLOAD_DELAY_MS: u64 = 3000;
/// Requests that a storage outage may take: more than there are. The rest of the count shows how
/// many it took.
const ALL_REQUESTS: u32 = 1_000_000;
/// Lateness of a slow service.
const SERVICE_DELAY_MS: u64 = 3000;

/// Blocks around a boundary in which witnesses are written and epochs computed: the least span that
/// the rule allows, and as many after the boundary.
const AROUND_BOUNDARY: u64 = 8;
/// Blocks before a boundary from which its faults are in force: witnesses are written from
/// [`AROUND_BOUNDARY`] on.
const BEFORE_BOUNDARY: u64 = AROUND_BOUNDARY + 2;
/// Blocks by which a chain endpoint is behind, and by which a validator must be to show it: heads
/// of healthy ones are one or two behind as well.
const BEHIND: u32 = 20;
const SHOWN_BEHIND: u64 = 15;
/// How often the block is looked at while a boundary is waited for.
const LOOK_FOR_BOUNDARY: Duration = Duration::from_millis(100);

/// All validators' status pages at one moment.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Option<Value>>,
    hotkeys: Vec<Hotkey>,
}

impl Pages {
    pub(super) async fn read(subnet: &Subnet) -> Self {
        let hotkeys =
            subnet.plan.validators.iter().map(|validator| validator.account.hotkey).collect();
        Self { pages: subnet.status_pages().await, hotkeys }
    }

    fn peers(&self, validator: usize) -> Option<BTreeSet<usize>> {
        let page = self.pages.get(validator)?.as_ref()?;
        let listed = page["peers"].as_array()?.iter().filter_map(|peer| {
            let hotkey: Hotkey = peer["hotkey"].as_str()?.parse().ok()?;
            self.hotkeys.iter().position(|known| *known == hotkey)
        });
        Some(listed.collect())
    }

    /// Whether a validator answers and says that it has no connection with another.
    fn misses(&self, validator: usize, peer: usize) -> bool {
        validator != peer && self.peers(validator).is_some_and(|peers| !peers.contains(&peer))
    }

    /// The head of the chain as a validator sees it.
    fn head(&self, validator: usize) -> Option<u64> {
        self.pages.get(validator)?.as_ref()?["head"].as_u64()
    }

    /// Whether any other validator misses it.
    fn missed(&self, peer: usize) -> bool {
        (0..self.pages.len()).any(|validator| self.misses(validator, peer))
    }

    /// Whether the mesh uses an address: its owner listens there, or somebody is connected with it.
    fn shows(&self, address: Ipv4Addr) -> bool {
        self.pages.iter().flatten().any(|page| page.to_string().contains(&format!("/{address}/")))
    }

    /// Validators that are not ready or have not all their peers, with what they have and what they
    /// say is wrong.
    pub(super) fn incomplete(&self) -> Vec<String> {
        let all = self.pages.len() - 1;
        let state = |validator: usize| {
            let name = validator + 1;
            let Some(page) = &self.pages[validator] else {
                return Some(format!("{name} does not answer"));
            };
            let peers = self.peers(validator).map_or(0, |peers| peers.len());
            let ready = page["ready"] == Value::Bool(true);
            let wrong =
                if ready { String::new() } else { format!(", not ready ({})", failed(page)) };
            (!ready || peers != all).then(|| format!("{name} has {peers} peers{wrong}"))
        };
        (0..self.pages.len()).filter_map(state).collect()
    }
}

/// The checks of a status page that fail, each with its detail.
fn failed(page: &Value) -> String {
    let checks = page["checks"].as_array().into_iter().flatten();
    let failed = checks.filter(|check| check["ok"] == Value::Bool(false));
    let words = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let said: Vec<String> = failed
        .map(|check| format!("{}: {}", words(&check["name"]), words(&check["detail"])))
        .collect();
    said.join(", ")
}

/// The state before a fault, which its effect is compared with.
#[derive(Debug)]
enum Before {
    Nothing,
    Cuts(Vec<(usize, usize)>),
    /// The same, until after a boundary.
    CutsUntil(Vec<(usize, usize)>, u64),
    /// The boundary that it happens at.
    Boundary(u64),
    Lie(Box<Lie>),
    Impaired(Impaired),
    Held(u64),
    ServiceFaults(u64),
    Unpublished(Vec<BTreeSet<TaskId>>),
    Address(Ipv4Addr),
    Strangers(Strangers),
}

/// A fault in force.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) fault: Fault,
    before: Before,
    /// Whether it killed the validator that it waited for.
    killed: bool,
    /// Its effect, once seen.
    pub(super) seen: Option<String>,
}

impl Ordered {
    /// Puts a fault in force. What happens at a boundary happens at `boundary`.
    pub(super) async fn order(
        fault: Fault,
        subnet: &mut Subnet,
        boundary: u64,
    ) -> Result<Self, LaunchError> {
        let before = match &fault {
            Fault::PartitionHalf(half) => {
                subnet.partition(std::slice::from_ref(half))?;
                Before::Cuts(cuts(subnet)?)
            }
            Fault::PartitionOne(one) => {
                subnet.partition(&[vec![*one]])?;
                Before::Cuts(cuts(subnet)?)
            }
            Fault::PartitionAtBoundary(half) => {
                subnet.partition(std::slice::from_ref(half))?;
                Before::CutsUntil(cuts(subnet)?, boundary + AROUND_BOUNDARY)
            }
            Fault::CutAtBoundary(one) => {
                subnet.partition(&[vec![*one]])?;
                subnet.cut_from_storage(*one)?;
                Before::CutsUntil(cuts(subnet)?, boundary + AROUND_BOUNDARY)
            }
            Fault::TwoFiles(liar, half) => {
                Before::Lie(Box::new(Lie::two_files(subnet, *liar, half).await?))
            }
            Fault::OneWay(from, to) => {
                subnet.drop_one_way(*from, *to)?;
                Before::Cuts(cuts(subnet)?)
            }
            Fault::Delay(ms) => {
                impair(subnet, Impairment { delay: Duration::from_millis((*ms).into()), loss: 0 })?
            }
            Fault::Loss(percent) => {
                impair(subnet, Impairment { delay: Duration::ZERO, loss: *percent })?
            }
            Fault::Kill(one) => {
                subnet.kill_validator(*one);
                Before::Nothing
            }
            Fault::KillWhilePublishing => {
                let slow = storage::Fault::always(storage::FaultKind::Slow).on("PUT");
                let slow = storage::Fault { delay_ms: UPLOAD_DELAY_MS, ..slow };
                subnet.order_storage_fault(&slow).await?;
                let all = 0..subnet.plan.validators.len();
                Before::Unpublished(all.map(|one| unpublished(subnet, one)).collect())
            }
            Fault::KillAtWitness { .. } => Before::Boundary(boundary),
            Fault::Pause(one) => {
                subnet.pause_validator(*one);
                Before::Nothing
            }
            Fault::ChangedIp(one) => Before::Address(subnet.change_ip(*one)?),
            Fault::StorageOutage(percent) => {
                let outage = storage::Fault::next(storage::FaultKind::InternalError, ALL_REQUESTS);
                let outage = storage::Fault { percent: Some(*percent), ..outage };
                subnet.order_storage_fault(&outage).await?;
                Before::Nothing
            }
            Fault::CutStorage(one) => {
                let before = subnet.held_from_storage(*one);
                subnet.cut_from_storage(*one)?;
                Before::Held(before)
            }
            Fault::ServiceFault(service, kind) => {
                let before = subnet.service_faults_met().await?;
                subnet.order_service_fault(&service_fault(*service, *kind)).await?;
                Before::ServiceFaults(before)
            }
            Fault::ChainBehind(one) => {
                subnet.lag_endpoint(*one, BEHIND);
                Before::Boundary(boundary)
            }
            Fault::LateSecondFile(liar) => {
                Before::Lie(Box::new(Lie::late_second_file(subnet, *liar, boundary).await?))
            }
            Fault::HostilePeers(attack) => Before::Strangers(strangers(*attack, subnet)?),
        };
        Ok(Self { fault, before, killed: false, seen: None })
    }

    /// Looks for the effect, unless it was seen.
    pub(super) async fn look(
        &mut self,
        subnet: &mut Subnet,
        pages: &Pages,
    ) -> Result<(), LaunchError> {
        if let Before::Lie(lie) = &mut self.before {
            lie.go_on(subnet).await;
        }
        if self.seen.is_none() {
            self.seen = self.effect(subnet, pages).await?;
        }
        Ok(())
    }

    async fn effect(&self, subnet: &Subnet, pages: &Pages) -> Result<Option<String>, LaunchError> {
        Ok(match (&self.fault, &self.before) {
            (_, Before::CutsUntil(_, block)) if subnet.block() < *block => None,
            (_, Before::Cuts(cuts) | Before::CutsUntil(cuts, _)) => {
                // Each side must notice by itself, and does so in its own time: one of the two is
                // enough. A validator that is dead or paused notices nothing.
                let gone = |(from, to): &&(usize, usize)| {
                    pages.misses(*from, *to) || pages.misses(*to, *from)
                };
                let noticed = cuts.iter().filter(gone).count();
                let able = cuts
                    .iter()
                    .filter(|(from, to)| pages.peers(*from).is_some() || pages.peers(*to).is_some())
                    .count();
                (noticed > 0 && noticed >= able)
                    .then(|| format!("{noticed} of {} directions noticed", cuts.len()))
            }
            (Fault::Delay(_), Before::Impaired(before)) => {
                let delayed = subnet.impaired().delayed - before.delayed;
                (delayed > 0).then(|| format!("{delayed} packets"))
            }
            (_, Before::Impaired(before)) => {
                let lost = subnet.impaired().lost - before.lost;
                (lost > 0).then(|| format!("{lost} packets"))
            }
            (_, Before::Held(before)) => {
                let Fault::CutStorage(one) = self.fault else { return Ok(None) };
                let held = subnet.held_from_storage(one) - before;
                (held > 0).then(|| format!("{held} connections held"))
            }
            (_, Before::Lie(lie)) => lie.effect(subnet),
            (Fault::ChainBehind(one), Before::Boundary(boundary)) => {
                let (block, head) = (subnet.block(), pages.head(*one));
                let is_over = block >= *boundary + AROUND_BOUNDARY;
                let behind = head.map(|head| block.saturating_sub(head));
                behind
                    .filter(|behind| is_over && *behind >= SHOWN_BEHIND)
                    .map(|behind| format!("validator-{} is {behind} blocks behind", one + 1))
            }
            (_, Before::ServiceFaults(before)) => {
                let met = subnet.service_faults_met().await?.saturating_sub(*before);
                (met > 0).then(|| format!("{met} requests"))
            }
            (_, Before::Address(address)) => {
                pages.shows(*address).then(|| format!("now {address}"))
            }
            (_, Before::Strangers(strangers)) => {
                let counts = strangers.counts();
                (counts.connections > 0 && counts.closed > 0).then(|| {
                    format!(
                        "{} connections, {} closed by the other side",
                        counts.connections, counts.closed
                    )
                })
            }
            (Fault::Kill(one) | Fault::Pause(one), _) => {
                pages.missed(*one).then(|| format!("validator-{} is missed", one + 1))
            }
            (Fault::StorageOutage(_), _) => {
                let met: u32 = subnet
                    .storage_faults()
                    .await?
                    .iter()
                    .filter(|fault| fault.kind == storage::FaultKind::InternalError)
                    .map(|fault| ALL_REQUESTS - fault.count.unwrap_or(ALL_REQUESTS))
                    .sum();
                (met > 0).then(|| format!("{met} requests"))
            }
            _ => None,
        })
    }

    /// How long it stays in force at least.
    pub(super) fn least(&self) -> Duration {
        // Connections with the old address look alive until then, and the mesh would look whole.
        if self.kind() == FaultKind::ChangedIp { DEAD_IS_NOTICED } else { HOLD_LEAST }
    }

    /// Kills a validator that signed a file that is not in its bucket yet; returns a message. To be
    /// called often: the moment is short.
    pub(super) fn strike(&mut self, subnet: &mut Subnet) -> Result<Option<&str>, LaunchError> {
        if self.killed {
            return Ok(None);
        }
        if let (Fault::KillAtWitness { after }, Before::Boundary(boundary)) =
            (&self.fault, &self.before)
        {
            let (after, boundary) = (*after, *boundary);
            let all = 0..subnet.plan.validators.len();
            let Some(witnessed) =
                all.into_iter().find(|one| witness_of(subnet, *one, boundary) == Some(after))
            else {
                return Ok(None);
            };
            subnet.kill_validator(witnessed);
            self.killed = true;
            let when = if after { "after" } else { "before" };
            let number = witnessed + 1;
            self.seen =
                Some(format!("validator-{number} died {when} its witness of epoch {boundary}"));
            return Ok(self.seen.as_deref());
        }
        let Before::Unpublished(before) = &self.before else { return Ok(None) };
        for (one, known) in before.iter().enumerate() {
            if subnet.process_id(one).is_none() {
                continue;
            }
            if let Some(task) = unpublished(subnet, one).difference(known).next() {
                subnet.kill_validator(one);
                self.killed = unpublished(subnet, one).contains(task);
                if self.killed {
                    self.seen =
                        Some(format!("validator-{} died after it signed task {task}", one + 1));
                } else {
                    // The file was published in time. Wait for the next one, with everybody
                    // running.
                    subnet.restart_validator(one)?;
                }
                return Ok(self.seen.as_deref());
            }
        }
        Ok(None)
    }

    pub(super) fn kind(&self) -> FaultKind {
        self.fault.kind()
    }

    pub(super) fn is_at_boundary(&self) -> bool {
        self.kind().is_at_boundary()
    }

    /// Whether two files were announced and not both of them were seen to be held.
    pub(super) fn is_unseen_lie(&self) -> bool {
        self.kind() == FaultKind::TwoFiles && self.seen.is_none()
    }

    /// What strangers did, if this fault is theirs.
    pub(super) fn stranger_counts(&self) -> StrangerCounts {
        match &self.before {
            Before::Strangers(strangers) => strangers.counts(),
            _ => StrangerCounts::default(),
        }
    }
}

fn impair(subnet: &mut Subnet, impairment: Impairment) -> Result<Before, LaunchError> {
    let before = subnet.impaired();
    subnet.impair(impairment)?;
    Ok(Before::Impaired(before))
}

/// A fault of every request to a service.
fn service_fault(service: services::Service, kind: services::FaultKind) -> services::Fault {
    services::Fault { service, target: None, kind, count: None, delay_ms: Some(SERVICE_DELAY_MS) }
}

fn cuts(subnet: &mut Subnet) -> Result<Vec<(usize, usize)>, LaunchError> {
    // The strangers' host is not a validator.
    let validators = subnet.plan.validators.len();
    let cuts = subnet.network()?.cuts().iter().copied();
    Ok(cuts.filter(|(from, to)| *from < validators && *to < validators).collect())
}

fn unpublished(subnet: &Subnet, validator: usize) -> BTreeSet<TaskId> {
    let state = subnet.validator_folder(validator).map(|folder| folder.join("state"));
    // The database may be unreadable while it is made; the next look comes soon.
    let books = state.and_then(|state| Books::read(&state).ok()).unwrap_or_default();
    books.unpublished
}

/// Whether a validator's witness of an epoch is final; `None` while it has none.
fn witness_of(subnet: &mut Subnet, validator: usize, boundary: u64) -> Option<bool> {
    subnet.process_id(validator)?;
    let state = subnet.validator_folder(validator)?.join("state");
    Books::read(&state).ok()?.witnesses.get(&boundary).copied()
}

/// Waits until just before witnesses of the next boundary are written, or a little later; returns
/// the boundary.
pub(super) async fn before_boundary(subnet: &Subnet) -> u64 {
    loop {
        let block = subnet.block();
        let boundary = (block / EPOCH_BLOCKS + 1) * EPOCH_BLOCKS;
        let begin = boundary - BEFORE_BOUNDARY;
        // Not in the middle of the span that is waited for.
        if (begin..=begin + 2).contains(&block) {
            return boundary;
        }
        tokio::time::sleep(LOOK_FOR_BOUNDARY).await;
    }
}

fn strangers(attack: Attack, subnet: &mut Subnet) -> Result<Strangers, LaunchError> {
    let count = subnet.plan.validators.len();
    let target = Target {
        addresses: (0..count).filter_map(|one| subnet.mesh_address(one)).collect(),
        hotkeys: subnet.plan.validators.iter().map(|validator| validator.account.hotkey).collect(),
        network: subnet.chain.network(),
        head: BlockNumber(subnet.block()),
    };
    // The last host of the network is theirs; without one they come from the loopback, as everybody
    // does then.
    let namespace = match subnet.network() {
        Ok(network) => Some(network.namespace(count)?.clone()),
        Err(_) => None,
    };
    let failed = |source| LaunchError::Spawn { part: "strangers".into(), source };
    Strangers::start(attack, target, namespace).map_err(failed)
}
