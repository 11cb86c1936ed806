//! A faulty endpoint: a WebSocket proxy between a client and a chain that misbehaves on demand.
//!
//! | fault | what the client meets |
//! |---|---|
//! | [`FaultProxy::drop_connections`] | its connection is closed; a new one works |
//! | [`FaultProxy::refuse`] | the same, and new connections are closed at once |
//! | [`FaultProxy::silence`] | sockets stay open and nothing comes through them |
//! | [`FaultProxy::cut_submissions`] | it closes between a submission and its answer |
//! | [`FaultProxy::lie_about_past`] | other hashes for past block numbers |
//! | [`FaultProxy::lag`] | heads and states of some blocks ago |
//! | [`FaultProxy::delay`] | every answer comes late |
//!
//! Faults combine, and change while clients are connected. Without faults that concern contents,
//! messages pass unparsed; batches always do.

use super::proxy_content::{self, Verdict};
use super::proxy_faults::{ConnectionError, Faults, Passage};
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async_with_config, connect_async_with_config,
};
use tokio_util::sync::CancellationToken;

/// Connections at once.
const MAX_CONNECTIONS: usize = 128;
/// Largest message: the chain's largest answer.
const MAX_MESSAGE: usize = 32 << 20;
/// Answers that wait for their delay; more hold both sides up, as the proxy answers some requests
/// itself.
const MAX_HELD: usize = 1_024;
/// How long the chain may take to answer a submission whose client was cut off.
const SUBMISSION_PATIENCE: Duration = Duration::from_secs(10);

type ClientSocket = WebSocketStream<TcpStream>;
type ChainSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Debug)]
struct Endpoint {
    upstream: Mutex<String>,
    /// Submissions still to be cut off.
    cuts: AtomicU32,
    connections: AtomicUsize,
    traffic: Mutex<Traffic>,
}

/// What clients asked, since the proxy started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests; a batch is one.
    pub requests: u64,
    /// Requests that were sent after something had come back: the first of a connection, and each
    /// that may have waited for an answer. Under a delay that is longer than it takes to send all
    /// that is sent at once, this counts round trips.
    pub round_trips: u64,
}

