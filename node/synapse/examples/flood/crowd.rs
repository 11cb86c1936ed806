//! A crowd of callers, some of them hostile, and the axon that they ask.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leoma_protocol::synapse::{
    Caller, CallerUuid, Field, FieldKind, Fields, Question, Refusal, SynapseClass, SynapseRequest,
    Target,
};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard};
use leoma_synapse::{Axon, AxonLimits, Call, Dendrite, Forward, Outcome};
use sp_core::{Pair as _, sr25519};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub const ECHO: SynapseClass = SynapseClass {
    name: "Echo",
    fields: &[Field::new("text", FieldKind::Text), Field::new("reply", FieldKind::Text).mutable()],
    hashed: &["text"],
};

/// Who is there, and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub honest: u32,
    pub hostile: u32,
    /// Requests of each honest caller.
    pub requests: u32,
    /// Connections that each hostile caller has open.
    pub connections: u32,
    /// Characters of each honest text.
    pub text_bytes: usize,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// The time of each honest request that was answered rightly.
    pub answered: Vec<Duration>,
    /// Every other honest request.
    pub lost: Vec<String>,
    /// How often each kind of attack was begun.
    pub begun: BTreeMap<&'static str, usize>,
    /// How often hostile requests of each kind came to each end: an HTTP status, or 0.
    pub hostile: BTreeMap<(&'static str, u16), usize>,
}

/// The key of caller `number`; the axon has number `u32::MAX`.
pub fn signer(number: u32) -> HotkeySigner {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    HotkeySigner::new(sr25519::Pair::from_seed(&seed), Arc::new(MemoryGuard::default()))
}

/// Repeats the text, and keeps an account of whom it answered.
#[derive(Clone, Debug, Default)]
pub struct Echo(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    seen: Mutex<HashSet<(Hotkey, String)>>,
    twice: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Echo {
    /// Texts of one caller that came a second time.
    pub fn twice(&self) -> usize {
        self.0.twice.load(Ordering::SeqCst)
    }

    /// The most requests that were answered at a time.
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }
}

/// A request that is being answered, until it is answered or dropped.
struct Present(Arc<Account>);

impl Present {
    fn enter(account: &Arc<Account>) -> Self {
        let now = account.now.fetch_add(1, Ordering::SeqCst) + 1;
        account.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(account))
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Forward for Echo {
    async fn forward(&self, call: Call) -> Result<Fields, Refusal> {
        let _present = Present::enter(&self.0);
        let text = call.fields["text"].as_str().unwrap_or_default().to_owned();
        let name: String = text.chars().take(64).collect();
        if !self.0.seen.lock().unwrap().insert((call.caller, name)) {
            self.0.twice.fetch_add(1, Ordering::SeqCst);
        }
        sleep(Duration::from_millis(5)).await;
        Ok(Fields::from([("reply", format!("{}: {text}", call.caller).into())]))
    }
}

/// An axon that serves the whole crowd: the hostile are registered neurons too.
pub fn axon(crowd: Crowd, limits: AxonLimits, echo: Echo) -> Axon {
    let members: HashSet<Hotkey> =
        (0..crowd.honest + crowd.hostile).map(|number| signer(number).hotkey()).collect();
    let serves = move |caller: &Hotkey| match members.contains(caller) {
        true => Ok(()),
        false => Err("not registered"),
    };
    Axon::new(signer(u32::MAX), limits, serves).route(ECHO, echo)
}

/// Lets the crowd loose on an axon, until every honest caller is done.
pub async fn run(crowd: Crowd, port: u16) -> Outcomes {
    let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey: signer(u32::MAX).hotkey() };
    // Before anything is asked: setting up TLS for so many clients keeps a small machine busy.
    let callers: Vec<(Hotkey, Dendrite)> = (0..crowd.honest).map(caller).collect();
    let outcomes = Arc::new(Mutex::new(Outcomes::default()));
    let over = Arc::new(AtomicBool::new(false));
    let mut hostile = tokio::task::JoinSet::new();
    for number in crowd.honest..crowd.honest + crowd.hostile {
        for connection in 0..crowd.connections {
            let (outcomes, over) = (Arc::clone(&outcomes), Arc::clone(&over));
            hostile.spawn(async move {
                let attacker = Attacker { number, connection, target, victims: crowd.honest };
                attacker.attack(&over, &outcomes).await;
            });
        }
    }
    let mut honest = tokio::task::JoinSet::new();
    for (hotkey, dendrite) in callers {
        let outcomes = Arc::clone(&outcomes);
        honest.spawn(async move { ask(crowd, hotkey, dendrite, target, &outcomes).await });
    }
    while honest.join_next().await.is_some() {}
    over.store(true, Ordering::SeqCst);
    hostile.shutdown().await;
    std::mem::take(&mut outcomes.lock().unwrap())
}

fn caller(number: u32) -> (Hotkey, Dendrite) {
    let signer = signer(number);
    let hotkey = signer.hotkey();
    let client = reqwest::Client::builder().no_proxy();
    (hotkey, Dendrite::new(client, signer, None, |_| true).unwrap())
}

