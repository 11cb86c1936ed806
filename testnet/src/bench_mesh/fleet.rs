//! The validators as the measuring process sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::node::{Announced, Learnt, Links, Order};
use super::seen::{Certified, Usage};
use crate::netns::Namespace;

/// How often the validators are polled.
const POLL: Duration = Duration::from_millis(200);
/// Longest time for a node to open its sockets.
const START: Duration = Duration::from_secs(30);

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum FleetError {
    /// This program is not where it was.
    #[error("cannot start a validator: {0}")]
    Start(#[source] std::io::Error),
    /// A node does not answer.
    #[error("validator {number} is gone: {reason}")]
    Gone { number: usize, reason: String },
    /// The mesh is not as it should be.
    #[error("waited {} s for {what}", waited.as_secs())]
    Late { what: String, waited: Duration },
    /// The kernel does not say what a process uses.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// A file under `/proc`.
        path: String,
        source: std::io::Error,
    },
    /// The kernel reports it in an unknown form.
    #[error("{path} does not say what the process uses")]
    Unknown {
        /// A file under `/proc`.
        path: String,
    },
}

/// One validator's process.
struct Node {
    number: usize,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Node {
    async fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T, FleetError> {
        let number = self.number;
        let gone = |reason: String| FleetError::Gone { number, reason };
        let mut line = serde_json::to_string(order).map_err(|error| gone(error.to_string()))?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).await.map_err(|error| gone(error.to_string()))?;
        let answer = self.answers.next_line().await.map_err(|error| gone(error.to_string()))?;
        let answer = answer.ok_or_else(|| gone("it has ended".into()))?;
        serde_json::from_str(&answer).map_err(|error| gone(error.to_string()))
    }
}

/// All validators, and the network between them. Dropping it ends them.
pub(super) struct Fleet {
    nodes: Vec<Node>,
    /// `None` if the machine allows none.
    namespace: Option<Arc<Namespace>>,
}

impl Fleet {
    /// Starts `validators` processes; all but the first know the first one's address.
    pub(super) async fn start(validators: usize, file_bytes: u32) -> Result<Self, FleetError> {
        let namespace = match Namespace::new() {
            Ok(namespace) => Some(Arc::new(namespace)),
            Err(error) => {
                eprintln!(
                    "counting the bytes of the whole machine's loopback device, because {error}"
                );
                None
            }
        };
        let mut fleet = Self { nodes: Vec::new(), namespace };
        for number in 0..validators {
            let node = fleet.start_one(number, validators, file_bytes)?;
            fleet.nodes.push(node);
        }
        let first = fleet.address().await?;
        for node in fleet.nodes.iter_mut().skip(1) {
            node.ask::<()>(&Order::Dial(first.clone())).await?;
        }
        Ok(fleet)
    }

