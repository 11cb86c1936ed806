//! What `leoma-testnet launch` does around its validators: failing early, stopping cleanly, leaving
//! nothing behind.
//!
//! A shell script stands in for the validator here, so that each case is quick and its end is
//! known. Whole subnets of real validators are in `whole_subnet`.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Everything is up within this on a busy machine; corpora are made once and kept.
const LIMIT: Duration = Duration::from_secs(240);
/// A validator that runs until it is stopped, and an owner whose command succeeds.
const PATIENT: &str = "#!/bin/sh\n[ \"$1\" = serve ] || exit 0\necho serving\nsleep 1000 &\nwait\n";

/// Programs and an empty temporary folder for one launcher.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(validator: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("bin");
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::create_dir_all(folder.path().join("tmp")).unwrap();
        symlink(env!("CARGO_BIN_EXE_leoma-testnet"), programs.join("leoma-testnet")).unwrap();
        if let Some(script) = validator {
            let path = programs.join("leoma");
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn launch(&self, arguments: &[&str]) -> Child {
        let output = std::fs::File::create(self.path("output")).unwrap();
        Command::new(self.path("bin/leoma-testnet"))
            .args(["launch", "--validators", "2", "--miners", "2", "--seed", "launch test"])
            .args(arguments)
            .env("LEOMA_BIN_DIR", self.path("bin"))
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.path("output")).unwrap()
    }

    /// Waits until the launcher has shown the state of its validators.
    fn wait_until_running(&self, launcher: &mut Child) {
        let deadline = Instant::now() + LIMIT;
        while !self.output().contains("epoch 0:") {
            assert!(Instant::now() < deadline, "{}", self.output());
            assert!(launcher.try_wait().unwrap().is_none(), "{}", self.output());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Processes that work somewhere in the folder of this bench.
    fn processes(&self) -> Vec<u32> {
        let tmp = self.path("tmp");
        let works_here = |id: &u32| {
            std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd.starts_with(&tmp))
        };
        let entries = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        entries.filter(works_here).collect()
    }

    fn assert_no_processes(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn wait(launcher: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = launcher.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the launcher does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(launcher: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(launcher.id()).unwrap()), signal).unwrap();
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_validator_that_dies_fails_the_run_with_its_last_lines() {
    let bench = Bench::new(Some(
        "#!/bin/sh\n[ \"$1\" = serve ] || exit 0\nsleep 4\necho the disk is full >&2\nexit 7\n",
    ));
    let json = bench.path("out.json");
    let mut launcher = bench.launch(&["--json", json.to_str().unwrap()]);
    assert_eq!(wait(&mut launcher).code(), Some(1));
    let output = bench.output();
    assert!(
        output.contains("validator-1 ended (exit status: 7)")
            && output.contains("the disk is full"),
        "{output}"
    );
    bench.assert_no_processes();
    assert!(is_empty(&bench.path("tmp")), "a folder is left behind");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["agreed"], false);
}

#[test]
fn an_owner_command_that_fails_ends_the_run() {
    let bench =
        Bench::new(Some("#!/bin/sh\n[ \"$1\" = serve ] || { echo no such key; exit 2; }\n"));
    let mut launcher = bench.launch(&[]);
    assert_eq!(wait(&mut launcher).code(), Some(1));
    let output = bench.output();
    assert!(
        output.contains("`leoma validator publish` failed") && output.contains("no such key"),
        "{output}"
    );
    bench.assert_no_processes();
    assert!(is_empty(&bench.path("tmp")), "a folder is left behind");
}

#[test]
fn an_interrupt_stops_everything_and_leaves_nothing_behind() {
    let bench = Bench::new(Some(PATIENT));
    let mut launcher = bench.launch(&[]);
    bench.wait_until_running(&mut launcher);
    // Chain, storage, services, two validators and what these started.
    assert!(bench.processes().len() >= 5, "{:?}", bench.processes());
    signal(&launcher, Signal::SIGINT);
    assert_eq!(wait(&mut launcher).code(), Some(130), "{}", bench.output());
    bench.assert_no_processes();
    assert!(is_empty(&bench.path("tmp")), "a folder is left behind");
}

#[test]
fn no_process_outlives_a_launcher_that_is_killed() {
    let bench = Bench::new(Some(PATIENT));
    let mut launcher = bench.launch(&[]);
    bench.wait_until_running(&mut launcher);
    let validators = bench.processes();
    assert!(validators.len() >= 5, "{validators:?}");
    signal(&launcher, Signal::SIGKILL);
    wait(&mut launcher);
    let deadline = Instant::now() + Duration::from_secs(10);
    // The sleep that the stand-in script started has no tie to the launcher; the real validator
    // starts nothing of its kind.
    let tied = |id: &u32| {
        std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() != "sleep")
    };
    while bench.processes().iter().any(tied) {
        assert!(Instant::now() < deadline, "still there: {:?}", bench.processes());
        std::thread::sleep(Duration::from_millis(50));
    }
    for id in bench.processes() {
        let _ = kill(Pid::from_raw(i32::try_from(id).unwrap()), Signal::SIGKILL);
    }
}

#[test]
fn time_without_agreement_ends_with_a_table_and_kept_logs() {
    let bench = Bench::new(Some(PATIENT));
    let (json, dir) = (bench.path("out.json"), bench.path("tmp/kept"));
    let options =
        ["--timeout", "3", "--json", json.to_str().unwrap(), "--dir", dir.to_str().unwrap()];
    let mut launcher = bench.launch(&options);
    assert_eq!(wait(&mut launcher).code(), Some(1), "{}", bench.output());
    let output = bench.output();
    assert!(
        output.contains("not agreed") && output.contains("first agreed weights never"),
        "{output}"
    );
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((&report["agreed"], &report["winner"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(report["validators"].as_array().unwrap().len(), 2);
    assert!(
        dir.join("logs/validator-1.log").is_file()
            && dir.join("wallets/validator-1/hotkeys/default").is_file()
    );
    bench.assert_no_processes();
}

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    let bench = Bench::new(None);
    let mut launcher = bench.launch(&[]);
    assert_eq!(wait(&mut launcher).code(), Some(1));
    assert!(
        bench.output().contains("cargo build --bins -p leoma -p leoma-testnet"),
        "{}",
        bench.output()
    );
    let bench = Bench::new(Some(PATIENT));
    let empty = bench.path("tmp");
    for (options, reason) in [
        (vec!["--corpus", empty.to_str().unwrap()], "holds no .mp4 file"),
        (vec!["--corpus", "/nonexistent"], "/nonexistent"),
        (vec!["--dir", "/proc/self"], "must be empty"),
    ] {
        let mut launcher = bench.launch(&options);
        assert_eq!(wait(&mut launcher).code(), Some(1), "{options:?}");
        assert!(bench.output().contains(reason), "{}", bench.output());
    }
}
