//! Runs ffmpeg on a file that its sender may have crafted as an attack.
//!
//! The child gets its input as a sealed memory file on standard input, an empty environment, no
//! network where the kernel allows taking it away, and hard limits on memory, processor time and
//! file size. It cannot outlive this process. Its output is bounded and not trusted.

use super::MediaFault;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Address space of one child. ffmpeg 5 decodes 832x480 in well under half of it, its libraries
/// included.
const ADDRESS_SPACE_BYTES: u64 = 2 << 30;
/// Open files of one child: its libraries one after another, three streams and the input.
const OPEN_FILES: u64 = 64;
/// How much of a child's error output is kept for a log line.
const STDERR_KEPT_BYTES: usize = 2048;
/// Bytes of one read of a child's output. The kernel's pipe holds no more.
const READ_CHUNK_BYTES: usize = 256 * 1024;
/// How long a child that closed its output may take to exit.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// What a child may spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Processor time of all threads. Exceeding it is the input's fault.
    pub(crate) cpu: Duration,
    /// Real time. Exceeding it with processor time left means that this machine is overloaded.
    pub(crate) wall: Duration,
    /// Bytes that the child may write to the file on its standard output, where that is a file.
    pub(crate) file_bytes: u64,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It exited with status 0.
    Success,
    /// It exited with another status, or by a signal.
    Failure {
        /// The end of its standard error, without control characters.
        complaint: String,
    },
    /// It used all its processor time.
    OutOfCpu,
    /// The reader stopped, and the child was killed.
    Stopped,
}

/// Where a child's standard output goes.
pub(crate) enum Output<'a> {
    /// To a pipe, piece by piece, until the reader stops.
    Pipe(&'a mut dyn FnMut(&[u8]) -> ControlFlow<()>),
    /// To a memory file, because the MP4 muxer seeks.
    File(&'a File),
}

/// Copies `bytes` to a memory file that cannot be changed afterwards.
pub(crate) fn sealed_file(bytes: &[u8]) -> Result<File, MediaFault> {
    let build = || -> io::Result<File> {
        let mut file = memory_file(MFdFlags::MFD_ALLOW_SEALING)?;
        file.write_all(bytes)?;
        file.rewind()?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        Ok(file)
    };
    build().map_err(MediaFault::Input)
}

/// An empty memory file for a child's result.
pub(crate) fn result_file() -> Result<File, MediaFault> {
    memory_file(MFdFlags::empty()).map_err(MediaFault::Input)
}

fn memory_file(flags: MFdFlags) -> io::Result<File> {
    Ok(File::from(memfd_create(c"leoma-media", flags | MFdFlags::MFD_CLOEXEC)?))
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
    let spawned =
        |error| MediaFault::Spawn { program: program.display().to_string(), source: error };
    let mut command = Command::new(program);
    command.args(args).env_clear().env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::from(input.try_clone().map_err(spawned)?)).stderr(Stdio::piped());
    match &output {
        Output::Pipe(_) => command.stdout(Stdio::piped()),
        Output::File(file) => command.stdout(Stdio::from(file.try_clone().map_err(spawned)?)),
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(move || confine(allowance)) };
    let mut child = command.spawn().map_err(spawned)?;
    let mut complaint = Vec::new();
    let drained = drain(&mut child, output, &mut complaint, deadline);
    let status = match drained {
        Ok(Drained::Closed) => wait(&mut child, deadline.min(Instant::now() + EXIT_GRACE)),
        _ => Ok(None),
    };
    if !matches!(status, Ok(Some(_))) {
        // Killing an ended process fails harmlessly; waiting leaves no zombie.
        let _ = child.kill();
        let _ = child.wait();
    }
    match (drained.map_err(MediaFault::Read)?, status.map_err(MediaFault::Read)?) {
        (Drained::Stopped, _) => Ok(Ended::Stopped),
        (Drained::Closed, Some(status)) => Ok(classify(status, &complaint)),
        _ => Err(MediaFault::Stalled { seconds: allowance.wall.as_secs() }),
    }
}

