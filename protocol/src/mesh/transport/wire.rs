//! The request-response protocols: one request and one answer on a stream, each with a size limit.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};

use crate::codec::{CodecError, Decode, Encode, Wire, wire};
use crate::verdict::MAX_FILE_BYTES;
use crate::{Digest, FileId, MAX_GRANT_BYTES};

/// Sends a hello; the answer is a hello or a refusal.
pub const HELLO_PROTOCOL: &str = "/leoma/hello/1";
/// Sends a grant.
pub const GRANT_PROTOCOL: &str = "/leoma/grant/1";
/// Asks for a verdict file.
pub const VERDICT_PROTOCOL: &str = "/leoma/verdict/1";
/// Asks for a catch-up page.
pub const CATCHUP_PROTOCOL: &str = "/leoma/catchup/1";

/// Time for a small request: three round trips on a bad intercontinental link.
pub(in crate::mesh) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for up to 4 MiB, at no less than half a megabit per second.
pub(in crate::mesh) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
/// Streams of one protocol on one connection: one request and one retry in each direction. Pages
/// are asked for one by one.
pub(in crate::mesh) const STREAMS: usize = 4;
/// Streams that carry grants: one in each direction, because strangers may try to fill them.
pub(in crate::mesh) const GRANT_STREAMS: usize = 2;
/// Streams that carry files: a validator fetches eight at a time and serves as many.
pub(in crate::mesh) const FILE_STREAMS: usize = 16;
/// Bytes that are written at once: what waits in a connection for a peer that does not read.
const CHUNK_BYTES: usize = 16 * 1024;

/// A grant on the wire. `Debug` shows its length alone.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct GrantOffer(pub Vec<u8>);
wire!(GrantOffer, MAX_GRANT_BYTES + 16);

impl fmt::Debug for GrantOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantOffer({} bytes)", self.0.len())
    }
}

/// Whether a grant was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GrantAnswer {
    /// Whether it was accepted.
    pub taken: bool,
}
wire!(GrantAnswer, 16);

/// Asks for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VerdictRequest {
    /// Which.
    pub file: FileId,
    /// Its digest.
    pub digest: Digest,
}
wire!(VerdictRequest, 128);

/// The file, if the peer holds it. It is shared, so that a file takes its size in memory once,
/// however many peers are reading it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VerdictAnswer(pub Option<Arc<Vec<u8>>>);
wire!(VerdictAnswer, MAX_FILE_BYTES + 16);

/// A catch-up page; `None` refuses.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PageAnswer(pub Option<crate::mesh::core::CatchupPage>);
wire!(PageAnswer, crate::mesh::core::limits::MAX_PAGE_BYTES + 16);

/// A request that is too long or cannot be decoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::mesh) struct Unreadable;

/// Reads and writes [`Wire`] values until the end of the stream. The shell blames the peer for a
/// value that is too long or cannot be decoded. Such an answer fails with
/// [`io::ErrorKind::InvalidData`]. Such a request arrives as [`Unreadable`], because libp2p does
/// not report requests that failed to decode.
pub(in crate::mesh) struct WireCodec<Request, Response>(PhantomData<fn() -> (Request, Response)>);

