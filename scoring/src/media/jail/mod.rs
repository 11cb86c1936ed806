//! Runs ffmpeg on a file that its sender may have crafted as an attack.
//!
//! The child gets its input as a sealed memory file on standard input, an empty environment, and
//! hard limits on memory, processor time and file size. It cannot outlive this process. Its output
//! is bounded and not trusted. Around it stand the walls of [`Walls`]: it opens no file but its
//! libraries, and has no sockets, no way to other processes, and no other program.
//!
//! | file | subject |
//! |---|---|
//! | `mod.rs` | start, input, output and limits |
//! | `memory.rs` | files in memory |
//! | `files.rs` | Landlock |
//! | `system_calls.rs` | seccomp |
//! | `walls.rs` | which walls this machine has |
//! | `ended.rs` | how a child ended, and whose fault that is |

mod ended;
mod files;
mod memory;
mod system_calls;
mod walls;

pub(crate) use ended::Ended;
pub(crate) use memory::{result_file, sealed_file, sealed_picture};
pub use walls::Walls;

use super::MediaFault;
use ended::Exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use system_calls::Execution;

/// Address space of one child. ffmpeg 5 decodes 832x480 in well under half of it, its libraries
/// included.
const ADDRESS_SPACE_BYTES: u64 = 2 << 30;
/// Open files of one child: its libraries one after another, three streams and the input.
const OPEN_FILES: u64 = 64;
/// How much of the start of a child's error output is kept: later lines follow from the first.
const STDERR_KEPT_BYTES: usize = 2048;
/// Bytes of one read of a child's output. The kernel's pipe holds no more.
const READ_CHUNK_BYTES: usize = 256 * 1024;
/// How long a child that closed its output may take to exit.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// What a child may spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Processor time of all threads. It protects this machine; whose fault it is to exceed it is
    /// for the caller to say.
    pub(crate) cpu: Duration,
    /// Real time. Exceeding it with processor time left means that this machine is overloaded.
    pub(crate) wall: Duration,
    /// Bytes that the child may write to the file on its standard output, where that is a file.
    pub(crate) file_bytes: u64,
}

/// Where a child's standard output goes.
pub(crate) enum Output<'a> {
    /// To a pipe, piece by piece, until the reader stops.
    Pipe(&'a mut dyn FnMut(&[u8]) -> ControlFlow<()>),
    /// To a memory file, because the MP4 muxer seeks.
    File(&'a File),
}

/// Runs `program` on `input` until it ends or has used up its allowance.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    input: &File,
    output: Output<'_>,
    allowance: Allowance,
) -> Result<Ended, MediaFault> {
    let deadline = Instant::now() + allowance.wall;
    let mut child = start(program, args, input, &output, allowance)
        .map_err(|source| MediaFault::Spawn { program: program.display().to_string(), source })?;
    let mut complaint = Vec::new();
    let drained = drain(&mut child, output, &mut complaint, deadline);
    let exit = match drained {
        Ok(Drained::Closed) => Exit::wait(&mut child, deadline.min(Instant::now() + EXIT_GRACE)),
        _ => Ok(None),
    };
    if !matches!(exit, Ok(Some(_))) {
        // Killing an ended process fails harmlessly; waiting leaves no zombie.
        let _ = child.kill();
        let _ = child.wait();
    }
    match (drained.map_err(MediaFault::Read)?, exit.map_err(MediaFault::Read)?) {
        (Drained::Stopped, _) => Ok(Ended::Stopped),
        (Drained::Closed, Some(exit)) => exit.meaning(&complaint, allowance.cpu),
        _ => Err(MediaFault::Stalled { seconds: allowance.wall.as_secs() }),
    }
}

fn start<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    input: &File,
    output: &Output<'_>,
    allowance: Allowance,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::from(input.try_clone()?)).stderr(Stdio::piped());
    match output {
        Output::Pipe(_) => command.stdout(Stdio::piped()),
        Output::File(file) => command.stdout(Stdio::from(file.try_clone()?)),
    };
    let call = Call::new(program, args)?;
    let walls = Walls::standing();
    let words = |error: String| io::Error::other(error);
    let mut rules = match walls.files {
        Ok(()) => Some(files::rules(program).map_err(|error| words(error.to_string()))?),
        Err(_) => None,
    };
    let filter = match walls.system_calls {
        Ok(()) => Some(system_calls::filter(call.execution()).map_err(words)?),
        Err(_) => None,
    };
    let has_network_wall = walls.network.is_ok();
    let confined = move || {
        limit(allowance)?;
        if has_network_wall {
            walls::leave_network()?;
        }
        walls::restrict_files(&mut rules)?;
        if let Some(filter) = &filter {
            walls::restrict_system_calls(filter)?;
        }
        Err(call.execute())
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(confined) };
    command.spawn()
}

