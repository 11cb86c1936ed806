//! Asking miners. Whatever goes wrong at the other end is an answer, never an error.

use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io, iter};

use leoma_protocol::HotkeySigner;
use leoma_protocol::synapse::{BodyFault, Caller, CallerUuid, Fields, Question, Target};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, ClientBuilder, Response, redirect};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::bounded::{self, BodyEnd};
use crate::clock;

/// The errors of Unix for too many open files, of all processes and of this one: [`io::ErrorKind`]
/// has no word for them.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// The outcome of asking one axon.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it was.
    pub outcome: Outcome,
    /// The time to its last byte, by our clock.
    pub took: Duration,
}

/// What an axon's answer was.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The mutable fields, each of its type. Nobody signed them.
    Filled(Fields),
    /// Another HTTP status than 200. Redirects are among them: none is followed.
    Refused(u16),
    /// The address on the chain is one that must not be asked. Nothing was sent.
    OutOfReach,
    /// No connection, or one that broke before an answer began. A network that cannot be reached is
    /// among these: a router's word for it looks like that of this machine, and a miner may have
    /// announced an address that no router knows.
    Unreachable,
    /// No complete answer in time.
    TimedOut,
    /// A longer answer than allowed.
    TooLarge,
    /// The answer broke off.
    BrokeOff,
    /// An answer that cannot be read.
    Malformed(BodyFault),
    /// This machine cannot ask: it has no open file or no port left. The operating system's error.
    Ours(i32),
}

impl Outcome {
    /// The status that a verdict records for this outcome; `None` if the miner answered, or could
    /// not be asked through our fault.
    #[must_use]
    pub const fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Filled(_) | Self::Ours(_) => None,
            Self::Refused(_) => Some("http_error"),
            Self::OutOfReach | Self::Unreachable | Self::BrokeOff => Some("no_response"),
            Self::TimedOut => Some("timeout"),
            Self::TooLarge | Self::Malformed(_) => Some("malformed"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filled(_) => f.write_str("answered"),
            Self::Refused(status) => write!(f, "answered with HTTP status {status}"),
            Self::OutOfReach => f.write_str("its address is not a public one"),
            Self::Unreachable => f.write_str("cannot be reached"),
            Self::TimedOut => f.write_str("no complete answer in time"),
            Self::TooLarge => f.write_str("the answer is too long"),
            Self::BrokeOff => f.write_str("the answer broke off"),
            Self::Malformed(fault) => write!(f, "the answer cannot be read: {fault}"),
            Self::Ours(code) => {
                write!(f, "it could not be asked: {}", io::Error::from_raw_os_error(*code))
            }
        }
    }
}

/// Asks axons on behalf of one hotkey.
pub struct Dendrite {
    client: Client,
    signer: HotkeySigner,
    caller: Caller,
    reaches: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    last_nonce: AtomicU64,
}

