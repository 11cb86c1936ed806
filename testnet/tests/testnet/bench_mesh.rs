//! The mesh's measuring tool, on a small mesh: what it measures is there, whatever this machine's
//! figures are.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_small_mesh_is_measured() {
    let arguments = "bench-mesh --json --validators 4 --announcements 8 --certificates 3 \
                     --pause 20 --settle 1 --idle 1";
    let output = Command::new(env!("CARGO_BIN_EXE_leoma-testnet"))
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}\n{err}"));
    assert_eq!(output.status.success(), report["met"] == true, "{report}");
    let value = |name: &str| {
        let figures = report["figures"].as_array().unwrap();
        let figure = figures
            .iter()
            .find(|figure| figure["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {report}"));
        figure["value"].as_f64().unwrap_or_else(|| panic!("{name} was not measured: {report}"))
    };
    let (p50, p99) = (
        value("announcement to the last of all peers, p50"),
        value("announcement to the last of all peers, p99"),
    );
    assert!(0.0 < p50 && p50 <= p99, "{report}");
    assert!(value("announcement to a peer, p50") <= p50, "{report}");
    assert!(value("announcement to certificate at all, p99") > 0.0, "{report}");
    assert!(value("idle: resident memory of the largest validator") > 1.0, "{report}");
    // Six links, whichever transport each end came to use first.
    let ends = |name: &str| report["run"][name].as_u64().unwrap();
    assert_eq!(ends("link_ends_tcp") + ends("link_ends_quic"), 12);
    let message = report["run"]["announcement_bytes"].as_u64().unwrap();
    assert!((100..=256).contains(&message), "{report}");
}