async fn ask(
    crowd: Crowd,
    hotkey: Hotkey,
    dendrite: Dendrite,
    target: Target,
    outcomes: &Mutex<Outcomes>,
) {
    for request in 0..crowd.requests {
        let mut text = format!("request {request} ");
        text.push_str(&"x".repeat(crowd.text_bytes));
        let right = format!("{hotkey}: {text}");
        let fields = Fields::from([("text", text.into()), ("reply", "".into())]);
        let question = Question::new(&ECHO, &fields, Duration::from_secs(60)).unwrap();
        let answer = dendrite.ask(&question, &target, 2 * right.len() + 8192).await;
        let mut outcomes = outcomes.lock().unwrap();
        match answer.outcome {
            Outcome::Filled(fields) if fields["reply"].as_str() == Some(&right) => {
                outcomes.answered.push(answer.took);
            }
            Outcome::Filled(_) => outcomes.lost.push(format!("{hotkey}: another reply")),
            failure => {
                outcomes.lost.push(format!("{hotkey}, after {:.1?}: {failure}", answer.took))
            }
        }
    }
}

/// What hostile callers do, in turn.
const ATTACKS: [&str; 10] = [
    "no signature",
    "another's hotkey",
    "replay",
    "endless body",
    "slow body",
    "half a head",
    "endless head",
    "too many at a time",
    "nested body",
    "hangs up",
];

#[derive(Clone, Copy)]
struct Attacker {
    number: u32,
    connection: u32,
    target: Target,
    victims: u32,
}

impl Attacker {
    async fn attack(self, over: &AtomicBool, outcomes: &Mutex<Outcomes>) {
        let kind = ATTACKS[self.number as usize % ATTACKS.len()];
        for round in 0_u32.. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            *outcomes.lock().unwrap().begun.entry(kind).or_insert(0) += 1;
            let ends = timeout(Duration::from_secs(15), self.once(kind, round)).await;
            for end in ends.unwrap_or_default() {
                *outcomes.lock().unwrap().hostile.entry((kind, end)).or_insert(0) += 1;
            }
            // Fast enough to hurt; without a pause this process would be short of ports.
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn request(self, round: u32) -> SynapseRequest {
        let text = format!("attack {} {round} {}", self.connection, now());
        let fields = Fields::from([("text", text.into()), ("reply", "".into())]);
        let question = Question::new(&ECHO, &fields, Duration::from_secs(60)).unwrap();
        let uuid = CallerUuid::from_random([self.number as u8; 16]);
        question.sign(&self.target, &Caller { ip: None, uuid }, now(), &signer(self.number))
    }

    async fn once(self, kind: &str, round: u32) -> Vec<u16> {
        let mut request = self.request(round);
        let port = self.target.port;
        let victim = signer(round % self.victims.max(1)).hotkey().to_string();
        match kind {
            "no signature" => {
                set(&mut request, "bt_header_dendrite_hotkey", Some(&victim));
                set(&mut request, "bt_header_dendrite_signature", None);
                vec![send(port, &whole(&request)).await]
            }
            "another's hotkey" => {
                set(&mut request, "bt_header_dendrite_hotkey", Some(&victim));
                vec![send(port, &whole(&request)).await]
            }
            "replay" => {
                let bytes = whole(&request);
                vec![send(port, &bytes).await, send(port, &bytes).await, send(port, &bytes).await]
            }
            "endless body" => {
                let head = head(&request, "transfer-encoding: chunked");
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                vec![trickle(port, &head, chunk.as_bytes(), Duration::ZERO).await]
            }
            "slow body" => {
                let head = head(&request, "content-length: 100000");
                vec![trickle(port, &head, b"x", Duration::from_millis(300)).await]
            }
            "half a head" => {
                vec![trickle(port, b"POST /Echo HTTP/1.1\r\n", b"", Duration::from_secs(1)).await]
            }
            "endless head" => {
                let line = format!("x: {}\r\n", "y".repeat(4000));
                let start = b"POST /Echo HTTP/1.1\r\n";
                vec![trickle(port, start, line.as_bytes(), Duration::ZERO).await]
            }
            "too many at a time" => {
                let many = (0..8).map(|n| {
                    let bytes = whole(&self.request(round * 8 + n));
                    async move { send(port, &bytes).await }
                });
                futures::future::join_all(many).await
            }
            "nested body" => {
                request.body = [vec![b'['; 60_000], vec![b','; 60_000]].concat();
                vec![send(port, &whole(&request)).await]
            }
            _ => {
                let bytes = whole(&request);
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = stream.write_all(&bytes[..bytes.len() - 5]).await;
                }
                vec![0]
            }
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn set(request: &mut SynapseRequest, name: &str, value: Option<&str>) {
    request.headers.retain(|header| header.0 != name);
    if let Some(value) = value {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
}

fn head(request: &SynapseRequest, length: &str) -> Vec<u8> {
    let lines = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    format!("POST {} HTTP/1.1\r\nhost: x\r\n{lines}{length}\r\n\r\n", request.path).into_bytes()
}

pub fn whole(request: &SynapseRequest) -> Vec<u8> {
    let length = format!("content-length: {}", request.body.len());
    [head(request, &length), request.body.clone()].concat()
}

/// The HTTP status of what comes back, or 0.
pub async fn send(port: u16, bytes: &[u8]) -> u16 {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return 0 };
    let _ = stream.write_all(bytes).await;
    status(&mut stream).await
}

/// Writes `start` and then `more` until the other end answers or hangs up.
async fn trickle(port: u16, start: &[u8], more: &[u8], pause: Duration) -> u16 {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else { return 0 };
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        let mut written = writer.write_all(start).await;
        while written.is_ok() {
            written = writer.write_all(more).await;
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        status = status(&mut reader) => status,
        () = writing => 0,
    }
}

async fn status(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> u16 {
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer).await {
        Ok(_) => std::str::from_utf8(&answer[9..]).ok().and_then(|text| text.parse().ok()),
        Err(_) => None,
    }
    .unwrap_or(0)
}