impl<Request, Response> Clone for WireCodec<Request, Response> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<Request: Sent + Send, Response: Sent + Send> request_response::Codec
    for WireCodec<Request, Response>
{
    type Protocol = StreamProtocol;
    type Request = Result<Request, Unreadable>;
    type Response = Response;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Result<Request, Unreadable>> {
        match read(io).await {
            Ok(request) => Ok(Ok(request)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(Unreadable)),
            // This includes a newer release's encoding: the stream ends, and nobody is blamed.
            Err(error) => Err(error),
        }
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Response> {
        read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Result<Request, Unreadable>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match request {
            Ok(request) => write(io, request).await,
            Err(Unreadable) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, response).await
    }
}

/// An encoding: its beginning, and the rest if that is shared with other streams.
pub(in crate::mesh) type Parts = (Vec<u8>, Option<Arc<Vec<u8>>>);

/// What a stream carries, as it is kept while a slow peer reads it.
pub(in crate::mesh) trait Sent: Wire {
    /// The encoding.
    fn parts(self) -> Result<Parts, CodecError> {
        Ok((self.to_wire()?, None))
    }
}

impl Sent for crate::hello::Hello {}
impl Sent for crate::hello::HelloAnswer {}
impl Sent for GrantOffer {}
impl Sent for GrantAnswer {}
impl Sent for VerdictRequest {}
impl Sent for crate::mesh::core::CatchupRequest {}
impl Sent for PageAnswer {}

impl Sent for VerdictAnswer {
    fn parts(self) -> Result<Parts, CodecError> {
        match self.0 {
            Some(file) if file.len() <= MAX_FILE_BYTES => {
                // An empty file's encoding ends with its length, so only the bytes themselves have
                // to follow.
                let mut head = Self(Some(Arc::default())).to_wire()?;
                let length = head.len() - size_of::<u64>();
                head.truncate(length);
                head.extend((file.len() as u64).to_le_bytes());
                Ok((head, Some(file)))
            }
            other => Ok((Self(other).to_wire()?, None)),
        }
    }
}

async fn read<V: Wire>(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<V> {
    // The buffer grows as bytes arrive. No memory is reserved for an announced length.
    let mut bytes = Vec::new();
    io.take(V::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    V::from_wire(&bytes).map_err(|error| {
        let kind = if error.is_from_a_newer_release() {
            io::ErrorKind::Unsupported
        } else {
            io::ErrorKind::InvalidData
        };
        io::Error::new(kind, error)
    })
}

async fn write<V: Sent>(io: &mut (impl AsyncWrite + Unpin + Send), value: V) -> io::Result<()> {
    // The value itself is dropped before the first byte is sent.
    let (head, rest) =
        value.parts().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    for chunk in
        head.chunks(CHUNK_BYTES).chain(rest.iter().flat_map(|rest| rest.chunks(CHUNK_BYTES)))
    {
        io.write_all(chunk).await?;
    }
    Ok(())
}

/// The libp2p behaviour of one protocol.
pub(in crate::mesh) type Exchange<Request, Response> =
    request_response::Behaviour<WireCodec<Request, Response>>;

pub(in crate::mesh) fn exchange<Request, Response>(
    protocol: &'static str,
    timeout: Duration,
    streams: usize,
) -> Exchange<Request, Response>
where
    Request: Sent + Send + 'static,
    Response: Sent + Send + 'static,
{
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(streams);
    let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
    request_response::Behaviour::with_codec(WireCodec(PhantomData), protocols, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_limit() {
        futures::executor::block_on(async {
            let long = [1; GrantAnswer::MAX_BYTES + 100];
            let mut io = &long[..];
            let error = read::<GrantAnswer>(&mut io).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(io.len(), 99, "one byte beyond the limit was read");
        });
    }

    #[test]
    fn a_shared_file_is_written_as_any_other_value() {
        for answer in [None, Some(vec![]), Some(vec![7; 100]), Some(vec![1; 3 * CHUNK_BYTES + 1])] {
            let answer = || VerdictAnswer(answer.clone().map(Arc::new));
            let mut written = Vec::new();
            futures::executor::block_on(write(&mut written, answer())).unwrap();
            assert_eq!(written, answer().to_wire().unwrap());
        }
        let too_long = VerdictAnswer(Some(Arc::new(vec![0; VerdictAnswer::MAX_BYTES])));
        assert!(futures::executor::block_on(write(&mut Vec::new(), too_long)).is_err());
    }

    #[test]
    fn the_largest_file_and_grant_fit() {
        assert!(VerdictAnswer(Some(Arc::new(vec![0; MAX_FILE_BYTES]))).to_wire().is_ok());
        assert!(GrantOffer(vec![0; MAX_GRANT_BYTES]).to_wire().is_ok());
        assert!(!format!("{:?}", GrantOffer(b"secret".to_vec())).contains("115"));
    }
}
