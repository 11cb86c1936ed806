//! One process of the subnet: started in its own process group, watched, and stopped with all that
//! it started.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{LaunchError, Result};
use crate::netns::Namespace;

/// Log lines that an error shows.
const SHOWN_LINES: usize = 20;
/// Bytes of a log's end that are read for them.
const SHOWN_BYTES: u64 = 32 << 10;
/// How often a stopping process is checked.
const POLL: Duration = Duration::from_millis(50);
/// Variables that a part inherits; anything else of the operator's environment could change what it
/// does.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_PATH",
    "CUDA_HOME",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "XDG_CACHE_HOME",
];

/// How a part is started.
#[derive(Clone)]
pub(crate) struct PartPlan {
    /// What it is called in messages and log names.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its variables, besides a few that are inherited.
    pub environment: Vec<(String, String)>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// Where its output goes; a part that is started again appends.
    pub log: PathBuf,
    /// The network namespace that it runs in; without one, that of the launcher.
    pub namespace: Option<Arc<Namespace>>,
}

impl std::fmt::Debug for PartPlan {
    // The environment holds keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartPlan")
            .field("name", &self.name)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// A running process. Dropping it kills its whole process group.
#[derive(Debug)]
pub(crate) struct Part {
    plan: PartPlan,
    child: Child,
    group: Pid,
}

impl Part {
    /// Starts it. Must be called on a thread that lives as long as the launcher: the kernel ends
    /// the part when the thread that started it ends.
    ///
    /// # Errors
    /// When the log cannot be opened or the program does not start.
    pub(crate) fn start(plan: PartPlan) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&plan.log);
        let log = log.map_err(|source| LaunchError::Io { path: plan.log.clone(), source })?;
        let failed = |source| LaunchError::Spawn { part: plan.name.clone(), source };
        let mut command = Command::new(&plan.program);
        command.args(&plan.arguments).current_dir(&plan.folder).env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(plan.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        let launcher = std::process::id();
        let namespace = plan.namespace.clone();
        // SAFETY: between fork and exec only async-signal-safe calls are made: setns, prctl and
        // getppid.
        unsafe {
            command.pre_exec(move || {
                if let Some(namespace) = &namespace {
                    namespace.enter()?;
                }
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The launcher may have died before the call above took effect.
                if nix::unistd::getppid().as_raw() as u32 == launcher {
                    Ok(())
                } else {
                    Err(std::io::Error::other("the launcher is gone"))
                }
            });
        }
        let child = command.spawn().map_err(failed)?;
        let group = Pid::from_raw(child.id() as i32);
        Ok(Self { plan, child, group })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the part has ended.
    ///
    /// # Errors
    /// [`LaunchError::Died`] with the end of its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.died(&status.to_string())),
            Err(error) => Err(self.died(&error.to_string())),
        }
    }

    fn died(&self, status: &str) -> LaunchError {
        let (part, log) = (self.plan.name.clone(), self.plan.log.clone());
        LaunchError::Died { part, status: status.to_owned(), lines: last_lines(&log), log }
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] when it takes longer than `limit`.
    pub(crate) async fn finished(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
                _ => return Err(self.not_ready(limit)),
            }
        }
    }

    /// The error of a part that did not become ready.
    pub(crate) fn not_ready(&self, after: Duration) -> LaunchError {
        LaunchError::NotReady {
            part: self.plan.name.clone(),
            after,
            lines: last_lines(&self.plan.log),
        }
    }

    /// The error of a command that ended without success.
    pub(crate) fn failed(&self, command: &str) -> LaunchError {
        LaunchError::Command { command: command.to_owned(), lines: last_lines(&self.plan.log) }
    }

    /// Asks the part to end, with SIGTERM.
    pub(crate) fn terminate(&self) {
        // It may have ended already.
        let _ = killpg(self.group, Signal::SIGTERM);
    }

    /// Pauses the part and everything that it started, as on a machine that hangs.
    pub(crate) fn pause(&self) {
        let _ = killpg(self.group, Signal::SIGSTOP);
    }

    /// Resumes a paused part.
    pub(crate) fn resume(&self) {
        let _ = killpg(self.group, Signal::SIGCONT);
    }

    /// Kills the part and everything that it started, and waits for it.
    pub(crate) fn kill(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Waits until the part has ended, and kills it at the deadline. What it started is killed in
    /// any case.
    pub(crate) async fn end(&mut self, deadline: Instant) {
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        self.kill();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, for an error.
pub fn last_lines(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            let shown: Vec<String> = lines
                .iter()
                .skip(lines.len().saturating_sub(SHOWN_LINES))
                .map(|line| format!("  {line}"))
                .collect();
            if shown.is_empty() { "  (empty)".into() } else { shown.join("\n") }
        }
        Err(error) => format!("  ({}: {error})", log.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> PartPlan {
        PartPlan {
            name: "a shell".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GREETING".into(), "hello".into())],
            folder: folder.to_owned(),
            log: folder.join("log"),
            namespace: None,
        }
    }

    fn alive(process: i32) -> bool {
        // A zombie that nobody waits for is not alive; /proc tells them apart.
        std::fs::read_to_string(format!("/proc/{process}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_part_that_dies_is_named_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut part =
            Part::start(shell(folder.path(), "for i in $(seq 40); do echo line $i; done; exit 3"))
                .unwrap();
        part.finished(Duration::from_secs(20)).await.unwrap();
        let error = part.check().unwrap_err().to_string();
        assert!(error.starts_with("a shell ended (exit status: 3)"), "{error}");
        assert!(
            error.contains("line 40") && error.contains("line 21") && !error.contains("line 20\n"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn grandchildren_end_with_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000";
        let mut part = Part::start(shell(folder.path(), script)).unwrap();
        let log = folder.path().join("log");
        let deadline = Instant::now() + Duration::from_secs(20);
        let grandchild: i32 = loop {
            assert!(Instant::now() < deadline, "no process id in the log");
            if let Ok(id) = std::fs::read_to_string(&log).unwrap().trim().parse() {
                break id;
            }
            tokio::time::sleep(POLL).await;
        };
        assert!(alive(grandchild));
        part.terminate();
        part.end(Instant::now() + Duration::from_millis(200)).await;
        let deadline = Instant::now() + Duration::from_secs(10);
        while alive(grandchild) {
            assert!(Instant::now() < deadline, "process {grandchild} is still there");
            tokio::time::sleep(POLL).await;
        }
    }

    #[tokio::test]
    async fn a_part_sees_no_other_variables() {
        let folder = tempfile::tempdir().unwrap();
        let mut part =
            Part::start(shell(folder.path(), "echo $GREETING; echo ${CARGO_PKG_NAME:-unset}"))
                .unwrap();
        part.finished(Duration::from_secs(20)).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "hello\nunset\n");
    }
}
