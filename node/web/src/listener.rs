//! A listener that takes a bounded number of connections, in all and from one address, and closes
//! those on which nothing happens.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use leoma_protocol::{AddressLimit, AddressPermit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// Connections in all: far below the usual limit of open files.
const MAX_CONNECTIONS: usize = 512;
/// Connections from one address: several browsers, each with six.
const MAX_PER_ADDRESS: usize = 48;
/// How long a connection may be idle: longer than any answer takes, and than the pauses of a stream
/// of events. A reader that stops in the middle of a video holds the video's bytes no longer than
/// this.
const MAX_REST: Duration = Duration::from_secs(90);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The listener.
#[derive(Debug)]
pub(crate) struct BoundedListener {
    listener: TcpListener,
    limit: Arc<AddressLimit>,
}

impl BoundedListener {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, limit: AddressLimit::new(MAX_CONNECTIONS, MAX_PER_ADDRESS) }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream<TcpStream>, SocketAddr) {
        loop {
            // axum's own implementation waits out errors such as too many open files.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Some(permit) = self.limit.enter(address.ip()) {
                return (BoundedStream::new(stream, Some(permit)), address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that is counted until it is dropped, and fails when it has rested for too long.
#[derive(Debug)]
pub(crate) struct BoundedStream<S> {
    stream: S,
    _permit: Option<AddressPermit>,
    rest: Pin<Box<Sleep>>,
}

impl<S> BoundedStream<S> {
    fn new(stream: S, permit: Option<AddressPermit>) -> Self {
        Self { stream, _permit: permit, rest: Box::pin(sleep(MAX_REST)) }
    }

    /// Passes on the result of an operation; one that waits fails after [`MAX_REST`].
    fn bounded<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if done.is_ready() {
            self.rest.as_mut().reset(Instant::now() + MAX_REST);
            return done;
        }
        ready!(self.rest.as_mut().poll(context));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.bounded(context, done)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, done)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_is_closed_and_one_that_trickles_is_not() {
        let (mut client, server) = duplex(1024);
        let mut server = BoundedStream::new(server, None);
        let mut byte = [0];
        for _ in 0..3 {
            tokio::time::advance(MAX_REST - Duration::from_secs(1)).await;
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
        }
        let begun = Instant::now();
        let error = server.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), MAX_REST.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_reading_is_closed_too() {
        let (_client, server) = duplex(8);
        let mut server = BoundedStream::new(server, None);
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
