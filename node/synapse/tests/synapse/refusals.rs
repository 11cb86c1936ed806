//! Each kind of wrong request, over a socket: one clear status, and the next caller is served.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leoma_protocol::synapse::{
    Caller, CallerUuid, Field, FieldKind, Fields, Question, Refusal, SynapseClass, SynapseRequest,
    Target,
};
use leoma_protocol::{Hotkey, HotkeySigner};
use leoma_synapse::{Axon, AxonLimits, Call, Dendrite, Forward, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::crowd::{send, signer, whole};

const ODD: SynapseClass = SynapseClass {
    name: "Odd",
    fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
    hashed: &["text"],
};

/// Does what the text says.
struct Odd;

#[async_trait::async_trait]
impl Forward for Odd {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        match call.fields["text"].as_str().unwrap_or_default() {
            "panic" => panic!("on purpose"),
            "sleep" => sleep(Duration::from_secs(60)).await,
            "another field" => return Ok(Fields::from([("text", "rewritten".into())])),
            "another type" => return Ok(Fields::from([("reply", true.into())])),
            "refuse" => return Err(Refusal::Forbidden("not today")),
            _ => {}
        }
        Ok(Fields::from([("reply", call.caller.to_string().into())]))
    }
}

/// A running axon with number 2; caller 1 is served.
struct Served {
    port: u16,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn validator() -> HotkeySigner {
    signer(1)
}

async fn served() -> Served {
    let limits = AxonLimits {
        places_of_one: 2,
        body_bytes: 4096,
        body_time: Duration::from_secs(2),
        header_time: Duration::from_secs(2),
        longest_timeout: Duration::from_secs(3),
        ..AxonLimits::default()
    };
    let hotkey = validator().hotkey();
    let serves =
        move |caller: &Hotkey| if *caller == hotkey { Ok(()) } else { Err("not a validator") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let axon = Axon::new(signer(2), limits, serves).route(ODD, Odd);
    tokio::spawn(axon.serve(listener, stop.clone()));
    Served { port, stop }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

impl Served {
    fn target(&self) -> Target {
        Target { ip: [127, 0, 0, 1].into(), port: self.port, hotkey: signer(2).hotkey() }
    }

    fn signed(&self, text: &str, nonce: u64, by: &HotkeySigner) -> SynapseRequest {
        let fields = Fields::from([("text", text.into()), ("reply", "".into())]);
        let question = Question::new(&ODD, &fields, Duration::from_secs(3)).unwrap();
        let caller = Caller { ip: None, uuid: CallerUuid::from_random([1; 16]) };
        question.sign(&self.target(), &caller, nonce, by)
    }

    fn request(&self, text: &str) -> SynapseRequest {
        self.signed(text, now(), &validator())
    }

    async fn status(&self, request: &SynapseRequest) -> u16 {
        send(self.port, &whole(request)).await
    }
}

fn bytes_with(request: &SynapseRequest, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(whole(request)).unwrap().replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn every_wrong_request_has_its_status_and_the_next_is_served() {
    let axon = served().await;
    let good = axon.request("hello");
    let bytes = |from: &str, to: &str| bytes_with(&axon.request("hello"), from, to);
    let second = 1_000_000_000;
    assert_eq!(axon.status(&good).await, 200);
    assert_eq!(axon.status(&good).await, 401, "a replay");
    for (what, bytes, status) in [
        ("another path", bytes("/Odd ", "/odd "), 404),
        ("a longer path", bytes("/Odd ", "/Odd/x "), 404),
        ("another method", bytes("POST ", "PUT "), 405),
        ("no signature", bytes("bt_header_dendrite_signature", "x"), 401),
        ("another body", bytes("\"hello\"", "\"hullo\""), 401),
        ("a wrong type", bytes("\"hello\"", "[\"abc\"]"), 400),
        ("no JSON", bytes("\"hello\"", "\"hello'"), 400),
        ("a body that is too long", whole(&axon.request(&"x".repeat(5000))), 413),
        ("a stranger", whole(&axon.signed("hello", now(), &signer(9))), 403),
        ("an old nonce", whole(&axon.signed("hello", now() - 8 * second, &validator())), 401),
        ("a nonce ahead", whole(&axon.signed("hello", now() + 9 * second, &validator())), 401),
        ("a body that does not come", bytes("content-length: ", "content-length: 1"), 408),
        ("a panic", whole(&axon.request("panic")), 500),
        ("another field", whole(&axon.request("another field")), 500),
        ("another type", whole(&axon.request("another type")), 500),
        ("a refusal", whole(&axon.request("refuse")), 403),
        ("no answer in time", whole(&axon.request("sleep")), 504),
        ("no HTTP", b"hello\r\n\r\n".to_vec(), 400),
    ] {
        assert_eq!(send(axon.port, &bytes).await, status, "{what}");
        assert_eq!(axon.status(&axon.request("hello")).await, 200, "after {what}");
    }
}

/// Writes a request's head with a part of its body, and the rest of it later; the status of what
/// comes back.
async fn slowly(port: u16, bytes: &[u8], pauses: &[Duration]) -> u16 {
    let (head, body) = bytes.split_at(bytes.len() - 1000 * pauses.len());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(head).await.unwrap();
    for (part, pause) in body.chunks(1000).zip(pauses) {
        sleep(*pause).await;
        stream.write_all(part).await.expect("the connection broke before the body was written");
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer)[9..12].parse().unwrap()
}

#[tokio::test]
async fn a_caller_that_is_still_writing_reads_why_it_is_refused() {
    let axon = served().await;
    let long = "x".repeat(3500);
    let bytes = |from: &str, to: &str| bytes_with(&axon.request(&long), from, to);
    let pauses = [Duration::from_millis(30); 3];
    let status = async |bytes: Vec<u8>| slowly(axon.port, &bytes, &pauses).await;
    assert_eq!(status(bytes("/Odd ", "/odd ")).await, 404);
    assert_eq!(status(bytes("POST ", "PUT ")).await, 405);
    assert_eq!(status(bytes("bt_header_dendrite_signature", "x")).await, 401);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", axon.port)).await.unwrap();
        stream.write_all(&whole(&axon.request("sleep"))).await.unwrap();
        held.push(stream);
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(status(whole(&axon.request(&long))).await, 429);
    drop(held);
}

#[tokio::test]
async fn the_caller_is_who_signed_whatever_the_body_says() {
    let axon = served().await;
    let client = reqwest::Client::builder().no_proxy();
    let dendrite = Dendrite::new(client, validator(), None, |_| true).unwrap();
    let fields = Fields::from([("text", "hello".into()), ("reply", "".into())]);
    let question = Question::new(&ODD, &fields, Duration::from_secs(3)).unwrap();
    let answer = dendrite.ask(&question, &axon.target(), 10_000).await;
    let own = Fields::from([("reply", validator().hotkey().to_string().into())]);
    assert_eq!(answer.outcome, Outcome::Filled(own));

    // The body's hotkey is not signed; the headers' is.
    let request = axon.request("hello");
    let body = String::from_utf8(request.body.clone()).unwrap();
    let (validator, mallory) = (validator().hotkey().to_string(), signer(9).hotkey().to_string());
    let forged = SynapseRequest { body: body.replace(&validator, &mallory).into(), ..request };
    let mut stream = TcpStream::connect(("127.0.0.1", axon.port)).await.unwrap();
    stream.write_all(&whole(&forged)).await.unwrap();
    let mut answer = Vec::new();
    let reply = format!("\"reply\": \"{validator}\"");
    while !String::from_utf8_lossy(&answer).contains(&reply) {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "another caller");
    }
}

#[tokio::test]
async fn one_hotkey_has_few_places_and_gets_them_back_when_it_hangs_up() {
    let axon = served().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", axon.port)).await.unwrap();
        stream.write_all(&whole(&axon.request("sleep"))).await.unwrap();
        held.push(stream);
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(axon.status(&axon.request("hello")).await, 429);
    drop(held);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(axon.status(&axon.request("hello")).await, 200);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let axon = served().await;
    for start in [&b""[..], b"POST /Odd HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", axon.port)).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(30), closed).await.expect("still open").unwrap();
    }
}
