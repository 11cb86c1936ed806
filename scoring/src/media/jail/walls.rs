//! Which walls stand on this machine. Containers and kernels refuse some of them.

use super::files;
use super::system_calls::{self, Execution};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The walls around decoders, each standing or with the reason why it does not. A decoder is not
/// started where a wall that stood before cannot be put up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walls {
    /// Landlock: no file but the program and its libraries.
    pub files: Result<(), String>,
    /// seccomp: no sockets, no tracing, no processes, no programs.
    pub system_calls: Result<(), String>,
    /// A network of its own, which is empty.
    pub network: Result<(), String>,
}

impl Walls {
    /// The walls of this machine, tried once in children that start nothing.
    pub fn standing() -> &'static Self {
        static STANDING: OnceLock<Walls> = OnceLock::new();
        STANDING.get_or_init(|| Self {
            files: files::rules(Path::new("/")).map_err(|error| error.to_string()).and_then(
                |rules| {
                    let mut rules = Some(rules);
                    tried(move || restrict_files(&mut rules))
                },
            ),
            system_calls: system_calls::filter(Execution::NONE)
                .and_then(|filter| tried(move || restrict_system_calls(&filter))),
            network: tried(leave_network),
        })
    }

    /// The walls in the order in which they are reported, with names.
    fn named(&self) -> [(&'static str, &Result<(), String>); 3] {
        [
            ("files (Landlock)", &self.files),
            ("system calls (seccomp)", &self.system_calls),
            ("network (namespace)", &self.network),
        ]
    }

    /// The walls that do not stand, with reasons; empty where all do.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.named().into_iter().filter_map(|(name, wall)| {
            let reason = wall.as_ref().err()?;
            Some(format!("{name}: {reason}"))
        });
        missing.collect()
    }
}

impl fmt::Display for Walls {
    /// Those that stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = self.named().into_iter().filter(|(_, wall)| wall.is_ok());
        let names: Vec<&str> = standing.map(|(name, _)| name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

impl Execution {
    /// No program can be started.
    const NONE: Self = Self { program: 0, arguments: 0, environment: 0 };
}

/// Puts up a wall in a child, which then ends without starting anything.
fn tried(mut wall: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Result<(), String> {
    // The child tells its parent through the error of a start that is given up.
    const STANDS: Errno = Errno::ECANCELED;
    let mut command = Command::new("/nothing");
    let attempt = move || {
        // Landlock and seccomp require it of processes without privileges.
        nix::sys::prctl::set_no_new_privs()?;
        wall()?;
        Err(io::Error::from_raw_os_error(STANDS as i32))
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(attempt) };
    match command.spawn() {
        Err(error) if error.raw_os_error() == Some(STANDS as i32) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("the attempt started a program".to_owned()),
    }
}

/// Makes system calls only; usable between fork and exec.
pub(super) fn restrict_files(rules: &mut Option<landlock::RulesetCreated>) -> io::Result<()> {
    let Some(rules) = rules.take() else { return Ok(()) };
    match rules.restrict_self() {
        Ok(status) if status.ruleset == landlock::RulesetStatus::NotEnforced => {
            Err(Errno::EOPNOTSUPP.into())
        }
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Makes system calls only; usable between fork and exec.
pub(super) fn restrict_system_calls(filter: &seccompiler::BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(filter).map_err(|_| io::Error::last_os_error())
}

/// Makes system calls only; usable between fork and exec. Root may leave the network directly;
/// others need a user namespace for it.
pub(super) fn leave_network() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    }
    Ok(())
}