impl fmt::Debug for Dendrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dendrite").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl Dendrite {
    /// A dendrite that asks only addresses for which `reaches` is true: an axon's entry on the
    /// chain is not trusted. `client` brings time-outs for connecting. Redirects, proxies and idle
    /// connections are switched off: a miner may close an idle connection just when the next
    /// question is sent, and the question would be lost. `ip` is our own public address, if known.
    ///
    /// # Errors
    /// The client's TLS set-up.
    pub fn new(
        client: ClientBuilder,
        signer: HotkeySigner,
        ip: Option<IpAddr>,
        reaches: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: client
                .redirect(redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()?,
            signer,
            caller: Caller { ip, uuid: CallerUuid::from_random(rand::random()) },
            reaches: Box::new(reaches),
            last_nonce: AtomicU64::new(0),
        })
    }

    /// Asks one axon, once, and reads at most `answer_bytes` of what it says. Returns within the
    /// question's time-out.
    pub async fn ask(&self, question: &Question, target: &Target, answer_bytes: usize) -> Answer {
        let begun = Instant::now();
        let asked = self.exchange(question, target, answer_bytes);
        let outcome = match timeout(question.timeout(), asked).await {
            Ok(Ok(fields)) => Outcome::Filled(fields),
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::TimedOut,
        };
        Answer { outcome, took: begun.elapsed() }
    }

    /// Whether an axon takes a connection within this time. Nothing is sent.
    pub async fn connects(&self, target: Target, within: Duration) -> bool {
        if !(self.reaches)(target.ip) {
            return false;
        }
        let connecting = TcpStream::connect((target.ip, target.port));
        matches!(timeout(within, connecting).await, Ok(Ok(_)))
    }

    async fn exchange(
        &self,
        question: &Question,
        target: &Target,
        answer_bytes: usize,
    ) -> Result<Fields, Outcome> {
        if !(self.reaches)(target.ip) {
            return Err(Outcome::OutOfReach);
        }
        let response = self.send(question, target).await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(Outcome::Refused(status));
        }
        let body = reqwest::Body::from(response);
        let body = bounded::read(body, answer_bytes).await.map_err(|end| match end {
            BodyEnd::TooLarge => Outcome::TooLarge,
            BodyEnd::BrokeOff => Outcome::BrokeOff,
        })?;
        question.class().read_answer(&body).map_err(Outcome::Malformed)
    }

    async fn send(&self, question: &Question, target: &Target) -> Result<Response, Outcome> {
        let request = question.sign(target, &self.caller, self.nonce(), &self.signer);
        let host = match target.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let url = format!("http://{host}:{}{}", target.port, request.path);
        let post = self.client.post(url).header(CONTENT_TYPE, "application/json");
        let headers = request.headers.iter();
        let post = headers.fold(post, |post, (name, value)| post.header(name, value));
        let sent = post.body(request.body).send().await;
        sent.map_err(|error| match our_fault(&error) {
            Some(code) => Outcome::Ours(code),
            // A connection that takes too long is none.
            None if error.is_timeout() && !error.is_connect() => Outcome::TimedOut,
            None => Outcome::Unreachable,
        })
    }

    /// The current time, but always greater than every earlier nonce.
    fn nonce(&self) -> u64 {
        let now = clock::now();
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last_nonce.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }
}