/// A program, its arguments and its environment, laid out as `execve` takes them. The filter of
/// system calls knows the addresses, so that no other program can be started.
struct Call {
    program: CString,
    /// Addresses of `_strings`, and a null pointer at the end.
    arguments: Vec<usize>,
    /// Likewise.
    environment: Vec<usize>,
    _strings: Vec<CString>,
}

impl Call {
    /// The whole environment: messages in English.
    const ENVIRONMENT: &std::ffi::CStr = c"LC_ALL=C";

    fn new<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> io::Result<Self> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
        let program = text(program.as_os_str())?;
        let strings = args.iter().map(|arg| text(arg.as_ref())).collect::<io::Result<Vec<_>>>()?;
        let addresses = strings.iter().map(|string| string.as_ptr() as usize);
        let arguments =
            [program.as_ptr() as usize].into_iter().chain(addresses).chain([0]).collect();
        let environment = vec![Self::ENVIRONMENT.as_ptr() as usize, 0];
        Ok(Self { program, arguments, environment, _strings: strings })
    }

    /// The addresses that [`Call::execute`] calls with; they stay the same when this is moved.
    fn execution(&self) -> Execution {
        Execution {
            program: self.program.as_ptr() as u64,
            arguments: self.arguments.as_ptr() as u64,
            environment: self.environment.as_ptr() as u64,
        }
    }

    /// Becomes the program; returns only where that fails.
    fn execute(&self) -> io::Error {
        // SAFETY: all three are null-terminated, and what they point to lives as long as `self`.
        unsafe {
            nix::libc::execve(
                self.program.as_ptr(),
                self.arguments.as_ptr().cast(),
                self.environment.as_ptr().cast(),
            );
        }
        io::Error::last_os_error()
    }
}

enum Drained {
    Closed,
    Stopped,
    Late,
}

/// Reads both of the child's streams until they close, the reader stops or the deadline passes.
fn drain(
    child: &mut Child,
    mut output: Output<'_>,
    complaint: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Drained> {
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let mut chunk = vec![0; READ_CHUNK_BYTES];
    while stdout.is_some() || stderr.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Drained::Late);
        }
        let (stdout_ready, stderr_ready) =
            ready(stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd), left)?;
        if let (true, Some(stream)) = (stdout_ready, stdout.as_mut()) {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                stdout = None;
            } else if let Output::Pipe(sink) = &mut output
                && sink(&chunk[..count]).is_break()
            {
                return Ok(Drained::Stopped);
            }
        }
        if let (true, Some(stream)) = (stderr_ready, stderr.as_mut()) {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                stderr = None;
            }
            let kept = count.min(STDERR_KEPT_BYTES - complaint.len());
            complaint.extend_from_slice(&chunk[..kept]);
        }
    }
    Ok(Drained::Closed)
}

/// Waits at most `left` and returns which of the two streams can be read without blocking.
fn ready(
    stdout: Option<std::os::fd::BorrowedFd<'_>>,
    stderr: Option<std::os::fd::BorrowedFd<'_>>,
    left: Duration,
) -> io::Result<(bool, bool)> {
    let mut watched: Vec<PollFd<'_>> =
        stdout.iter().chain(&stderr).map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout =
        PollTimeout::try_from(left.min(Duration::from_secs(1))).unwrap_or(PollTimeout::ZERO);
    match poll(&mut watched, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut answers =
        watched.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
    let stdout_ready = stdout.is_some() && answers.next().unwrap_or(false);
    let stderr_ready = stderr.is_some() && answers.next().unwrap_or(false);
    Ok((stdout_ready, stderr_ready))
}

/// Runs in the child, before the program starts.
fn limit(allowance: Allowance) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    let cpu = allowance.cpu.as_secs();
    setrlimit(Resource::RLIMIT_CPU, cpu, cpu + 1)?;
    setrlimit(Resource::RLIMIT_AS, ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    setrlimit(Resource::RLIMIT_FSIZE, allowance.file_bytes, allowance.file_bytes)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests;
