//! A GPU where there is none: Vulkan drawn by the CPU.

use burn_wgpu::WgpuDevice;

/// Bytes of a new thread's stack, to Rust's runtime.
const STACK: &str = "RUST_MIN_STACK";

/// Runs `check` of the test named `test` on lavapipe, in a process of its own; where lavapipe is missing it says so and
/// does nothing.
///
/// CUDA runs the same kernels, compiled from the same source by another compiler.
pub fn on_lavapipe(test: &str, check: impl FnOnce(WgpuDevice)) {
    let mut drivers = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    if !drivers.any(|driver| driver.file_name().to_string_lossy().starts_with("lvp_icd")) {
        println!("skipped: no lavapipe in /usr/share/vulkan/icd.d; install mesa-vulkan-drivers");
        return;
    }
    // Unoptimised, the compiler of kernels recurses past the stack of its thread, whose size is read at a program's start.
    if std::env::var_os(STACK).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let status =
            again.args(["--exact", test, "--nocapture", "--include-ignored"]).env(STACK, "134217728").status().unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    // What wgpu calls a CPU.
    check(WgpuDevice::Cpu);
}
