//! Asking miners. Whatever goes wrong at the other end is an answer, never an error.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leoma_protocol::HotkeySigner;
use leoma_protocol::synapse::{BodyFault, Caller, CallerUuid, Fields, Question, Target};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, ClientBuilder, Response, redirect};
use tokio::time::{Instant, timeout};

use crate::bounded::{self, BodyEnd};
use crate::clock;

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
    /// No connection, or one that broke before an answer began.
    Unreachable,
    /// No complete answer in time.
    TimedOut,
    /// A longer answer than allowed.
    TooLarge,
    /// The answer broke off.
    BrokeOff,
    /// An answer that cannot be read.
    Malformed(BodyFault),
}

impl Outcome {
    /// The status that a verdict records for this outcome; `None` if the miner answered.
    #[must_use]
    pub const fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Filled(_) => None,
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
        sent.map_err(|error| match error.is_timeout() {
            true => Outcome::TimedOut,
            false => Outcome::Unreachable,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leoma_protocol::MemoryGuard;
    use leoma_protocol::synapse::{Field, FieldKind, SynapseClass};
    use sp_core::{Pair as _, sr25519};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

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
        let pair = sr25519::Pair::from_seed(&[1; 32]);
        let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
        Dendrite::new(Client::builder(), signer, None, move |_| reaches).unwrap()
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
        let hotkey = dendrite(true).signer.hotkey();
        let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey };
        let fields = Fields::from([("text", "x".into()), ("reply", "".into())]);
        let question = Question::new(&ECHO, &fields, time).unwrap();
        let answer = dendrite(true).ask(&question, &target, 64).await;
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
        let hotkey = dendrite(true).signer.hotkey();
        let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey };
        let fields = Fields::from([("text", "x".into()), ("reply", "".into())]);
        let question = Question::new(&ECHO, &fields, Duration::from_secs(5)).unwrap();
        let answer = dendrite(false).ask(&question, &target, 64).await;
        assert_eq!(answer.outcome, Outcome::OutOfReach);
        let nobody = timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(nobody.is_err(), "a connection was made");
    }

    #[tokio::test]
    async fn nonces_rise() {
        let dendrite = dendrite(true);
        let nonces: Vec<u64> = (0..1000).map(|_| dendrite.nonce()).collect();
        assert!(nonces.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