/// A running proxy. It stops when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    endpoint: Arc<Endpoint>,
    faults: watch::Sender<Faults>,
    stop: CancellationToken,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1, in front of the chain at `upstream` (`ws://…`),
    /// without faults.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("ws://{}", listener.local_addr()?);
        let endpoint = Endpoint {
            upstream: Mutex::new(upstream.to_owned()),
            cuts: AtomicU32::new(0),
            connections: AtomicUsize::new(0),
            traffic: Mutex::default(),
        };
        let endpoint = Arc::new(endpoint);
        let (faults, receiver) = watch::channel(Faults::default());
        let stop = CancellationToken::new();
        tokio::spawn(listen(listener, Arc::clone(&endpoint), receiver, stop.clone()));
        Ok(Self { url, endpoint, faults, stop })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Clients connected now.
    pub fn connections(&self) -> usize {
        self.endpoint.connections.load(Ordering::SeqCst)
    }

    /// What clients asked so far.
    pub fn traffic(&self) -> Traffic {
        *self.endpoint.traffic.lock()
    }

    /// Leads new connections to another chain, or to the same one at its new address.
    pub fn retarget(&self, upstream: &str) {
        upstream.clone_into(&mut self.endpoint.upstream.lock());
    }

    /// Closes every connection; new ones are served.
    pub fn drop_connections(&self) {
        self.faults.send_modify(|faults| faults.generation += 1);
    }

    /// Closes every connection and each new one.
    pub fn refuse(&self) {
        self.faults.send_modify(|faults| {
            faults.generation += 1;
            faults.passage = Passage::Refused;
        });
    }

    /// Lets nothing through in either direction and keeps sockets open. New ones are accepted and
    /// hear nothing, not even the WebSocket's greeting.
    pub fn silence(&self) {
        self.faults.send_modify(|faults| faults.passage = Passage::Silent);
    }

    /// Ends [`FaultProxy::refuse`] and [`FaultProxy::silence`]. What waited in silence comes
    /// through.
    pub fn open(&self) {
        self.faults.send_modify(|faults| faults.passage = Passage::Open);
    }

    /// Closes the client's connection right after each of the next `submissions` requests
    /// `author_submit…` was handed to the chain, before the answer. The chain does get them.
    pub fn cut_submissions(&self, submissions: u32) {
        self.endpoint.cuts.store(submissions, Ordering::SeqCst);
    }

    /// Submissions that are still to be cut off.
    pub fn cuts_left(&self) -> u32 {
        self.endpoint.cuts.load(Ordering::SeqCst)
    }

    /// Whether `chain_getBlockHash` answers another hash for each past block but genesis.
    pub fn lie_about_past(&self, lie: bool) {
        self.faults.send_modify(|faults| faults.lie = lie);
    }

    /// Serves the chain as it was `blocks` blocks ago: heads, their subscriptions, nonces, and
    /// states where no block is named. Submissions reach the chain of now.
    pub fn lag(&self, blocks: u32) {
        self.faults.send_modify(|faults| faults.lag = blocks);
    }

    /// Holds every answer and notification back for this long.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.endpoint.cuts.store(0, Ordering::SeqCst);
        self.faults.send_modify(|faults| {
            *faults = Faults { generation: faults.generation, ..Faults::default() }
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    faults: watch::Receiver<Faults>,
    stop: CancellationToken,
) {
    // Aborts what is left when this task ends.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
        };
        let Ok((socket, _)) = accepted else { continue };
        if faults.borrow().passage == Passage::Refused {
            continue;
        }
        let (endpoint, faults) = (Arc::clone(&endpoint), faults.clone());
        connections.spawn(async move {
            endpoint.connections.fetch_add(1, Ordering::SeqCst);
            let generation = faults.borrow().generation;
            let mut closing = faults.clone();
            tokio::select! {
                // Fails only where the proxy is gone.
                _ = closing.wait_for(|faults| faults.generation != generation) => {}
                ended = connect(socket, &endpoint, faults) => if let Err(error) = ended {
                    tracing::debug!(%error, "a proxied connection ended");
                },
            }
            endpoint.connections.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn connect(
    socket: TcpStream,
    endpoint: &Endpoint,
    mut faults: watch::Receiver<Faults>,
) -> Result<(), ConnectionError> {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MAX_MESSAGE);
    config.max_frame_size = Some(MAX_MESSAGE);
    faults.wait_for(|faults| faults.passage != Passage::Silent).await?;
    let client = accept_async_with_config(socket, Some(config)).await?;
    let upstream = endpoint.upstream.lock().clone();
    let (chain, _) = connect_async_with_config(&upstream, Some(config), true).await?;
    let content = proxy_content::Content::new(upstream);
    Connection { client, chain, content, held: VecDeque::new(), answered: true, faults }
        .run(endpoint)
        .await
}

struct Connection {
    client: ClientSocket,
    chain: ChainSocket,
    content: proxy_content::Content,
    /// Answers with the time when they are due.
    held: VecDeque<(Instant, Message)>,
    /// Whether anything came back since the last request.
    answered: bool,
    faults: watch::Receiver<Faults>,
}

impl Connection {
    async fn run(mut self, endpoint: &Endpoint) -> Result<(), ConnectionError> {
        loop {
            let faults =
                self.faults.wait_for(|faults| faults.passage != Passage::Silent).await?.clone();
            let due = self.held.front().map(|(due, _)| *due);
            tokio::select! {
                // In this order: a fault holds from the first message after it was ordered, and
                // nothing that a client sends keeps answers from it.
                biased;
                changed = self.faults.changed() => changed?,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, message)) = self.held.pop_front() {
                        self.client.send(message).await?;
                        self.answered = true;
                    }
                }
                message = self.chain.next(), if self.held.len() < MAX_HELD => match message.transpose()? {
                    Some(Message::Text(text)) => {
                        let text = self.content.answer(text.as_str(), &faults).await?;
                        self.held.push_back((Instant::now() + faults.delay, Message::text(text)));
                    }
                    Some(message @ Message::Binary(_)) => {
                        self.held.push_back((Instant::now() + faults.delay, message));
                    }
                    Some(Message::Close(_)) | None => return Ok(()),
                    Some(_) => {}
                },
                message = self.client.next(), if self.held.len() < MAX_HELD => match message.transpose()? {
                    Some(Message::Text(text)) => {
                        if let Some(id) = self.request(text.as_str(), &faults, endpoint).await? {
                            drop(self.client);
                            // By itself: what ends this connection must not keep the chain from
                            // getting the submission.
                            tokio::spawn(outlive_client(self.chain, id));
                            return Ok(());
                        }
                    }
                    Some(Message::Binary(bytes)) => self.chain.send(Message::Binary(bytes)).await?,
                    Some(Message::Close(_)) | None => return Ok(()),
                    // Each side answers pings by itself.
                    Some(_) => {}
                },
            }
        }
    }

    /// Handles one request. Returns the id of a submission whose client is to be cut off.
    async fn request(
        &mut self,
        text: &str,
        faults: &Faults,
        endpoint: &Endpoint,
    ) -> Result<Option<Value>, ConnectionError> {
        {
            let mut traffic = endpoint.traffic.lock();
            traffic.requests += 1;
            traffic.round_trips += u64::from(self.answered);
        }
        self.answered = false;
        match self.content.request(text, faults).await? {
            Verdict::Pass(text) => self.chain.send(Message::text(text)).await?,
            Verdict::Answer(text) => {
                self.held.push_back((Instant::now() + faults.delay, Message::text(text)))
            }
            Verdict::Submission(id) => {
                self.chain.send(Message::text(text)).await?;
                let take = |left: u32| left.checked_sub(1);
                if endpoint.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }
}

/// Reads on until the chain has answered: it might not go through with the request of a connection
/// that is gone.
async fn outlive_client(mut chain: ChainSocket, id: Value) {
    let answered = async {
        while let Some(Ok(message)) = chain.next().await {
            if let Message::Text(text) = message
                && proxy_content::answers(text.as_str(), &id)
            {
                return;
            }
        }
    };
    if tokio::time::timeout(SUBMISSION_PATIENCE, answered).await.is_err() {
        tracing::warn!("the chain did not answer a submission whose client was disconnected");
    }
}
