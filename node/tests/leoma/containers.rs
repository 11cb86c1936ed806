//! What containers rely on: the port and its health check, and the compose file.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// The program with these settings alone, in an empty folder.
fn leoma(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_leoma"));
    program.args(arguments).env_clear().current_dir(folder.path()).env("HOME", folder.path());
    program.envs(settings.iter().copied()).output().unwrap()
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// Answers every request with success, as long as the test runs.
fn a_server(listener: TcpListener) {
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _request = connection.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _gone = connection.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn j6_a_taken_port_is_named_with_its_setting_and_the_health_check_follows_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serve = leoma(&["serve"], &[("LEOMA_HTTP_LISTEN", &address)]);
    let said = String::from_utf8_lossy(&serve.stderr).into_owned();
    assert!(!serve.status.success());
    for part in [address.as_str(), "in use", "LEOMA_HTTP_LISTEN"] {
        assert!(said.contains(part), "{said}");
    }

    // As in the image, it listens on every address, but here at an unusual port.
    let listens = format!("0.0.0.0:{}", taken.local_addr().unwrap().port());
    a_server(taken);
    let health = leoma(&["health"], &[("LEOMA_HTTP_LISTEN", &listens)]);
    assert!(health.status.success(), "{health:?}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nobody = leoma(&["health"], &[("LEOMA_HTTP_LISTEN", &free)]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && said.contains("LEOMA_HTTP_LISTEN"), "{said}");
    assert!(file("Dockerfile").contains(r#"CMD ["leoma", "health"]"#));
    assert!(file("docker-compose.yml").contains(r#"test: ["CMD", "leoma", "health"]"#));
}

/// The lines of one service of the compose file, as names and values.
fn service(name: &str) -> Vec<(String, String)> {
    let compose = file("docker-compose.yml");
    let begin = format!("  {name}:");
    let lines = compose.lines().skip_while(|line| *line != begin).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let pairs = lines.filter_map(|line| line.trim().split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn j1_the_compose_file_updates_the_validator_with_a_watchtower_that_is_maintained() {
    let of = |service: &[(String, String)], name: &str| {
        service.iter().find(|(known, _)| known == name).unwrap().1.clone()
    };
    let (validator, watchtower) = (service("validator"), service("watchtower"));
    // Whoever comes from the Python implementation watches this name.
    assert_eq!(of(&validator, "container_name"), "leoma-validator");
    // containrrr's own speaks an API that Docker 29 refuses, and its image loops.
    assert_eq!(of(&watchtower, "image"), "nickfedor/watchtower");
    let command = of(&watchtower, "command");
    assert!(command.ends_with(" leoma-validator"), "{command}");
    let grace = of(&validator, "stop_grace_period");
    assert!(command.contains(&format!("--stop-timeout {grace} ")), "{command}");
    assert!(command.contains("--interval "), "{command}");
}

#[test]
fn j8_an_image_is_pinned_by_its_digest_through_one_variable() {
    let image = service("validator").into_iter().find(|(name, _)| name == "image").unwrap().1;
    assert!(image.starts_with("${LEOMA_IMAGE:-"), "{image}");
    let page = file("docs/operators/docker.md");
    let line = page.lines().find(|line| line.contains("LEOMA_IMAGE=")).unwrap();
    assert!(line.contains("@sha256:") && line.contains("up -d validator"), "{line}");
}

/// The checks of the image's entrypoint, which need root: `leoma serve` as the command, as the
/// Python implementation's compose file has it, is `serve`.
#[test]
fn c1_the_images_entrypoint_takes_the_command_of_the_python_compose_file() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/test-entrypoint.sh");
    let said = Command::new("bash").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    print!("{text}");
    assert!(said.status.success(), "{said:?}");
    assert!(
        text.starts_with("skipped: ") || text.contains("ok   serve alone is the same"),
        "{text}"
    );
    assert!(file("docker-compose.yml").contains("command: leoma serve"));
}
