//! Frames on a worker's standard input and output: two lengths, a JSON header, raw bytes.
//!
//! ```text
//! header length  u32, little-endian, 1 to 16 KiB
//! body length    u32, little-endian, 0 to the size of the largest video allowed
//! header         JSON
//! body           a video, or a result
//! ```
//!
//! A reader checks both lengths first, and allocates memory only as bytes arrive.

use crate::media::Limits;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest header: a fault with its reason is under a kilobyte.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 10;
/// Longest body.
pub(crate) const MAX_BODY_BYTES: usize = Limits::ANSWER.file_bytes;
/// Both lengths.
const PREFIX_BYTES: usize = 8;

/// Why a stream holds no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// It ended in the middle of a frame.
    #[error("the stream ends in the middle of a frame")]
    Cut,
    /// A length is out of bounds.
    #[error("a frame claims a header of {header} and a body of {body} bytes")]
    Lengths {
        /// Claimed length of the header.
        header: usize,
        /// Claimed length of the body.
        body: usize,
    },
    /// The header or the body cannot be parsed.
    #[error("a frame's content cannot be read: {reason}")]
    Content {
        /// The parser's message.
        reason: String,
    },
    /// The other side broke the protocol.
    #[error("unexpected frame: {reason}")]
    Unexpected {
        /// What it did.
        reason: String,
    },
    /// The stream failed.
    #[error("the stream failed")]
    Stream(#[source] io::Error),
}

impl From<io::Error> for FrameFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Cut } else { Self::Stream(error) }
    }
}

/// Lengths and header of a frame; the body follows them.
pub(crate) fn head(header: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, FrameFault> {
    let header = serde_json::to_vec(header).map_err(|error| content(&error))?;
    check(header.len(), body.len())?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len());
    // Both fit, as was checked.
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    Ok(bytes)
}

/// Writes a frame.
pub(crate) fn write(
    stream: &mut impl Write,
    header: &impl Serialize,
    body: &[u8],
) -> Result<(), FrameFault> {
    stream.write_all(&head(header, body)?)?;
    stream.write_all(body)?;
    Ok(stream.flush()?)
}

/// [`write()`] without blocking.
pub(crate) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    header: &impl Serialize,
    body: &[u8],
) -> Result<(), FrameFault> {
    stream.write_all(&head(header, body)?).await?;
    stream.write_all(body).await?;
    Ok(stream.flush().await?)
}

/// Reads a frame; `None` where the stream ends between frames.
pub(crate) fn read<T: DeserializeOwned>(
    stream: &mut impl Read,
) -> Result<Option<(T, Vec<u8>)>, FrameFault> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    stream.take(PREFIX_BYTES as u64).read_to_end(&mut prefix)?;
    let Some((header, body)) = lengths(&prefix)? else { return Ok(None) };
    let mut bytes = Vec::new();
    stream.take((header + body) as u64).read_to_end(&mut bytes)?;
    parts(bytes, header, body).map(Some)
}

/// [`read`] without blocking. Cancelling the call leaves the stream in the middle of a frame.
pub(crate) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<(T, Vec<u8>)>, FrameFault> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    (&mut *stream).take(PREFIX_BYTES as u64).read_to_end(&mut prefix).await?;
    let Some((header, body)) = lengths(&prefix)? else { return Ok(None) };
    let mut bytes = Vec::new();
    stream.take((header + body) as u64).read_to_end(&mut bytes).await?;
    parts(bytes, header, body).map(Some)
}

fn lengths(prefix: &[u8]) -> Result<Option<(usize, usize)>, FrameFault> {
    let ([header, body], []) = prefix.as_chunks::<4>() else {
        return if prefix.is_empty() { Ok(None) } else { Err(FrameFault::Cut) };
    };
    let (header, body) = (u32::from_le_bytes(*header) as usize, u32::from_le_bytes(*body) as usize);
    check(header, body)?;
    Ok(Some((header, body)))
}

fn check(header: usize, body: usize) -> Result<(), FrameFault> {
    let fits = (1..=MAX_HEADER_BYTES).contains(&header) && body <= MAX_BODY_BYTES;
    if fits { Ok(()) } else { Err(FrameFault::Lengths { header, body }) }
}

fn parts<T: DeserializeOwned>(
    mut bytes: Vec<u8>,
    header: usize,
    body: usize,
) -> Result<(T, Vec<u8>), FrameFault> {
    if bytes.len() != header + body {
        return Err(FrameFault::Cut);
    }
    let value = serde_json::from_slice(&bytes[..header]).map_err(|error| content(&error))?;
    bytes.drain(..header);
    Ok((value, bytes))
}

fn content(error: &serde_json::Error) -> FrameFault {
    FrameFault::Content { reason: error.to_string().chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(header: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &header, body).unwrap();
        bytes
    }

    fn read_all(mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, FrameFault> {
        let mut frames = Vec::new();
        while let Some(frame) = read(&mut bytes)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[tokio::test]
    async fn frames_come_back_as_they_were_from_either_reader() {
        let bytes = [framed("first", b"body"), framed("second", b"")].concat();
        let want = vec![("first".to_owned(), b"body".to_vec()), ("second".to_owned(), Vec::new())];
        assert_eq!(read_all(&bytes).unwrap(), want);
        let mut stream = &bytes[..];
        let mut got = Vec::new();
        while let Some(frame) = receive::<String>(&mut stream).await.unwrap() {
            got.push(frame);
        }
        assert_eq!(got, want);
        let mut sent = Vec::new();
        send(&mut sent, &"first", b"body").await.unwrap();
        assert_eq!(sent, framed("first", b"body"));
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_cut_wherever_it_ends() {
        let bytes = framed("header", b"body");
        assert!(read_all(&bytes[..0]).unwrap().is_empty());
        for end in 1..bytes.len() {
            assert!(matches!(read_all(&bytes[..end]), Err(FrameFault::Cut)), "{end}");
            assert!(
                matches!(receive::<String>(&mut &bytes[..end]).await, Err(FrameFault::Cut)),
                "{end}"
            );
        }
    }

    #[tokio::test]
    async fn lengths_past_the_limits_are_refused_before_anything_is_read() {
        let over = [
            (0, 0),
            (MAX_HEADER_BYTES as u32 + 1, 0),
            (5, MAX_BODY_BYTES as u32 + 1),
            (u32::MAX, u32::MAX),
        ];
        for (header, body) in over {
            let prefix = [header.to_le_bytes(), body.to_le_bytes()].concat();
            // An endless stream: reading on would never end.
            let mut endless = Read::chain(&prefix[..], io::repeat(b'"'));
            assert!(
                matches!(read::<String>(&mut endless), Err(FrameFault::Lengths { .. })),
                "{header} {body}"
            );
            let received = receive::<String>(&mut &prefix[..]).await;
            assert!(matches!(received, Err(FrameFault::Lengths { .. })), "{header} {body}");
        }
        let long = "x".repeat(MAX_HEADER_BYTES);
        assert!(matches!(head(&long, b""), Err(FrameFault::Lengths { .. })));
    }

    #[test]
    fn a_header_that_is_no_json_is_named_as_such() {
        let bytes =
            [4_u32.to_le_bytes().to_vec(), 0_u32.to_le_bytes().to_vec(), b"oops".to_vec()].concat();
        assert!(matches!(read_all(&bytes), Err(FrameFault::Content { .. })));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }
    }
}
