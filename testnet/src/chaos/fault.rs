//! What can go wrong.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::services;

/// A kind of fault, as the report names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum FaultKind {
    /// Two halves of the validators do not reach each other.
    PartitionHalf,
    /// One validator does not reach the others.
    PartitionOne,
    /// Two halves do not reach each other from before an epoch's boundary, when witnesses are
    /// written, until after it.
    PartitionAtBoundary,
    /// One validator reaches neither the others nor the storage from before an epoch's boundary
    /// until after it; it reaches the chain.
    CutAtBoundary,
    /// A validator signs two files for one task and shows each of them to another half, which does
    /// not reach the other one, in a bucket of its own.
    TwoFiles,
    /// What one validator sends to another is lost, the other direction works.
    OneWay,
    /// Everything between validators is 300 ms late.
    Delay,
    /// A share of all packets between validators is lost.
    Loss,
    /// A validator's process is killed.
    Kill,
    /// A validator's process is killed after it signed a verdict file and before that is in its
    /// bucket.
    KillWhilePublishing,
    /// A validator's process is killed just before or just after its witness is on the chain.
    KillAtWitness,
    /// A validator's process stands still.
    Pause,
    /// A running validator's machine gets another address.
    ChangedIp,
    /// The storage answers with errors.
    StorageOutage,
    /// One validator does not reach the storage.
    CutStorage,
    /// A service that validators call misbehaves.
    ServiceFault,
    /// One validator's chain endpoint is 20 blocks behind over an epoch's boundary.
    ChainBehind,
    /// A validator announces a second file for an old task just after an epoch's boundary.
    LateSecondFile,
    /// Strangers attack the mesh.
    HostilePeers,
}

/// Faults of different tracks happen at the same time, those of one track one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    Cuts,
    Quality,
    Processes,
    Outside,
    Strangers,
}

impl Track {
    pub(super) const ALL: [Self; 5] =
        [Self::Cuts, Self::Quality, Self::Processes, Self::Outside, Self::Strangers];
}

impl FaultKind {
    pub(super) const fn track(self) -> Track {
        match self {
            Self::PartitionHalf
            | Self::PartitionOne
            | Self::PartitionAtBoundary
            | Self::CutAtBoundary
            | Self::TwoFiles
            | Self::OneWay => Track::Cuts,
            Self::Delay | Self::Loss => Track::Quality,
            Self::Kill
            | Self::KillWhilePublishing
            | Self::KillAtWitness
            | Self::Pause
            | Self::ChangedIp => Track::Processes,
            Self::StorageOutage
            | Self::CutStorage
            | Self::ServiceFault
            | Self::ChainBehind
            | Self::LateSecondFile => Track::Outside,
            Self::HostilePeers => Track::Strangers,
        }
    }

    /// Whether it happens over an epoch's boundary.
    pub(super) const fn is_at_boundary(self) -> bool {
        matches!(
            self,
            Self::PartitionAtBoundary
                | Self::CutAtBoundary
                | Self::KillAtWitness
                | Self::ChainBehind
                | Self::LateSecondFile
        )
    }

    /// Whether a validator lies. It is the same one for a whole run, as four validators tolerate
    /// one.
    pub(super) const fn is_lie(self) -> bool {
        matches!(self, Self::TwoFiles | Self::LateSecondFile)
    }

    /// Whether validators need addresses of their own for it.
    pub const fn needs_network(self) -> bool {
        matches!(self.track(), Track::Cuts | Track::Quality)
            || matches!(self, Self::ChangedIp | Self::CutStorage)
    }

