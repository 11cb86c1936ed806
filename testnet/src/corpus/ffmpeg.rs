//! Runs the ffmpeg command with a deadline and a cap on what it may print.

use std::path::Path;
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
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum FfmpegError {
    /// The program did not start.
    #[error("ffmpeg did not start (Debian and Ubuntu: `sudo apt-get install ffmpeg`): {0}")]
    Start(#[source] std::io::Error),
    /// It took longer than allowed.
    #[error("ffmpeg ran longer than {} s: {arguments}", TIME_LIMIT.as_secs())]
    TimeOut { arguments: String },
    /// It ended with an error.
    #[error("ffmpeg failed ({arguments}): {message}")]
    Failed { arguments: String, message: String },
    /// Its output could not be read.
    #[error("ffmpeg's output could not be read: {0}")]
    Read(#[source] std::io::Error),
}

/// Frames per second of a video file, as numerator and denominator.
///
/// # Errors
/// When ffprobe cannot start or read it.
pub(crate) async fn frame_rate(path: &Path) -> Result<(u64, u64), FfmpegError> {
    let shown = path.display().to_string();
    let words = [
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=avg_frame_rate",
        "-of",
        "csv=p=0",
    ];
    let arguments: Vec<String> =
        words.into_iter().chain([shown.as_str()]).map(str::to_owned).collect();
    let text = String::from_utf8_lossy(&limited("ffprobe", &arguments, Vec::new()).await?)
        .trim()
        .to_owned();
    let rate = text
        .split_once('/')
        .and_then(|(rate, base)| Some((rate.parse().ok()?, base.parse().ok()?)));
    rate.filter(|&(rate, base): &(u64, u64)| rate > 0 && base > 0).ok_or_else(|| {
        FfmpegError::Failed {
            arguments: arguments.join(" "),
            message: format!("`{text}` is not a frame rate"),
        }
    })
}

/// Runs ffmpeg with `arguments`, feeding it `input`, and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot start, fails, or exceeds the limits of this module.
pub async fn run(arguments: &[String], input: Vec<u8>) -> Result<Vec<u8>, FfmpegError> {
    let quiet = ["-v", "error", "-hide_banner", "-y"].map(str::to_owned);
    limited("ffmpeg", &[&quiet, arguments].concat(), input).await
}

async fn limited(
    program: &str,
    arguments: &[String],
    input: Vec<u8>,
) -> Result<Vec<u8>, FfmpegError> {
    tokio::time::timeout(TIME_LIMIT, unlimited(program, arguments, input))
        .await
        .unwrap_or_else(|_| Err(FfmpegError::TimeOut { arguments: arguments.join(" ") }))
}

async fn unlimited(
    program: &str,
    arguments: &[String],
    input: Vec<u8>,
) -> Result<Vec<u8>, FfmpegError> {
    let mut child = Command::new(program)
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
            // ffmpeg may stop reading once it has the frame it wants: a broken pipe is no failure
            // of ours.
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
