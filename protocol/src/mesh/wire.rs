//! The request-response protocols: one request and one answer, each with its size limit, on a stream of their own.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};

use super::core::limits::MAX_GRANT_BYTES;
use crate::codec::{Decode, Encode, Wire, wire};
use crate::verdict::MAX_FILE_BYTES;
use crate::{Digest, FileId};

/// Hands over a hello, is answered with a hello or a refusal.
pub const HELLO_PROTOCOL: &str = "/leoma/hello/1";
/// Hands over a grant.
pub const GRANT_PROTOCOL: &str = "/leoma/grant/1";
/// Asks for a verdict file.
pub const VERDICT_PROTOCOL: &str = "/leoma/verdict/1";
/// Asks for a catch-up page.
pub const CATCHUP_PROTOCOL: &str = "/leoma/catchup/1";

/// Time for a small request: three round trips of a bad intercontinental link.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for up to 4 MiB, at no less than half a megabit per second.
pub(super) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
/// Streams of one small protocol on one connection: a request under way in each direction, and one retried in each.
pub(super) const SMALL_STREAMS: usize = 4;
/// Streams that carry files or pages, on one connection.
pub(super) const TRANSFER_STREAMS: usize = 4;

/// A grant on the wire. `Debug` shows nothing of it.
#[derive(Encode, Decode)]
pub(super) struct GrantOffer(pub(super) Vec<u8>);
wire!(GrantOffer, MAX_GRANT_BYTES + 16);

impl fmt::Debug for GrantOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantOffer({} bytes)", self.0.len())
    }
}

/// Whether a grant was taken.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(super) struct GrantAnswer {
    pub(super) taken: bool,
}
wire!(GrantAnswer, 16);

/// Asks for a file.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(super) struct VerdictRequest {
    pub(super) file: FileId,
    pub(super) digest: Digest,
}
wire!(VerdictRequest, 128);

/// The file, if the peer holds it.
#[derive(Debug, Encode, Decode)]
pub(super) struct VerdictAnswer(pub(super) Option<Vec<u8>>);
wire!(VerdictAnswer, MAX_FILE_BYTES + 16);

/// A catch-up page, unless refused.
#[derive(Debug, Encode, Decode)]
pub(super) struct PageAnswer(pub(super) Option<super::core::CatchupPage>);
wire!(PageAnswer, super::core::limits::MAX_PAGE_BYTES + 16);

/// Reads and writes [`Wire`] values until the end of the stream. What is too long is refused while it is read, what
/// cannot be decoded afterwards; both as [`io::ErrorKind::InvalidData`], which the shell holds against the peer.
pub(super) struct WireCodec<Request, Response>(PhantomData<fn() -> (Request, Response)>);

impl<Request, Response> Clone for WireCodec<Request, Response> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<Request: Wire + Send, Response: Wire + Send> request_response::Codec for WireCodec<Request, Response> {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Request> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Response> {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Response) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, response).await
    }
}

async fn read<V: Wire>(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<V> {
    // Grows as bytes arrive: nothing is set aside for what was merely announced.
    let mut bytes = Vec::new();
    io.take(V::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    V::from_wire(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write<V: Wire>(io: &mut (impl AsyncWrite + Unpin + Send), value: V) -> io::Result<()> {
    let bytes = value.to_wire().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    io.write_all(&bytes).await
}

/// The libp2p behaviour of one protocol.
pub(super) type Exchange<Request, Response> = request_response::Behaviour<WireCodec<Request, Response>>;

pub(super) fn exchange<Request, Response>(
    protocol: &'static str,
    timeout: Duration,
    streams: usize,
) -> Exchange<Request, Response>
where
    Request: Wire + Send + 'static,
    Response: Wire + Send + 'static,
{
    let config = request_response::Config::default().with_request_timeout(timeout).with_max_concurrent_streams(streams);
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
    fn the_largest_file_and_grant_fit() {
        assert!(VerdictAnswer(Some(vec![0; MAX_FILE_BYTES])).to_wire().is_ok());
        assert!(GrantOffer(vec![0; MAX_GRANT_BYTES]).to_wire().is_ok());
        assert!(!format!("{:?}", GrantOffer(b"secret".to_vec())).contains("115"));
    }
}
