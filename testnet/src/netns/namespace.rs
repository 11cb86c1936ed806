//! One network namespace, held by a file descriptor.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::NetworkError;

/// A network namespace. It lives as long as this value, a process in it or a socket of it.
#[derive(Debug)]
pub struct Namespace {
    descriptor: OwnedFd,
}

impl Namespace {
    /// A new namespace with a loopback device that is up, and nothing else.
    ///
    /// # Errors
    /// [`NetworkError::Namespace`] without the privilege to make one.
    pub fn new() -> Result<Self, NetworkError> {
        // A thread of its own: the caller's stays where it is.
        let made = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })?;
        let namespace = Self { descriptor: made.map_err(NetworkError::Namespace)?.into() };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Moves the calling thread here, for good. Makes one system call and nothing else, so it may
    /// be called between fork and exec.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn enter(&self) -> std::io::Result<()> {
        Ok(setns(&self.descriptor, CloneFlags::CLONE_NEWNET)?)
    }

    /// Runs `work` on a thread inside and waits for it. Sockets that it opens belong to this
    /// namespace for ever.
    ///
    /// # Errors
    /// [`NetworkError::Namespace`] or [`NetworkError::Thread`]; what `work` returns is in the
    /// value.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        on_a_thread(|| self.enter().map(|()| work()))?.map_err(NetworkError::Namespace)
    }

    /// Runs `ip` inside with these arguments, separated by spaces.
    ///
    /// # Errors
    /// [`NetworkError::Ip`] with its complaint.
    pub fn ip(&self, arguments: &str) -> Result<(), NetworkError> {
        let run = || Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output();
        let output = self.inside(run)?.map_err(NetworkError::NoIp)?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(NetworkError::Ip { command: arguments.to_owned(), reason })
    }

    /// Writes a setting under `/proc/sys/net`, which shows those of the thread's own namespace.
    ///
    /// # Errors
    /// [`NetworkError::Setting`].
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), NetworkError> {
        let path = std::path::Path::new("/proc/sys/net").join(name);
        let written = self.inside(|| std::fs::write(&path, value))?;
        written.map_err(|source| NetworkError::Setting { path, source })
    }

    /// A path by which `ip` finds it while this value lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.descriptor.as_raw_fd())
    }
}

/// Runs `work` on a thread that ends with it: a thread that changed its namespace must not be used
/// for anything else.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
    thread::scope(|scope| {
        let started = thread::Builder::new().name("namespace".into()).spawn_scoped(scope, work);
        let joined = started.map_err(NetworkError::Thread)?.join();
        joined.map_err(|_| NetworkError::Thread(std::io::Error::other("it panicked")))
    })
}
