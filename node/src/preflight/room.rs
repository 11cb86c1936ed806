//! Checks of the room that tasks need: disk, memory, and the device that scores.

use leoma_scoring::Device;

use super::check::Check;
use super::limit::in_words;
use crate::config::Config;
use crate::disk::free_bytes;

const DISK: &str = "disk";
const MEMORY: &str = "memory";
const DEVICE: &str = "device";
const GIB: u64 = 1 << 30;
/// A task's answers lie in the state folder until they are published; each may have 64 MiB.
const LEAST_DISK: u64 = 10 * GIB;
/// A scoring process needs up to 0.6 GiB, ffmpeg as much again, and the validator a few hundred
/// MiB.
const LEAST_MEMORY: u64 = 2 * GIB;

/// Whether the state folder's disk has room for tasks.
pub(super) fn disk(config: &Config) -> Check {
    let folder = &config.machine.state_dir;
    match free_bytes(folder) {
        Some(free) if free >= LEAST_DISK => {
            Check::pass(DISK, format!("{} free for {}", gib(free), folder.display()))
        }
        Some(free) => Check::warn(
            DISK,
            format!(
                "{} free for {}, and a task's answers may take {}",
                gib(free),
                folder.display(),
                gib(LEAST_DISK)
            ),
            "free space, or set LEOMA_STATE_DIR to a folder on a larger disk",
        ),
        None => Check::warn(
            DISK,
            format!("the free space of {} cannot be read", folder.display()),
            "make sure that tasks have 10 GiB there",
        ),
    }
}

/// Whether there is memory for the scoring processes.
pub(super) fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    of_memory(available(&text), limits.filter_map(|limit| limit.trim().parse().ok()).min())
}

/// `MemAvailable` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn of_memory(available: Option<u64>, limit: Option<u64>) -> Check {
    let next_step =
        "give the validator more memory, or run `leoma servers validator`, which scores nothing";
    match available.into_iter().chain(limit).min() {
        Some(bytes) if bytes >= LEAST_MEMORY => Check::pass(MEMORY, format!("{} free", gib(bytes))),
        Some(bytes) => {
            let finding = format!("{} free, and scoring needs {}", gib(bytes), gib(LEAST_MEMORY));
            Check::warn(MEMORY, finding, next_step)
        }
        None => Check::warn(MEMORY, "the free memory cannot be read", next_step),
    }
}

/// Whether the device that was asked for is there. The start tests whether it computes correctly.
pub(super) async fn device(config: &Config) -> Check {
    let choice = config.judging.device;
    let listed = tokio::task::spawn_blocking(move || Device::list(choice)).await;
    match listed.map_err(in_words).and_then(|found| found.map_err(in_words)) {
        Ok(devices) => {
            let names: Vec<String> = devices.iter().map(ToString::to_string).collect();
            Check::pass(DEVICE, names.join(", "))
        }
        Err(error) => Check::fail(
            DEVICE,
            error,
            "see the page about GPUs (docs/operators/gpu.md), or set LEOMA_DEVICE=cpu",
        ),
    }
}

fn gib(bytes: u64) -> String {
    format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;

    #[test]
    fn the_smaller_of_free_memory_and_a_containers_limit_counts() {
        let meminfo = "MemTotal:       25276502 kB\nMemAvailable:    4194304 kB\n";
        assert_eq!(available(meminfo), Some(4 * GIB));
        assert_eq!(of_memory(Some(4 * GIB), None).outcome, Pass);
        // What a system without a limit says.
        assert_eq!(of_memory(Some(4 * GIB), Some(i64::MAX as u64)).outcome, Pass);
        let tight = of_memory(Some(4 * GIB), Some(GIB + GIB / 2));
        assert_eq!((tight.outcome, tight.finding.starts_with("1.5 GiB free")), (Warn, true));
        assert_eq!(of_memory(None, None).outcome, Warn);
    }
}
