//! A GPU where there is none: Vulkan drawn by the CPU.

use burn_wgpu::WgpuDevice;
use std::process::Command;

/// Set in the process that a test runs in on lavapipe.
const HERE: &str = "LEOMA_TEST_ON_LAVAPIPE";

/// Runs `check` of the test named `test` on lavapipe, in a process of its own; where lavapipe is
/// missing it says so and does nothing.
///
/// CUDA runs the same kernels, compiled from the same source by another compiler.
pub(crate) fn on_lavapipe(test: &str, check: impl FnOnce(WgpuDevice)) {
    let drivers = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    let lavapipe = drivers
        .map(|driver| driver.path())
        .find(|path| path.to_string_lossy().contains("/lvp_icd"));
    let Some(lavapipe) = lavapipe else {
        println!("skipped: no lavapipe in /usr/share/vulkan/icd.d; install mesa-vulkan-drivers");
        return;
    };
    if std::env::var_os(HERE).is_some() {
        // Lavapipe is a CPU to wgpu.
        return check(WgpuDevice::Cpu);
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture", "--include-ignored"]).env(HERE, "1");
    // Whatever the machine's own GPU is.
    again.envs(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, &lavapipe)));
    // Unoptimised, the compiler of kernels recurses past the stack of its thread, whose size is
    // read at a program's start.
    again.env("RUST_MIN_STACK", "134217728");
    let output = again.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {}", output.status);
}
