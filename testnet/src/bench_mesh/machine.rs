//! The machine that figures were measured on.

use serde::Serialize;

/// The machine, without which a figure means little.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// The processor's name.
    cpu: String,
    /// Logical cores that this process may use.
    cores: usize,
    /// Memory in MiB.
    memory_mib: u64,
    /// Operating system and its version.
    kernel: String,
    /// Processes that were running or waiting to before anything was started, as a mean over a
    /// minute: more than a fraction of the cores means that the figures were measured on a busy
    /// machine.
    load_before: f64,
}

impl Machine {
    pub(super) fn look() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |path: &str, name: &str| {
            let text = text(path);
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024,
            kernel: text("/proc/version").split(" (").next().unwrap_or_default().to_owned(),
            load_before: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_mib, kernel, load_before } = self;
        write!(f, "{cpu}, {cores} cores, {memory_mib} MiB, {kernel}, load {load_before} before")
    }
}