    fn start_one(&self, number: usize, of: usize, file_bytes: u32) -> Result<Node, FleetError> {
        let program = std::env::current_exe().map_err(FleetError::Start)?;
        let mut command = Command::new(program);
        command.arg("bench-mesh-node");
        for (name, value) in [("number", number), ("of", of), ("file-bytes", file_bytes as usize)] {
            command.arg(format!("--{name}={value}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        if let Some(namespace) = &self.namespace {
            let namespace = Arc::clone(namespace);
            // SAFETY: one system call on a descriptor that outlives the child's start; nothing is
            // allocated or locked.
            unsafe { command.pre_exec(move || namespace.enter()) };
        }
        let mut child = command.spawn().map_err(FleetError::Start)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, answers) =
            pipes.ok_or_else(|| FleetError::Start(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Node { number, child, orders, answers: BufReader::new(answers).lines() })
    }

    async fn address(&mut self) -> Result<String, FleetError> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Some(address) = self.nodes[0].ask::<Option<String>>(&Order::Address).await? {
                return Ok(address);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(FleetError::Late { what: "the first validator's address".into(), waited: START })
    }

    /// Waits until every validator has a good link with every other. Returns how long that took.
    pub(super) async fn until_mutual(
        &mut self,
        patience: Duration,
    ) -> Result<Duration, FleetError> {
        let begun = Instant::now();
        let others = self.nodes.len() - 1;
        while begun.elapsed() < patience {
            let mut complete = 0;
            for node in &mut self.nodes {
                complete += usize::from(node.ask::<usize>(&Order::Mutual).await? == others);
            }
            if complete == self.nodes.len() {
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(FleetError::Late { what: "all validators to be connected".into(), waited: patience })
    }

    pub(super) async fn announce(
        &mut self,
        producer: usize,
        task: u64,
    ) -> Result<Announced, FleetError> {
        self.nodes[producer].ask(&Order::Announce(task)).await
    }

    pub(super) async fn attest_from_now_on(&mut self) -> Result<(), FleetError> {
        for node in &mut self.nodes {
            node.ask::<()>(&Order::Attest).await?;
        }
        Ok(())
    }

    /// Waits until everybody has heard of `announcements` files. Returns what each heard when.
    pub(super) async fn until_heard(
        &mut self,
        announcements: usize,
        patience: Duration,
    ) -> Result<Vec<Vec<Learnt>>, FleetError> {
        let begun = Instant::now();
        loop {
            let mut heard = Vec::new();
            for node in &mut self.nodes {
                heard.push(node.ask::<Vec<Learnt>>(&Order::Heard).await?);
            }
            if heard.iter().all(|heard| heard.len() >= announcements) {
                return Ok(heard);
            }
            if begun.elapsed() > patience {
                let what = format!("{announcements} announcements to reach everybody");
                return Err(FleetError::Late { what, waited: patience });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until everybody holds a certificate of this file.
    pub(super) async fn until_certified(
        &mut self,
        announced: Announced,
        patience: Duration,
    ) -> Result<Certified, FleetError> {
        let begun = Instant::now();
        let mut certified: BTreeMap<usize, u64> = BTreeMap::new();
        let mut missing: BTreeSet<usize> = (0..self.nodes.len()).collect();
        while begun.elapsed() < patience {
            // Polling costs the validators time, so the first poll comes late.
            tokio::time::sleep(POLL).await;
            for number in missing.clone() {
                let all = self.nodes[number].ask::<Vec<Learnt>>(&Order::Certified).await?;
                let this = |learnt: &&Learnt| {
                    learnt.task == announced.task && learnt.producer == announced.producer
                };
                if let Some(learnt) = all.iter().rev().find(this) {
                    certified.insert(number, learnt.at);
                    missing.remove(&number);
                }
            }
            if missing.is_empty() {
                return Ok(Certified { announced, at: certified.into_values().collect() });
            }
        }
        let what =
            format!("a certificate of task {} at {} validators", announced.task, missing.len());
        Err(FleetError::Late { what, waited: patience })
    }

    /// Connections of all, each seen from both ends.
    pub(super) async fn links(&mut self) -> Result<Links, FleetError> {
        let mut sum = Links::default();
        for node in &mut self.nodes {
            let links: Links = node.ask(&Order::Links).await?;
            sum.tcp += links.tcp;
            sum.quic += links.quic;
        }
        Ok(sum)
    }

    pub(super) fn usage(&self) -> Result<Usage, FleetError> {
        let devices = match &self.namespace {
            Some(namespace) => {
                let inside = namespace.inside(|| read("/proc/thread-self/net/dev"));
                inside.map_err(|error| FleetError::Start(std::io::Error::other(error)))??
            }
            None => read("/proc/net/dev")?,
        };
        let mut usage = Usage {
            at: Instant::now(),
            wire_bytes: sent_on_loopback(&devices).unwrap_or_default(),
            wire_is_ours: self.namespace.is_some(),
            resident: Vec::new(),
            cpu: Duration::ZERO,
        };
        for node in &self.nodes {
            let gone = || FleetError::Gone { number: node.number, reason: "it has ended".into() };
            let id = node.child.id().ok_or_else(gone)?;
            // A missing figure must not pass for a small one.
            let (status, stat) = (format!("/proc/{id}/status"), format!("/proc/{id}/stat"));
            usage
                .resident
                .push(resident_bytes(&read(&status)?).ok_or(FleetError::Unknown { path: status })?);
            usage.cpu += cpu_time(&read(&stat)?).ok_or(FleetError::Unknown { path: stat })?;
        }
        Ok(usage)
    }

    /// Closes their standard input, which ends them, and waits a little.
    pub(super) async fn stop(self) {
        const FAREWELL: Duration = Duration::from_secs(5);
        for node in self.nodes {
            let Node { mut child, orders, .. } = node;
            drop(orders);
            let _ = tokio::time::timeout(FAREWELL, child.wait()).await;
        }
    }
}

fn read(path: &str) -> Result<String, FleetError> {
    std::fs::read_to_string(path)
        .map_err(|source| FleetError::Unreadable { path: path.into(), source })
}

/// Bytes sent on `lo`, from the text of `/proc/net/dev`. What is sent there is received there: one
/// direction is all.
fn sent_on_loopback(devices: &str) -> Option<u64> {
    let line = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().nth(8)?.parse().ok()
}

/// `VmRSS` from the text of `/proc/ID/status`.
pub(crate) fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// User and system time from the text of `/proc/ID/stat`, which counts in hundredths of a second.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let devices = "Inter-|   Receive\n face |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10\n    \
                       lo: 700 7 0 0 0 0 0 0 701 7 0 0 0 0 0 0\n";
        assert_eq!(sent_on_loopback(devices), Some(701));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   1024 kB\n"), Some(1 << 20));
        let stat = "7 (a b) c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time("nonsense"), None);
    }
}
