//! Delay and loss in a process: packets come out of a TUN device and go back into it, late or not
//! at all.
//!
//! The kernel can do this by itself (`tc netem`) where that module is built in, which it often is
//! not. This also counts what it did.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::libc;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Namespace, NetworkError};

/// The largest packet: that of an Ethernet.
const MAX_PACKET: usize = 1500;
/// Packets under way at a time: at 300 ms, 20 MB/s; a device with less memory drops them too.
const MAX_UNDER_WAY: usize = 4096;
/// Draws which packets are lost.
const LOSS_SEED: u64 = 0x1e0a;

/// What happens to every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// How late it arrives.
    pub delay: Duration,
    /// Percent of all packets that do not arrive.
    pub loss: u8,
}

/// What happened to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impaired {
    /// Packets that were passed on late.
    pub delayed: u64,
    /// Packets that were not passed on.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counters {
    delayed: AtomicU64,
    lost: AtomicU64,
}

/// A running relay. Dropping it removes its device.
#[derive(Debug)]
pub(super) struct Relay {
    impairment: watch::Sender<Impairment>,
    counters: Arc<Counters>,
    _stop: DropGuard,
}

impl Relay {
    /// Makes the device in a namespace, down, and relays on the current tokio runtime.
    pub(super) fn start(namespace: &Namespace, device: &str) -> Result<Self, NetworkError> {
        let file = namespace.inside(|| open(device))?.map_err(NetworkError::Tun)?;
        // SAFETY: the file owns its descriptor and is never replaced while it is registered.
        let device =
            unsafe { AsyncFd::register(file) }.map_err(|error| NetworkError::Tun(error.into()))?;
        let (impairment, settings) = watch::channel(Impairment::default());
        let counters = Arc::new(Counters::default());
        let stop = CancellationToken::new();
        let (relaying, stopped) = (relay(device, settings, Arc::clone(&counters)), stop.clone());
        tokio::spawn(async move {
            if let Some(Err(error)) = stopped.run_until_cancelled(relaying).await {
                tracing::error!(%error, "the relay stopped");
            }
        });
        Ok(Self { impairment, counters, _stop: stop.drop_guard() })
    }

    pub(super) fn set(&self, impairment: Impairment) {
        self.impairment.send_replace(impairment);
    }

    pub(super) fn impaired(&self) -> Impaired {
        Impaired {
            delayed: self.counters.delayed.load(Ordering::Relaxed),
            lost: self.counters.lost.load(Ordering::Relaxed),
        }
    }
}

/// Opens a TUN device of this name in the thread's namespace; it goes with the file.
fn open(name: &str) -> std::io::Result<File> {
    /// `struct ifreq` as TUNSETIFF reads it: a name, flags, and the rest of its 40 bytes.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    let mut request = Request { name: [0; 16], flags, rest: [0; 22] };
    // The last byte stays zero.
    for (to, from) in request.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads a `struct ifreq`, which `request` is laid out as and outlives the
    // call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(file) }
}

async fn relay(
    device: AsyncFd<File>,
    settings: watch::Receiver<Impairment>,
    counters: Arc<Counters>,
) -> std::io::Result<()> {
    let mut rng = StdRng::seed_from_u64(LOSS_SEED);
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut packet = [0; MAX_PACKET];
    loop {
        let due = under_way.front().map(|(due, _)| *due);
        let length = tokio::select! {
            () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                if let Some((_, packet)) = under_way.pop_front() {
                    pass_on(&device, &packet, &counters).await?;
                }
                continue;
            }
            read = read(&device, &mut packet) => read?,
        };
        let Impairment { delay, loss } = *settings.borrow();
        if rng.random_range(0..100) < loss || under_way.len() >= MAX_UNDER_WAY {
            counters.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            // Packets that left before a change of the delay may be overtaken, as on any changed
            // path.
            under_way.push_back((Instant::now() + delay, packet[..length].to_vec()));
        }
    }
}

async fn read(device: &AsyncFd<File>, packet: &mut [u8]) -> std::io::Result<usize> {
    loop {
        let mut ready = device.readable().await?;
        if let Ok(read) = ready.try_io(|device| device.get_ref().read(packet)) {
            return read;
        }
    }
}

async fn pass_on(
    device: &AsyncFd<File>,
    packet: &[u8],
    counters: &Counters,
) -> std::io::Result<()> {
    loop {
        let mut ready = device.writable().await?;
        let Ok(written) = ready.try_io(|device| device.get_ref().write(packet)) else { continue };
        match written {
            Ok(_) => counters.delayed.fetch_add(1, Ordering::Relaxed),
            // The kernel refuses a packet that cannot be delivered, such as one for a device that
            // is down.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                counters.lost.fetch_add(1, Ordering::Relaxed)
            }
            Err(error) => return Err(error),
        };
        return Ok(());
    }
}
