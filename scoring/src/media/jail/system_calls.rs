//! The wall around system calls: seccomp, which needs no privilege.
//!
//! What a decoder needs is listed, and everything else looks as if the kernel did not have it:
//! sockets, `ptrace`, `process_vm_readv`, new processes, other programs, keys, `bpf`, mounts,
//! `io_uring`. Libraries then take their older ways.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Calls without conditions.
const ALLOWED: &[libc::c_long] = &[
    // The open files, and the files that the other wall allows.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_ftruncate,
    libc::SYS_fadvise64,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads and time.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Facts about itself, and its own signals.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];
/// The older calls of x86-64, which newer machines never had.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_arch_prctl,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];
/// What may be asked of an open file by `fcntl`. `F_SETOWN` and `F_SETSIG` would have the kernel
/// send any signal to any process of this user, which Landlock stops from Linux 6.12 on only.
const FILE_COMMANDS: [libc::c_int; 5] =
    [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL];
/// Whether standard output is a terminal.
const TERMINAL_SETTINGS: u64 = 0x5401;

/// The addresses that the first and only `execve` is called with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution {
    pub(super) program: u64,
    pub(super) arguments: u64,
    pub(super) environment: u64,
}

/// The filter of a child that runs one program.
///
/// # Errors
/// There is no filter for this processor; the text says so.
pub(super) fn filter(execution: Execution) -> Result<BpfProgram, String> {
    let words = |error: seccompiler::BackendError| error.to_string();
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(words)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    for (call, conditions) in conditional(execution).map_err(words)? {
        // Any one of a call's rules allows it.
        rules.entry(call).or_default().push(SeccompRule::new(conditions).map_err(words)?);
    }
    // As if the kernel were too old to have the call: libraries know what to do then.
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new(rules, unknown, SeccompAction::Allow, arch).map_err(words)?;
    filter.try_into().map_err(words)
}

/// Calls that are allowed with some arguments only.
fn conditional(
    execution: Execution,
) -> Result<Vec<(i64, Vec<SeccompCondition>)>, seccompiler::BackendError> {
    let equals = |index, value| SeccompCondition::new(index, Length::Qword, Is::Eq, value);
    let thread = libc::CLONE_THREAD as u64;
    let is_thread = SeccompCondition::new(0, Length::Qword, Is::MaskedEq(thread), thread)?;
    let called = [execution.program, execution.arguments, execution.environment];
    let called = (0_u8..).zip(called).map(|(index, value)| equals(index, value));
    let file_command = |command: libc::c_int| {
        SeccompCondition::new(1, Length::Dword, Is::Eq, u64::from(command.unsigned_abs()))
    };
    let signals = libc::O_ASYNC as u64;
    let without_signals = SeccompCondition::new(2, Length::Dword, Is::MaskedEq(signals), 0)?;
    let mut calls: Vec<(i64, Vec<SeccompCondition>)> = vec![
        // A thread and no process. `clone3` hides its flags from filters, so it is refused.
        (libc::SYS_clone, vec![is_thread]),
        // The addresses are good for the program that is started. Landlock keeps any other one out
        // should it come to map memory there.
        (libc::SYS_execve, called.collect::<Result<_, _>>()?),
        (libc::SYS_prctl, vec![equals(0, libc::PR_SET_NAME as u64)?]),
        // Its own limits only.
        (libc::SYS_prlimit64, vec![equals(0, 0)?]),
        (libc::SYS_ioctl, vec![equals(1, TERMINAL_SETTINGS)?]),
        (libc::SYS_fcntl, vec![file_command(libc::F_SETFL)?, without_signals]),
    ];
    for command in FILE_COMMANDS {
        calls.push((libc::SYS_fcntl, vec![file_command(command)?]));
    }
    Ok(calls)
}