    /// Whether the machine needs `/dev/net/tun` for it.
    pub(crate) const fn needs_relay(self) -> bool {
        matches!(self.track(), Track::Quality)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How strangers attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// Many identities with many connections each, which say nothing.
    Crowd,
    /// Hellos in a validator's name, for another chain, for another peer, and expired ones.
    ForgedHello,
    /// Bytes that mean nothing, on every protocol and before any.
    Garbage,
    /// More bytes than any message may have.
    Oversize,
    /// As many gossip messages and hellos as go through.
    Flood,
}

impl Attack {
    /// Every attack.
    pub const ALL: [Self; 5] =
        [Self::Crowd, Self::ForgedHello, Self::Garbage, Self::Oversize, Self::Flood];
}

/// One fault with its victims, as numbers of validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The validators of one half.
    PartitionHalf(Vec<usize>),
    /// The validator that is alone.
    PartitionOne(usize),
    /// The validators of one half.
    PartitionAtBoundary(Vec<usize>),
    /// The validator that is alone.
    CutAtBoundary(usize),
    /// The validator that lies, and those that get the first of its files.
    TwoFiles(usize, Vec<usize>),
    /// The sender and the receiver between which nothing arrives.
    OneWay(usize, usize),
    /// The delay, ms.
    Delay(u16),
    /// Percent of all packets.
    Loss(u8),
    /// The validator that is killed.
    Kill(usize),
    /// Whoever publishes next is killed.
    KillWhilePublishing,
    /// Whoever witnesses next is killed; whether its witness is on the chain by then.
    KillAtWitness {
        /// After it is final, rather than before.
        after: bool,
    },
    /// The validator that is paused.
    Pause(usize),
    /// The validator whose address changes.
    ChangedIp(usize),
    /// Percent of all requests that fail.
    StorageOutage(u8),
    /// The validator that does not reach the storage.
    CutStorage(usize),
    /// The service and its fault.
    ServiceFault(services::Service, services::FaultKind),
    /// The validator whose endpoint is behind.
    ChainBehind(usize),
    /// The validator that lies.
    LateSecondFile(usize),
    /// What strangers do.
    HostilePeers(Attack),
}

impl Fault {
    /// Its kind.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::PartitionHalf(_) => FaultKind::PartitionHalf,
            Self::PartitionOne(_) => FaultKind::PartitionOne,
            Self::PartitionAtBoundary(_) => FaultKind::PartitionAtBoundary,
            Self::CutAtBoundary(_) => FaultKind::CutAtBoundary,
            Self::TwoFiles(..) => FaultKind::TwoFiles,
            Self::OneWay(..) => FaultKind::OneWay,
            Self::Delay(_) => FaultKind::Delay,
            Self::Loss(_) => FaultKind::Loss,
            Self::Kill(_) => FaultKind::Kill,
            Self::KillWhilePublishing => FaultKind::KillWhilePublishing,
            Self::KillAtWitness { .. } => FaultKind::KillAtWitness,
            Self::Pause(_) => FaultKind::Pause,
            Self::ChangedIp(_) => FaultKind::ChangedIp,
            Self::StorageOutage(_) => FaultKind::StorageOutage,
            Self::CutStorage(_) => FaultKind::CutStorage,
            Self::ServiceFault(..) => FaultKind::ServiceFault,
            Self::ChainBehind(_) => FaultKind::ChainBehind,
            Self::LateSecondFile(_) => FaultKind::LateSecondFile,
            Self::HostilePeers(_) => FaultKind::HostilePeers,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Validators are numbered from 1 in logs and folders.
        let number = |index: &usize| index + 1;
        write!(f, "{}", self.kind())?;
        match self {
            Self::PartitionHalf(half) | Self::PartitionAtBoundary(half) => {
                write!(f, " {:?} | others", half.iter().map(number).collect::<Vec<_>>())
            }
            Self::OneWay(from, to) => write!(f, " {} -> {}", number(from), number(to)),
            Self::Delay(ms) => write!(f, " {ms} ms"),
            Self::Loss(percent) | Self::StorageOutage(percent) => write!(f, " {percent}%"),
            Self::PartitionOne(one) | Self::Kill(one) | Self::Pause(one) | Self::ChangedIp(one) => {
                write!(f, " {}", number(one))
            }
            Self::CutStorage(one)
            | Self::CutAtBoundary(one)
            | Self::ChainBehind(one)
            | Self::LateSecondFile(one) => write!(f, " {}", number(one)),
            Self::TwoFiles(liar, half) => {
                let half: Vec<usize> = half.iter().map(number).collect();
                write!(f, " by {} to {half:?} | others", number(liar))
            }
            Self::ServiceFault(service, kind) => write!(f, " {service} {kind:?}"),
            Self::HostilePeers(attack) => write!(f, " {attack:?}"),
            Self::KillAtWitness { after: true } => f.write_str(" after"),
            Self::KillAtWitness { after: false } => f.write_str(" before"),
            Self::KillWhilePublishing => Ok(()),
        }
    }
}
