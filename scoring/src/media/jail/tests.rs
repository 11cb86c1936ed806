use super::*;
use std::process::Stdio;

fn allowance(cpu: u64, wall: u64) -> Allowance {
    Allowance { cpu: Duration::from_secs(cpu), wall: Duration::from_secs(wall), file_bytes: 0 }
}

fn run_program(
    program: &Path,
    args: &[&str],
    allowance: Allowance,
) -> (Result<Ended, MediaFault>, Vec<u8>) {
    let input = sealed_file(b"input").unwrap();
    let mut seen = Vec::new();
    let mut sink = |bytes: &[u8]| {
        seen.extend_from_slice(bytes);
        if seen.len() > 1 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = run(program, args, &input, Output::Pipe(&mut sink), allowance);
    (ended, seen)
}

/// A script of the shell's own words: it cannot start any program.
fn shell(script: &str, allowance: Allowance) -> (Result<Ended, MediaFault>, Vec<u8>) {
    run_program(Path::new("/bin/sh"), &["-c", script], allowance)
}

#[test]
fn input_arrives_and_output_returns() {
    let script = "read a; read b < /proc/self/fd/0; echo $a$b";
    let (ended, seen) = shell(script, allowance(5, 20));
    assert!(matches!(ended, Ok(Ended::Success)), "{ended:?}");
    assert_eq!(seen, b"inputinput\n");
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
    let (ended, _) = run_program(Path::new("/bin/sleep"), &["60"], allowance(5, 1));
    assert!(matches!(ended, Err(MediaFault::Stalled { seconds: 1 })), "{ended:?}");
}

#[test]
fn the_child_sees_no_environment_writes_no_file_and_reports_its_complaint() {
    let (ended, seen) = shell("test -z \"$HOME\" && echo empty", allowance(5, 20));
    assert!(matches!(ended, Ok(Ended::Success)), "{ended:?}");
    assert_eq!(seen, b"empty\n");
    let folder = tempfile::tempdir().unwrap();
    let script = format!("trap '' XFSZ; echo x > {}/f && exit 0; exit 3", folder.path().display());
    let (ended, _) = shell(&script, allowance(5, 20));
    assert!(matches!(ended, Ok(Ended::Failure { .. })), "{ended:?}");
    let (ended, _) = shell("echo broken >&2; exit 4", allowance(5, 20));
    assert!(
        matches!(ended, Ok(Ended::Failure { ref complaint }) if complaint == "broken"),
        "{ended:?}"
    );
}

/// A decoder that is taken over: tries what an attacker would try, and says how each went. Run by
/// the test below only, and given its targets as names of tests that match nothing.
#[test]
#[ignore = "the stand-in of another test"]
fn decoder_stand_in() {
    let target = |name: &str| {
        let prefix = format!("{name}=");
        std::env::args().find_map(|arg| arg.strip_prefix(&prefix).map(str::to_owned))
    };
    let (Some(wallet), Some(parent)) = (target("wallet"), target("parent")) else {
        println!("skipped: this is not a test of its own");
        return;
    };
    let say = |what: &str, got: bool| println!("{what}: {}", if got { "GOT" } else { "nothing" });
    say("open of the wallet", std::fs::read(&wallet).is_ok());
    say(
        "open of the parent's environment",
        std::fs::read(format!("/proc/{parent}/environ")).is_ok(),
    );
    say("open of the parent's memory", File::open(format!("/proc/{parent}/mem")).is_ok());
    say("list of the root folder", std::fs::read_dir("/").is_ok());
    say("TCP socket", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    say("UDP socket", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    say("local socket", std::os::unix::net::UnixDatagram::unbound().is_ok());
    say("program", Command::new("/bin/sh").args(["-c", ":"]).status().is_ok());
    let parent: i32 = parent.parse().unwrap();
    let call = |number, first: i64, second: i64| {
        // SAFETY: none of these calls reads or writes memory of this process with these arguments.
        unsafe { nix::libc::syscall(number, first, second, 0_i64, 0_i64, 0_i64) != -1 }
    };
    // Unlike an attachment, this does not stop the other process.
    let seize = i64::from(nix::libc::PTRACE_SEIZE as i32);
    say("ptrace", call(nix::libc::SYS_ptrace, seize, parent.into()));
    say("process_vm_readv", call(nix::libc::SYS_process_vm_readv, parent.into(), 0));
    say("signal to the parent", call(nix::libc::SYS_kill, parent.into(), 0));
    // Whoever owns a file is sent its signals; 0 stands for nobody.
    say("owner of a file", call(nix::libc::SYS_fcntl, 0, nix::libc::F_SETOWN.into()));
    say("key ring", call(nix::libc::SYS_keyctl, 0, -1));
    say("bpf", call(nix::libc::SYS_bpf, 0, 0));
    say("user namespace", call(nix::libc::SYS_unshare, nix::libc::CLONE_NEWUSER.into(), 0));
    // SAFETY: the child does nothing but end.
    let forked = unsafe { nix::libc::fork() };
    if forked == 0 {
        // SAFETY: as above.
        unsafe { nix::libc::_exit(0) };
    }
    say("fork", forked > 0);
    println!("stand-in: done");
}

#[test]
fn j5_a_decoder_that_is_taken_over_gets_nothing() {
    let walls = Walls::standing();
    if walls.files.is_err() || walls.system_calls.is_err() {
        println!("skipped: this machine lacks walls: {}", walls.missing().join("; "));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wallet = folder.path().join("default");
    std::fs::write(&wallet, "{\"secretPhrase\": \"…\"}").unwrap();
    let stand_in = std::env::current_exe().unwrap();
    let targets =
        [format!("wallet={}", wallet.display()), format!("parent={}", std::process::id())];
    let args = ["--ignored", "--nocapture", "--test-threads=1", "decoder_stand_in"];
    let args: Vec<&str> = args.into_iter().chain(targets.iter().map(String::as_str)).collect();
    // Unconfined, it gets what it wants: the attempts are real.
    let free = Command::new(&stand_in).args(&args).stdin(Stdio::null()).output().unwrap();
    let free = String::from_utf8_lossy(&free.stdout).into_owned();
    for what in [
        "open of the wallet",
        "open of the parent's environment",
        "UDP socket",
        "owner of a file",
        "fork",
    ] {
        assert!(free.contains(&format!("{what}: GOT")), "{what}: {free}");
    }
    let (ended, seen) = run_program(&stand_in, &args, allowance(20, 60));
    let said = String::from_utf8_lossy(&seen);
    assert!(said.contains("stand-in: done"), "{said} {ended:?}");
    let got: Vec<&str> = said.lines().filter(|line| line.ends_with("GOT")).collect();
    assert!(got.is_empty(), "{got:?}");
    assert_eq!(said.lines().filter(|line| line.ends_with(": nothing")).count(), 16, "{said}");
}

/// As the kernel does it where memory runs out.
#[test]
fn a_decoder_that_is_killed_is_our_fault_and_not_the_inputs() {
    let input = sealed_file(b"").unwrap();
    let args = ["-c", "while :; do echo; done"];
    let program = Path::new("/bin/sh");
    let mut seen = |_: &[u8]| ControlFlow::Continue(());
    let output = Output::Pipe(&mut seen);
    let mut child = start(program, &args, &input, &output, allowance(20, 60)).unwrap();
    child.kill().unwrap();
    let exit = Exit::wait(&mut child, Instant::now() + Duration::from_secs(20)).unwrap().unwrap();
    let meaning = exit.meaning(b"", Duration::from_secs(20));
    assert!(matches!(meaning, Err(MediaFault::Killed { signal: "SIGKILL" })), "{meaning:?}");
}

#[test]
fn the_walls_are_named_with_the_reasons_of_those_that_are_missing() {
    let refused = Err("Operation not permitted (os error 1)".to_owned());
    let walls = Walls { files: Ok(()), system_calls: Ok(()), network: refused };
    assert_eq!(walls.to_string(), "files (Landlock), system calls (seccomp)");
    assert_eq!(walls.missing(), ["network (namespace): Operation not permitted (os error 1)"]);
}
