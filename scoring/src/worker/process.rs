//! One worker process, from its start to its end.

use super::frame::{self, FrameFault};
use super::message::{Ask, Tell};
use crate::device::Device;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Answers that are read ahead: a worker takes no more clips than this at a time.
const READ_AHEAD: usize = super::message::MOST_CLIPS;
/// How much of a worker's log is kept for the message about its end.
const LAST_WORDS_BYTES: usize = 2048;
/// Longer lines of a worker's log are cut.
const LINE_BYTES: usize = 1024;
/// How long a worker may take to end after its input has ended.
pub(super) const END_GRACE: Duration = Duration::from_secs(2);
/// How long a worker whose output has ended may take until its exit status can be read.
pub(super) const STATUS_GRACE: Duration = Duration::from_secs(1);
/// What a Rust program says before it aborts for want of memory.
const NO_MEMORY: &str = "memory allocation of";
/// How long to wait for the last log lines of an ended worker.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(300);
/// Environment variables that CUDA, ffmpeg and the arithmetic need. All others, keys above all,
/// stay with the validator.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "RUST_LOG",
    "RAYON_NUM_THREADS",
];
/// The prefix of CUDA's own environment variables.
const PASSED_ON_PREFIX: &str = "CUDA_";

/// The program that workers run.
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl WorkerProgram {
    /// The running program itself, with these arguments. It is the same program even if its file
    /// was replaced meanwhile.
    pub fn this<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            path: "/proc/self/exe".into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

/// Starts child processes from one thread of its own: the kernel ends a child when the *thread*
/// that started it ends, and a runtime's threads come and go.
#[derive(Debug, Clone)]
pub(super) struct Nursery(mpsc::Sender<Birth>);

type Birth = (Command, oneshot::Sender<io::Result<Child>>);

impl Nursery {
    /// Starts the thread; it ends with the last clone of this.
    pub(super) fn open() -> io::Result<Self> {
        // One at a time: callers wait for their child.
        let (sender, mut births) = mpsc::channel::<Birth>(1);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("scoring workers".into()).spawn(move || {
            while let Some((mut command, answer)) = births.blocking_recv() {
                let _inside = runtime.enter();
                let _asker_is_gone = answer.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts workers is gone");
        self.0.send((command, answer)).await.map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    told: mpsc::Receiver<Result<(Tell, Vec<u8>), FrameFault>>,
    last_words: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Process {
    /// Starts the program with nothing but the environment it needs. It ends with this process, in
    /// whatever way this process ends.
    pub(super) async fn start(
        nursery: &Nursery,
        program: &WorkerProgram,
        device: Device,
    ) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .arg0(format!("leoma-worker-{device}"))
            .env_clear()
            .envs(passed_on());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own: the validator alone handles an interrupt from the terminal.
        command.process_group(0).kill_on_drop(true);
        // SAFETY: between fork and exec the closure makes system calls only; it neither allocates
        // nor takes a lock.
        unsafe { command.pre_exec(confine) };
        let mut child = nursery.spawn(command).await?;
        let (Some(input), Some(mut output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the worker has no standard streams"));
        };
        let (sender, told) = mpsc::channel(READ_AHEAD);
        tokio::spawn(async move {
            while let Some(frame) = frame::receive(&mut output).await.transpose() {
                let last = frame.is_err();
                if sender.send(frame).await.is_err() || last {
                    break;
                }
            }
        });
        let last_words = Arc::new(Mutex::new(String::new()));
        let listener = tokio::spawn(listen(errors, device, Arc::clone(&last_words)));
        Ok(Self { child, input, told, last_words, listener })
    }

    /// Its process id.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a request.
    pub(super) async fn ask(&mut self, ask: &Ask, body: &[u8]) -> Result<(), FrameFault> {
        frame::send(&mut self.input, ask, body).await
    }

    /// Its next message; `None` once its output has ended. Cancelling the call loses no message.
    pub(super) async fn hear(&mut self) -> Option<Result<(Tell, Vec<u8>), FrameFault>> {
        self.told.recv().await
    }

    /// Ends it, with `grace` to end by itself.
    pub(super) async fn end(mut self, grace: Duration) -> End {
        drop(self.input);
        let (ended, by_itself) = match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(ended) => (ended, true),
            Err(_) => {
                // Killing an ended process fails harmlessly; waiting leaves no zombie.
                let _ = self.child.start_kill();
                (self.child.wait().await, false)
            }
        };
        // Its last lines may still be in the pipe.
        let _ = tokio::time::timeout(LAST_WORDS_WITHIN, self.listener).await;
        let words =
            self.last_words.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned();
        let killed = |status: &ExitStatus| {
            let ended_by = |signal: Signal| status.signal() == Some(signal as i32);
            ended_by(Signal::SIGKILL) || (ended_by(Signal::SIGABRT) && words.contains(NO_MEMORY))
        };
        let was_killed = by_itself && ended.as_ref().is_ok_and(killed);
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        let how = if words.is_empty() { how } else { format!("{how}, after saying: {words}") };
        End { how, was_killed }
    }
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct End {
    /// Its exit status and its last log lines.
    pub(super) how: String,
    /// Something outside killed it, mostly the kernel, or it got no more memory.
    pub(super) was_killed: bool,
}

fn passed_on() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| PASSED_ON.contains(&name) || name.starts_with(PASSED_ON_PREFIX))
    })
}

/// Runs in the child, before the program starts.
fn confine() -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// Copies a worker's log into ours line by line, and keeps the end of it.
async fn listen(mut errors: ChildStderr, device: Device, last_words: Arc<Mutex<String>>) {
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count) = errors.read(&mut chunk).await {
        for byte in &chunk[..count] {
            if *byte != b'\n' && line.len() < LINE_BYTES {
                line.push(*byte);
                continue;
            }
            note(&mut line, device, &last_words);
        }
        if count == 0 {
            break;
        }
    }
    note(&mut line, device, &last_words);
}

fn note(line: &mut Vec<u8>, device: Device, last_words: &Mutex<String>) {
    let text: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
    line.clear();
    if text.trim().is_empty() {
        return;
    }
    tracing::warn!(%device, worker = text, "line from the scoring process");
    let mut kept = last_words.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push_str(&text);
    kept.push(' ');
    let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES);
    let cut = (surplus..=kept.len()).find(|index| kept.is_char_boundary(*index)).unwrap_or(0);
    kept.drain(..cut);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a process that runs `script` ends.
    async fn end_of(script: &str, grace: Duration) -> End {
        let program = WorkerProgram {
            path: "/bin/sh".into(),
            arguments: ["-c".into(), script.into()].into(),
        };
        let nursery = Nursery::open().unwrap();
        let mut process = Process::start(&nursery, &program, Device::Cpu).await.unwrap();
        // Its output ends with it.
        if grace == STATUS_GRACE {
            assert!(process.hear().await.is_none());
        }
        process.end(grace).await
    }

    #[tokio::test]
    async fn a_process_killed_from_outside_is_told_from_one_that_crashed() {
        let killed = end_of("kill -KILL $$", STATUS_GRACE).await;
        assert!(killed.was_killed && killed.how.contains("signal: 9"), "{killed:?}");
        let crashed = end_of("kill -ABRT $$", STATUS_GRACE).await;
        assert!(!crashed.was_killed && crashed.how.contains("signal: 6"), "{crashed:?}");
        let starved = "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$";
        let starved = end_of(starved, STATUS_GRACE).await;
        assert!(starved.was_killed && starved.how.contains("signal: 6"), "{starved:?}");
        // A process that we kill was not killed from outside.
        let stopped = end_of("exec sleep 60", Duration::ZERO).await;
        assert!(!stopped.was_killed && stopped.how.contains("signal: 9"), "{stopped:?}");
    }
}
