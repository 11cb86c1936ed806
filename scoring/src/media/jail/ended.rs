//! How a child ended, and whose fault that is.

use super::super::MediaFault;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Processor time is counted in hundredths of a second, and the limit acts a little late.
const CPU_TOLERANCE: Duration = Duration::from_millis(50);
/// Signals that come from outside: from an operator, or from a machine without memory.
const FROM_OUTSIDE: [Signal; 4] =
    [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
/// Exit codes of a program that did not get as far as its input: it, or a library of it, cannot be
/// loaded.
const NOT_LOADED: [i32; 2] = [126, 127];

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It exited with status 0.
    Success,
    /// It exited with another status, or crashed.
    Failure {
        /// Its first complaint, without addresses and control characters. Not the same on every
        /// machine.
        complaint: String,
    },
    /// It used all its processor time.
    OutOfCpu,
    /// The reader stopped, and the child was killed.
    Stopped,
}

/// An ended child.
#[derive(Debug)]
pub(super) struct Exit {
    status: ExitStatus,
    /// Processor time of all its threads, where the system told.
    cpu: Option<Duration>,
}

impl Exit {
    /// Waits for the child until `deadline`.
    pub(super) fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<Self>> {
        let pid = Pid::from_raw(child.id() as libc::pid_t);
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), look)? == WaitStatus::StillAlive {
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // It has ended; its figures can be read until it is waited for.
        let cpu = cpu_time(pid);
        Ok(Some(Self { status: child.wait()?, cpu }))
    }

    /// What the end means for the input. `complaint` is what the child said.
    pub(super) fn meaning(&self, complaint: &[u8], limit: Duration) -> Result<Ended, MediaFault> {
        let signal = self.status.signal().and_then(|number| Signal::try_from(number).ok());
        let has_spent = self.cpu.is_some_and(|spent| spent + CPU_TOLERANCE >= limit);
        if self.status.success() {
            Ok(Ended::Success)
        } else if has_spent || signal == Some(Signal::SIGXCPU) {
            Ok(Ended::OutOfCpu)
        } else if let Some(signal) = signal.filter(|signal| FROM_OUTSIDE.contains(signal)) {
            Err(MediaFault::Killed { signal: signal.as_str() })
        } else if self.status.code().is_some_and(|code| NOT_LOADED.contains(&code)) {
            let source = io::Error::other(tidy(complaint));
            Err(MediaFault::Spawn { program: "the media program".to_owned(), source })
        } else {
            Ok(Ended::Failure { complaint: tidy(complaint) })
        }
    }
}

/// Processor time in user and system mode, from the 14th and 15th field of `/proc/PID/stat`.
fn cpu_time(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>());
    let spent = ticks.next()?.ok()?.checked_add(ticks.next()?.ok()?)?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()?? as u64;
    Some(Duration::from_millis(spent.saturating_mul(1000) / per_second.max(1)))
}

/// The first line of a complaint without addresses in memory, such as the one in
/// `[h264 @ 0x55d0c0ffee40]`.
fn tidy(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no complaint");
    let words = line.split_whitespace().filter_map(|word| match word.strip_prefix("0x") {
        Some(address) => address.ends_with(']').then_some("]"),
        None => Some(word),
    });
    let words: Vec<&str> = words.filter(|word| *word != "@").collect();
    let line: String = words.join(" ").replace(" ]", "]");
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_its_first_line_without_addresses() {
        let said = b"[mov,mp4 @ 0x55f46f1968c0] moov atom not found\nfile:x: Invalid data\n";
        assert_eq!(tidy(said), "[mov,mp4] moov atom not found");
        assert_eq!(tidy(b"\n \x1b[31mred\x07 text"), "[31mred text");
        assert_eq!(tidy(b""), "no complaint");
    }

    #[test]
    fn a_child_killed_from_outside_is_told_from_one_without_processor_time_left() {
        let limit = Duration::from_secs(30);
        let ended = |raw, seconds| {
            let exit =
                Exit { status: ExitStatus::from_raw(raw), cpu: Some(Duration::from_secs(seconds)) };
            exit.meaning(b"", limit)
        };
        // The kernel sends SIGKILL where memory runs out and at the hard limit of processor time.
        let (killed, terminated, crashed) = (9, 15, 11);
        for signal in [killed, terminated] {
            assert!(matches!(ended(signal, 3), Err(MediaFault::Killed { .. })), "{signal}");
            assert!(matches!(ended(signal, 31), Ok(Ended::OutOfCpu)), "{signal}");
        }
        assert!(matches!(ended(crashed, 3), Ok(Ended::Failure { .. })));
        // ffmpeg catches the signal at the soft limit and exits.
        assert!(matches!(ended(255 << 8, 30), Ok(Ended::OutOfCpu)));
        assert!(matches!(ended(0, 30), Ok(Ended::Success)));
    }

    #[test]
    fn a_program_that_cannot_be_loaded_is_our_fault() {
        let said = b"ffmpeg: error while loading shared libraries: libx264.so.164\n";
        let ended = |code: i32| {
            let exit = Exit { status: ExitStatus::from_raw(code << 8), cpu: Some(Duration::ZERO) };
            exit.meaning(said, Duration::from_secs(30))
        };
        for code in NOT_LOADED {
            let Err(MediaFault::Spawn { source, .. }) = ended(code) else { panic!("{code}") };
            assert!(source.to_string().contains("libx264"), "{source}");
        }
        for code in [1, 69, 123, 125, 128, 255] {
            assert!(matches!(ended(code), Ok(Ended::Failure { .. })), "{code}");
        }
    }
}
