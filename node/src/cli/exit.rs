//! `leoma exit`: stops the validator of this machine, at a moment when a stop costs nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::output::print_json;
use super::running::{Running, RunningFlags};

/// How often the validator is asked.
const ASK_EVERY: Duration = Duration::from_secs(6);
/// Longest time that the validator may take to end after its signal: its loops have 20 s.
const END_WITHIN: Duration = Duration::from_secs(40);

const EXAMPLES: &str = "\
Examples:
  What would a stop interrupt now?
    leoma exit --dry-run
  Update a service of systemd:
    leoma exit --when-safe --within 3600 && sudo systemctl start leoma
  Update a container:
    docker compose pull && docker exec leoma-validator leoma exit --when-safe --wait-only \\
      && docker compose up -d";

/// Stop the validator of this machine, at once or when no work would be lost.
///
/// Needs a running validator, which it finds by the same settings as `leoma serve`. It must run
/// under the same user, or in the same container.
///
/// With --when-safe it waits for a moment when no work would be lost: it is not our turn and will
/// not be soon, every signed file is published, and the newest epoch's weights are set. It prints
/// what it waits for. Use it before an update.
///
/// Docker starts a container again whenever its process ends. So in a container use --wait-only,
/// which waits for that moment and stops nothing, and let Docker replace the container then.
///
/// After a stop at any other moment the task in hand is left to the next validator; nothing else is
/// lost, and nothing is signed twice.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ExitArgs {
    #[command(flatten)]
    running: RunningFlags,
    /// Wait until no work would be lost.
    #[arg(long)]
    when_safe: bool,
    /// Only wait: when no work would be lost, end with exit code 0 and leave the validator
    /// running.
    #[arg(long, requires = "when_safe")]
    wait_only: bool,
    /// Give up after so many seconds, and leave the validator running.
    #[arg(long, value_name = "SECONDS", requires = "when_safe")]
    within: Option<u64>,
    /// Only say what a stop would interrupt now; the exit code is 1 if something.
    #[arg(long, conflicts_with = "when_safe")]
    dry_run: bool,
    /// Print JSON: whether the validator was stopped, and what a stop interrupts.
    #[arg(long)]
    json: bool,
}

impl ExitArgs {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let running = self.running.find(file)?;
        let mut status = running.json("status").await?;
        if self.when_safe {
            status = self.wait(&running, status).await?;
        }
        let obstacle = obstacle(&status);
        let stops = !self.dry_run && !self.wait_only;
        if stops {
            stop(&status).await?;
        }
        if self.json {
            print_json(&json!({ "stopped": stops, "obstacle": obstacle }))?;
        }
        match obstacle.filter(|_| !stops) {
            Some(obstacle) => bail!("{obstacle}"),
            None if self.json => {}
            None if stops => println!("stopped"),
            None => println!("a stop would interrupt nothing"),
        }
        Ok(())
    }

    async fn wait(&self, running: &Running, mut status: Value) -> anyhow::Result<Value> {
        let begun = Instant::now();
        let mut said = String::new();
        while let Some(obstacle) = obstacle(&status) {
            if said != obstacle {
                eprintln!("waiting: {obstacle}");
                said = obstacle;
            }
            if self.within.is_some_and(|within| begun.elapsed().as_secs() >= within) {
                bail!(
                    "it still runs, and was not stopped: {said}; give it more time with --within"
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
            status = running.json("status").await?;
        }
        Ok(status)
    }
}

/// What a stop would interrupt.
fn obstacle(status: &Value) -> Option<String> {
    let stop = &status["stop"];
    if stop["safe"] == Value::Bool(true) {
        return None;
    }
    Some(
        stop["obstacle"]
            .as_str()
            .unwrap_or("the validator does not say whether it is safe")
            .to_owned(),
    )
}

/// Sends SIGTERM to the process that the validator names, and waits for its end.
#[cfg(unix)]
async fn stop(status: &Value) -> anyhow::Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let number = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let number = number.filter(|pid| *pid > 1 || std::process::id() != 1);
    let number = number.context("the validator does not name its process")?;
    // In another container this number names another process, or none.
    let name = std::fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    if name.trim() != "leoma" {
        bail!(
            "process {number} of this machine is not a validator: does it run in a container? use `docker exec` or `docker stop`"
        );
    }
    let pid = Pid::from_raw(number);
    kill(pid, Signal::SIGTERM).with_context(|| format!("process {number} cannot be stopped"))?;
    let begun = Instant::now();
    while kill(pid, None).is_ok() {
        if begun.elapsed() > END_WITHIN {
            bail!(
                "process {number} got SIGTERM and has not ended yet: its log says why, and a second SIGTERM ends it at once"
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop(_: &Value) -> anyhow::Result<()> {
    bail!("end the process by hand: this system has no SIGTERM")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ExitArgs,
    }

    #[tokio::test]
    async fn wait_only_ends_well_and_stops_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            // It names no process: a stop fails.
            let body = r#"{"stop": {"safe": true, "obstacle": null}}"#;
            let head = format!("connection: close\r\ncontent-length: {}", body.len());
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let parsed = |flags: &str| {
            let line = format!("exit --http {address} {flags}");
            Line::try_parse_from(line.split_whitespace())
        };
        parsed("--when-safe --wait-only").unwrap().args.run(None).await.unwrap();
        assert!(parsed("--when-safe").unwrap().args.run(None).await.is_err());
        assert!(parsed("--wait-only").is_err());
        for safe in ["--dry-run --json", "--when-safe --wait-only --json"] {
            parsed(safe).unwrap().args.run(None).await.unwrap();
        }
    }
}
