//! The HTTP client of every bucket: it follows no redirects, bounds every body, and does not reach
//! private networks through a peer's endpoint.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::endpoint::is_public;

/// Longest handshake; R2's take a tenth of a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections are kept this long between the polls of an epoch.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections kept per host: as many as reads of one bucket run at a time.
const POOL_IDLE_PER_HOST: usize = 8;
/// Most bytes of an error or of a put's answer; S3's have under one KiB.
const MAX_SHORT_BODY: usize = 64 * 1024;
/// Most bytes of one page of a listing: 1000 keys of 1024 bytes with their XML, and room for
/// escapes.
const MAX_LISTING_BODY: usize = 8 * 1024 * 1024;
/// Most bytes of any object that is read through this client; the callers' own limits are below it.
pub(crate) const MAX_OBJECT_BODY: usize = 1 << 30;

/// A failed status, with what S3's XML says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusError {
    pub(crate) status: StatusCode,
    /// S3's code such as `NoSuchKey`; empty if the answer had none.
    pub(crate) code: String,
    pub(crate) message: String,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, ", {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for StatusError {}

impl StatusError {
    /// Whether the store refused the time at which the request was signed.
    pub(crate) fn is_clock(&self) -> bool {
        matches!(self.code.as_str(), "RequestTimeTooSkewed" | "RequestExpired")
    }

    /// Takes `Code` and `Message` from S3's XML. The rest is dropped: it repeats the access key and
    /// the string that was signed.
    fn read(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let element = |name: &str| -> String {
            let (open, close) = (format!("<{name}>"), format!("</{name}>"));
            let inner = text
                .split_once(&open)
                .and_then(|(_, rest)| rest.split_once(&close))
                .map(|(inner, _)| inner);
            inner.unwrap_or_default().chars().take(200).collect()
        };
        Self { status, code: element("Code"), message: element("Message") }
    }
}

/// Builds [`BoundedClient`]s for the S3 client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundedConnector {
    /// Connect to public addresses over TLS only, whatever a name resolves to, and use no proxy.
    pub(crate) public_only: bool,
    /// Use no proxy, as for addresses of this machine.
    pub(crate) direct: bool,
}

impl BoundedConnector {
    pub(crate) fn client(self) -> Result<HttpClient, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("leoma/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the request past the checks on the endpoint; no S3 store needs
            // one.
            .redirect(reqwest::redirect::Policy::none())
            // Objects are read as they are stored, whatever encoding the store names.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST);
        if self.public_only {
            builder = builder.https_only(true).dns_resolver(Arc::new(PublicResolver));
        }
        // A proxy resolves names itself, where nobody checks the addresses.
        if self.direct || self.public_only {
            builder = builder.no_proxy();
        }
        Ok(HttpClient::new(BoundedClient { inner: HttpClient::new(builder.build()?) }))
    }
}

impl HttpConnector for BoundedConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.client().map_err(|source| object_store::Error::Generic {
            store: "S3",
            source: Box::new(source),
        })
    }
}

/// Turns every failed status into a [`StatusError`] and bounds every body.
#[derive(Debug)]
struct BoundedClient {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for BoundedClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = body_limit(&request);
        let response = self.inner.execute(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.map(|body| bounded(body, limit)));
        }
        let date = response.headers().get(http::header::DATE);
        let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
        // A hostile store may send an endless error.
        let body = bounded(response.into_body(), MAX_SHORT_BODY).bytes().await.unwrap_or_default();
        let mut error = StatusError::read(status, &body);
        if error.is_clock()
            && let Some(date) = date
        {
            error.message = format!("the store's time is {date}");
        }
        Err(HttpError::new(HttpErrorKind::Unknown, error))
    }
}

/// How large the answer to `request` may be. Listings and put answers are collected by the S3
/// client, whatever their size.
fn body_limit(request: &HttpRequest) -> usize {
    let lists = request.uri().query().is_some_and(|query| query.contains("list-type="));
    match *request.method() {
        Method::GET if lists => MAX_LISTING_BODY,
        Method::GET => MAX_OBJECT_BODY,
        _ => MAX_SHORT_BODY,
    }
}

fn bounded(body: HttpResponseBody, limit: usize) -> HttpResponseBody {
    HttpResponseBody::new(Limited::new(body, limit).map_err(|error| {
        match error.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(error) => HttpError::new(HttpErrorKind::Decode, TooLong(error.to_string())),
        }
    }))
}

#[derive(Debug, thiserror::Error)]
#[error("the answer is too long ({0})")]
struct TooLong(String);

/// Resolves names and drops every address that is not on the public internet. What a stranger
/// names must not reach our own network, whatever it resolves to when the connection is made.
#[derive(Clone, Copy, Debug)]
pub struct PublicResolver;

/// A name that resolves to no address on the public internet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has no public address")]
pub struct NoPublicAddress(String);

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| is_public(address.ip()))
                .collect();
            if found.is_empty() {
                return Err(NoPublicAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_code_and_message_of_an_error_and_nothing_else() {
        let body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message>\
            <AWSAccessKeyId>AKIDPLANTED</AWSAccessKeyId><StringToSign>AWS4\nplanted</StringToSign></Error>";
        let error = StatusError::read(StatusCode::FORBIDDEN, body);
        assert_eq!(error.to_string(), "HTTP 403 Forbidden, SignatureDoesNotMatch: no match");
        assert_eq!(
            StatusError::read(StatusCode::BAD_GATEWAY, b"<html>").to_string(),
            "HTTP 502 Bad Gateway"
        );
    }

    #[test]
    fn a_client_for_public_addresses_alone_uses_no_proxy() {
        let uses_proxies = |public_only, direct| {
            let client = BoundedConnector { public_only, direct }.client().unwrap();
            format!("{client:?}").contains("proxies")
        };
        assert!(uses_proxies(false, false));
        assert!(!uses_proxies(true, false) && !uses_proxies(false, true));
    }

    #[tokio::test]
    async fn names_of_this_machine_are_not_public() {
        let refused = PublicResolver.resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().to_string().contains("no public address"));
    }
}