fn classify(status: ExitStatus, complaint: &[u8]) -> Ended {
    if status.success() {
        Ended::Success
    } else if status.signal() == Some(Signal::SIGXCPU as i32)
        || status.signal() == Some(Signal::SIGKILL as i32)
    {
        // The kernel sends SIGXCPU at the soft limit and SIGKILL at the hard one.
        Ended::OutOfCpu
    } else {
        let text: String = String::from_utf8_lossy(complaint)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Ended::Failure { complaint: format!("{status}: {}", text.trim()) }
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
            complaint.extend_from_slice(&chunk[..count]);
            let surplus = complaint.len().saturating_sub(STDERR_KEPT_BYTES);
            complaint.drain(..surplus);
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

fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs in the child, before the program starts.
fn confine(allowance: Allowance) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    let cpu = allowance.cpu.as_secs();
    setrlimit(Resource::RLIMIT_CPU, cpu, cpu + 1)?;
    setrlimit(Resource::RLIMIT_AS, ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    setrlimit(Resource::RLIMIT_FSIZE, allowance.file_bytes, allowance.file_bytes)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Root may drop the network directly. Others need a user namespace, which some kernels refuse.
    // That is accepted, because the forced demuxer and the protocol whitelist protect without it.
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(cpu: u64, wall: u64) -> Allowance {
        Allowance { cpu: Duration::from_secs(cpu), wall: Duration::from_secs(wall), file_bytes: 0 }
    }

    fn shell(script: &str, allowance: Allowance) -> (Result<Ended, MediaFault>, Vec<u8>) {
        let input = sealed_file(b"input").unwrap();
        let mut seen = Vec::new();
        let mut sink = |bytes: &[u8]| {
            seen.extend_from_slice(bytes);
            if seen.len() > 1 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let ended =
            run(Path::new("/bin/sh"), &["-c", script], &input, Output::Pipe(&mut sink), allowance);
        (ended, seen)
    }

    #[test]
    fn input_arrives_and_output_returns() {
        let (ended, seen) = shell("cat; cat /proc/self/fd/0", allowance(5, 20));
        assert!(matches!(ended, Ok(Ended::Success)), "{ended:?}");
        assert_eq!(seen, b"inputinput");
    }

    #[test]
    fn an_endless_writer_is_stopped_by_the_reader() {
        let (ended, seen) =
            shell("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", allowance(20, 60));
        assert!(matches!(ended, Ok(Ended::Stopped)), "{ended:?}");
        assert!(seen.len() < (1 << 20) + READ_CHUNK_BYTES + 1);
    }

    #[test]
    fn an_endless_computation_runs_out_of_processor_time() {
        let (ended, _) = shell("while :; do :; done", allowance(1, 60));
        assert!(matches!(ended, Ok(Ended::OutOfCpu)), "{ended:?}");
    }

    #[test]
    fn a_sleeper_is_our_machine_stalling_and_not_the_input() {
        let (ended, _) = shell("exec sleep 60", allowance(5, 1));
        assert!(matches!(ended, Err(MediaFault::Stalled { seconds: 1 })), "{ended:?}");
    }

    #[test]
    fn the_child_sees_no_environment_writes_no_file_and_reports_its_complaint() {
        let (ended, seen) = shell("test -z \"$HOME\" && echo empty", allowance(5, 20));
        assert!(matches!(ended, Ok(Ended::Success)), "{ended:?}");
        assert_eq!(seen, b"empty\n");
        let folder = tempfile::tempdir().unwrap();
        let script =
            format!("trap '' XFSZ; echo x > {}/f && exit 0; exit 3", folder.path().display());
        let (ended, _) = shell(&script, allowance(5, 20));
        assert!(matches!(ended, Ok(Ended::Failure { .. })), "{ended:?}");
        let (ended, _) = shell("echo broken >&2; exit 4", allowance(5, 20));
        assert!(
            matches!(ended, Ok(Ended::Failure { ref complaint }) if complaint.contains("broken")),
            "{ended:?}"
        );
    }

    #[test]
    fn a_sealed_file_cannot_be_changed() {
        let mut file = sealed_file(b"abc").unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