/// The operating system's error where it says that this machine lacks something.
fn our_fault(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut causes = iter::successors(Some(error), |error| (*error).source());
    causes.find_map(|cause| {
        let cause = cause.downcast_ref::<io::Error>()?;
        let code = cause.raw_os_error()?;
        let is_ours =
            TOO_MANY_FILES.contains(&code) || cause.kind() == io::ErrorKind::AddrNotAvailable;
        is_ours.then_some(code)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leoma_protocol::MemoryGuard;
    use leoma_protocol::synapse::{Field, FieldKind, SynapseClass};
    use sp_core::{Pair as _, sr25519};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const ECHO: SynapseClass = SynapseClass {
        name: "Echo",
        fields: &[
            Field::new("text", FieldKind::Text),
            Field::new("reply", FieldKind::Text).mutable(),
        ],
        hashed: &[],
    };

    fn dendrite(reaches: bool) -> Dendrite {
        dendrite_with(Client::builder(), reaches)
    }

    fn dendrite_with(client: ClientBuilder, reaches: bool) -> Dendrite {
        let pair = sr25519::Pair::from_seed(&[1; 32]);
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        Dendrite::new(client, signer, None, move |_| reaches).unwrap()
    }

    fn target(port: u16) -> Target {
        let hotkey = dendrite(true).signer.hotkey();
        Target { ip: [127, 0, 0, 1].into(), port, hotkey }
    }

    fn question(time: Duration) -> Question {
        let fields = Fields::from([("text", "x".into()), ("reply", "".into())]);
        Question::new(&ECHO, &fields, time).unwrap()
    }

    #[test]
    fn axons_are_asked_without_a_proxy() {
        assert!(format!("{:?}", Client::new()).contains("proxies"));
        assert!(!format!("{:?}", dendrite(true).client).contains("proxies"));
    }

    /// The outcome where the other end writes `answer` and then hangs up, or not.
    async fn outcome(answer: &str, hangs_up: bool) -> Outcome {
        outcome_within(Duration::from_secs(30), answer, hangs_up).await
    }

    async fn outcome_within(time: Duration, answer: &str, hangs_up: bool) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 8192];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            if !hangs_up {
                std::future::pending::<()>().await;
            }
        });
        let answer = dendrite(true).ask(&question(time), &target(port), 64).await;
        server.abort();
        answer.outcome
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn each_fault_of_a_miner_is_an_outcome() {
        let filled = outcome(&ok(r#"{"reply": "y", "text": 5}"#), true).await;
        assert_eq!(filled, Outcome::Filled(Fields::from([("reply", "y".into())])));
        let malformed = outcome(&ok(r#"{"reply": 5}"#), true).await;
        assert_eq!(malformed.to_string(), "the answer cannot be read: field reply: not a text");
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n";
        let announced = "HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n";
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(500));
        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{";
        let soon = Duration::from_millis(300);
        let cases = [
            (outcome(redirect, true).await, Outcome::Refused(302), "http_error"),
            (outcome("HTTP/1.1 500 No\r\n\r\n", true).await, Outcome::Refused(500), "http_error"),
            (outcome(announced, false).await, Outcome::TooLarge, "malformed"),
            (outcome(&endless, false).await, Outcome::TooLarge, "malformed"),
            (outcome(begun, true).await, Outcome::BrokeOff, "no_response"),
            (outcome_within(soon, begun, false).await, Outcome::TimedOut, "timeout"),
            (outcome_within(soon, "", false).await, Outcome::TimedOut, "timeout"),
            (outcome("", true).await, Outcome::Unreachable, "no_response"),
            (outcome("no HTTP\r\n\r\n", true).await, Outcome::Unreachable, "no_response"),
        ];
        for (got, expected, word) in cases {
            assert_eq!(got, expected);
            assert_eq!(got.failure(), Some(word));
        }
    }

    #[tokio::test]
    async fn an_address_out_of_reach_is_sent_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer =
            dendrite(false).ask(&question(Duration::from_secs(5)), &target(port), 64).await;
        assert_eq!(answer.outcome, Outcome::OutOfReach);
        assert!(!dendrite(false).connects(target(port), Duration::from_secs(5)).await);
        let nobody = timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(nobody.is_err(), "a connection was made");
    }

    #[tokio::test]
    async fn a_connection_that_takes_too_long_is_none() {
        // With its queue full, a listener answers nobody who wants to connect.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let port = listener.local_addr().unwrap().port();
        let soon = Duration::from_millis(300);
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(soon, TcpStream::connect(("127.0.0.1", port))).await {
            queued.push(stream.unwrap());
        }
        let patient = dendrite_with(Client::builder().connect_timeout(soon), true);
        let asked = patient.ask(&question(Duration::from_secs(30)), &target(port), 64).await;
        assert_eq!(asked.outcome, Outcome::Unreachable);
        assert!(!patient.connects(target(port), soon).await);
        drop(queued);
    }

    #[tokio::test]
    async fn what_this_machine_lacks_is_no_fault_of_a_miner() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(dendrite(true).connects(target(port), Duration::from_secs(5)).await);
        // No machine has this address, so it has no port there.
        let client = Client::builder().local_address(IpAddr::from([192, 0, 2, 1]));
        let question = question(Duration::from_secs(5));
        let asked = dendrite_with(client, true).ask(&question, &target(port), 64).await;
        assert!(matches!(asked.outcome, Outcome::Ours(_)), "{:?}", asked.outcome);
        assert_eq!(asked.outcome.failure(), None);
        for code in TOO_MANY_FILES {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(our_fault(&error), Some(code), "{error}");
            let wrapped: Box<dyn Error> = Box::new(Wrapped(error));
            assert_eq!(our_fault(&*wrapped), Some(code));
        }
        // On Linux: the network is unreachable, the connection is refused.
        for code in [101, 111] {
            assert_eq!(our_fault(&io::Error::from_raw_os_error(code)), None, "{code}");
        }
    }

    /// An error with a cause.
    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tcp open error")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[tokio::test]
    async fn nonces_rise() {
        let dendrite = dendrite(true);
        let nonces: Vec<u64> = (0..1000).map(|_| dendrite.nonce()).collect();
        assert!(nonces.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
