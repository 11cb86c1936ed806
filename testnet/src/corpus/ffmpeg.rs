//! Runs the ffmpeg command with a deadline and a cap on what it may print.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// No single call here handles more than a minute of small video.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Largest output kept: thumbnails of an hour of video, or one generated clip many times over.
const OUTPUT_LIMIT: u64 = 256 << 20;
/// As much of ffmpeg's own words as an error shows.
const ERROR_TEXT_LIMIT: usize = 600;

/// Why ffmpeg gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FfmpegError {
    /// The program did not start.
    #[error("ffmpeg did not start (Debian and Ubuntu: `sudo apt-get install ffmpeg`): {0}")]
    Start(#[source] std::io::Error),
    /// It took longer than allowed.
    #[error("ffmpeg ran longer than {} s: {arguments}", TIME_LIMIT.as_secs())]
    TimeOut {
        /// What it was called with.
        arguments: String,
    },
    /// It ended with an error.
    #[error("ffmpeg failed ({arguments}): {message}")]
    Failed {
        /// What it was called with.
        arguments: String,
        /// Its last words.
        message: String,
    },
    /// Its output could not be read.
    #[error("ffmpeg's output could not be read: {0}")]
    Read(#[source] std::io::Error),
}

/// Runs ffmpeg with `arguments`, feeding it `input`, and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot start, fails, or exceeds the limits of this module.
pub async fn run(arguments: &[String], input: Vec<u8>) -> Result<Vec<u8>, FfmpegError> {
    let shown = || arguments.join(" ");
    tokio::time::timeout(TIME_LIMIT, run_unlimited(arguments, input))
        .await
        .unwrap_or_else(|_| Err(FfmpegError::TimeOut { arguments: shown() }))
}

async fn run_unlimited(arguments: &[String], input: Vec<u8>) -> Result<Vec<u8>, FfmpegError> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-hide_banner", "-y"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(FfmpegError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // ffmpeg may stop reading once it has the frame it wants: a broken pipe is no failure of ours.
            let _ = stdin.write_all(&input).await;
        }
    };
    let (mut output, mut words) = (Vec::new(), Vec::new());
    let read = async {
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_LIMIT).read_to_end(&mut output).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let listen = async {
        if let Some(stderr) = stderr {
            stderr.take(1 << 20).read_to_end(&mut words).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let ((), read, listened) = tokio::join!(feed, read, listen);
    read.and(listened).map_err(FfmpegError::Read)?;
    let status = child.wait().await.map_err(FfmpegError::Read)?;
    if status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&words);
    let message = words.trim().chars().take(ERROR_TEXT_LIMIT).collect();
    Err(FfmpegError::Failed { arguments: arguments.join(" "), message })
}
