//! A chain node of a few methods, which misbehaves as public ones do.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::sync::Mutex;
use subxt::config::substrate::SubstrateHeader;
use subxt::utils::H256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

const GENESIS: &str = "0x0707070707070707070707070707070707070707070707070707070707070707";
const BLOCK_TIME: Duration = Duration::from_millis(100);

/// How it behaves towards its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Accepts connections and never completes the handshake.
    NoHandshake,
    /// Completes the handshake and never answers.
    Mute,
    /// Answers everything, and its subscriptions never fire.
    NoHeads,
    /// Completes the handshake and closes the connection.
    HangsUp,
    /// Refuses the handshake: too many requests.
    Refuses,
}

#[derive(Debug)]
struct Books {
    manner: watch::Sender<Manner>,
    dials: AtomicU32,
    requests: Mutex<Vec<Instant>>,
    begun: Instant,
}

/// A running double; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub(super) struct Double {
    pub(super) url: String,
    books: Arc<Books>,
}

impl Double {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let books = Arc::new(Books {
            manner: watch::channel(manner).0,
            dials: AtomicU32::new(0),
            requests: Mutex::default(),
            begun: Instant::now(),
        });
        let kept = Arc::clone(&books);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                kept.dials.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { url, books }
    }

    /// Changes its behaviour and closes the connections of the old one.
    pub(super) fn behave(&self, manner: Manner) {
        self.books.manner.send_replace(manner);
    }

    pub(super) fn dials(&self) -> u32 {
        self.books.dials.load(Ordering::SeqCst)
    }

    /// When each request came.
    pub(super) fn requests(&self) -> Vec<Instant> {
        self.books.requests.lock().unwrap().clone()
    }
}

impl Books {
    fn number(&self) -> u64 {
        let blocks = self.begun.elapsed().as_millis() / BLOCK_TIME.as_millis();
        1 + u64::try_from(blocks).unwrap()
    }
}

fn header(number: u64) -> Value {
    let zero = format!("0x{}", "00".repeat(32));
    json!({
        "parentHash": zero, "number": format!("0x{number:x}"), "stateRoot": zero,
        "extrinsicsRoot": zero, "digest": {"logs": []},
    })
}

fn hash(number: u64) -> String {
    let header: SubstrateHeader<H256> = serde_json::from_value(header(number)).unwrap();
    let bytes = codec::Encode::encode(&header);
    format!("0x{}", hex::encode(sp_crypto_hashing::blake2_256(&bytes)))
}

async fn serve(mut stream: TcpStream, books: Arc<Books>) {
    let manner = *books.manner.borrow();
    let mut changes = books.manner.subscribe();
    let served = async {
        match manner {
            Manner::NoHandshake => std::future::pending().await,
            Manner::Refuses => {
                let _request = stream.read(&mut [0; 1024]).await;
                let refusal = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal).await.unwrap();
            }
            _ => converse(stream, manner, &books).await,
        }
    };
    tokio::select! {
        () = served => {}
        _ = changes.wait_for(|now| *now != manner) => {}
    }
}

async fn converse(stream: TcpStream, manner: Manner, books: &Books) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    if manner == Manner::HangsUp {
        return;
    }
    let mut follows = false;
    let mut blocks = tokio::time::interval(BLOCK_TIME);
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = blocks.tick(), if follows => {
                let params = json!({"subscription": "s", "result": header(books.number())});
                let note = json!({"jsonrpc": "2.0", "method": "chain_finalizedHead", "params": params});
                if socket.send(Message::text(note.to_string())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(Ok(message)) = message else { return };
        let Message::Text(text) = message else { continue };
        books.requests.lock().unwrap().push(Instant::now());
        if manner == Manner::Mute {
            continue;
        }
        let request: Value = serde_json::from_str(text.as_str()).unwrap();
        let method = request["method"].as_str().unwrap();
        follows |= method == "chain_subscribeFinalizedHeads" && manner != Manner::NoHeads;
        let result = match method {
            "chain_getBlockHash" if request["params"][0] == 0 => json!(GENESIS),
            "chain_getBlockHash" => json!(hash(request["params"][0].as_u64().unwrap())),
            "chain_getFinalizedHead" => json!(hash(books.number())),
            "chain_getHeader" => header(books.number()),
            "chain_subscribeFinalizedHeads" => json!("s"),
            _ => Value::Null,
        };
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
    }
}
