//! When reports are sent to the API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leoma_protocol::{FileId, Hotkey, HotkeySigner, TaskId};
use leoma_web::Subnet;
use leoma_web::view::{Verdict, View};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::client::OwnersApi;
use super::posts::{MinersReport, TaskPlace, miners_report, sample_batches};
use crate::metrics::Metrics;
use crate::outbound::ServiceError;
use crate::state::State;

/// How often there may be something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// After this long an unchanged report is posted again: the API forgets those of 15 minutes ago.
const REPORT_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Tells the API of our samples and of our checks of the miners.
#[derive(Debug)]
pub(crate) struct Reporter {
    api: OwnersApi,
    own: Hotkey,
    /// The bucket with our tasks; `None` where this process samples nothing.
    bucket: Option<String>,
    shown: Arc<dyn Subnet>,
    state: State,
    metrics: Metrics,
}

/// What the API has been told.
#[derive(Debug, Default)]
struct Told {
    report: Option<(Instant, MinersReport)>,
    /// Why the last report was refused, if it was.
    report_refused: Option<String>,
    /// Tasks whose samples are there or were refused; `None` before the first look.
    tasks: Option<BTreeSet<u64>>,
    failing: bool,
}

/// The part of a verdict file that is read.
#[derive(Deserialize)]
struct Signed {
    signature: String,
}

impl Reporter {
    /// A reporter that has told nothing yet. `base` is the API's address.
    ///
    /// # Errors
    /// The TLS set-up's error.
    pub(crate) fn new(
        base: &str,
        signer: HotkeySigner,
        bucket: Option<String>,
        shown: Arc<dyn Subnet>,
        state: State,
        metrics: Metrics,
    ) -> Result<Self, reqwest::Error> {
        let own = signer.hotkey();
        Ok(Self { api: OwnersApi::new(base, signer)?, own, bucket, shown, state, metrics })
    }

    /// Tells what is new until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut told = Told::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.round(&mut told) => told.failing = self.noted(outcome, told.failing),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Logs once when posts begin to fail and once when they arrive again; returns whether they
    /// fail.
    fn noted(&self, outcome: Result<bool, ServiceError>, failing: bool) -> bool {
        match outcome {
            Ok(true) if failing => {
                tracing::info!("the API at API_URL takes our posts again");
                false
            }
            Ok(_) => failing,
            Err(error) => {
                self.metrics.posts_to_api_failed.inc();
                if failing {
                    tracing::debug!(%error, "the API at API_URL did not take a post");
                } else {
                    tracing::warn!(%error, "the API at API_URL does not take our posts, will retry; nothing else depends on it");
                }
                true
            }
        }
    }

    /// Posts what is new; whether anything was taken. A refusal is about one post, which is not
    /// made again; any other failure would affect the next posts too, and ends the round.
    async fn round(&self, told: &mut Told) -> Result<bool, ServiceError> {
        let Ok(view) = self.shown.view().await else { return Ok(false) };
        let mut posted = false;
        if let Some(report) = miners_report(&view.snapshot)
            && told.wants(&report)
        {
            let refused = self.post("miners/report", &report).await?;
            posted |= refused.is_none();
            if let Some(reason) = &refused
                && told.report_refused != refused
            {
                tracing::warn!(reason, "the API at API_URL refused our report of the miners");
            }
            (told.report, told.report_refused) = (Some((Instant::now(), report)), refused);
        }
        let Some(bucket) = &self.bucket else { return Ok(posted) };
        for verdict in self.untold(&view, told) {
            if let Some(is_taken) = self.post_samples(&verdict, bucket).await? {
                told.tasks.get_or_insert_default().insert(verdict.task_id);
                posted |= is_taken;
            }
        }
        Ok(posted)
    }

    /// Our files that were not reported to the API, oldest first. At the start that is the newest
    /// one alone: an earlier run told it of the others.
    fn untold(&self, view: &View, told: &mut Told) -> Vec<Arc<Verdict>> {
        let own = self.own.to_string();
        let files = view.snapshot.files.iter();
        let ours: Vec<_> = files.filter(|file| *file.verdict.producer == own).collect();
        let held: BTreeSet<u64> = ours.iter().map(|file| file.verdict.task_id).collect();
        let tasks = told.tasks.get_or_insert_with(|| {
            let mut earlier = held.clone();
            earlier.pop_last();
            earlier
        });
        tasks.retain(|task| held.contains(task));
        let new = ours.iter().filter(|file| !tasks.contains(&file.verdict.task_id));
        new.map(|file| Arc::clone(&file.verdict)).collect()
    }

    /// Posts a file's samples; whether any were taken. `None` until its prompt is in our bucket.
    async fn post_samples(
        &self,
        verdict: &Verdict,
        bucket: &str,
    ) -> Result<Option<bool>, ServiceError> {
        let record = self.shown.record(verdict.task_id, self.own).await;
        let Ok(Some(record)) = record else { return Ok(None) };
        let signature = self.signature(verdict.task_id).await;
        let prompt = record.prompt.as_deref().unwrap_or_default();
        let place = TaskPlace { bucket, prompt, signature: signature.as_deref() };
        let mut is_taken = false;
        for batch in sample_batches(verdict, place) {
            match self.post("samples/batch", &batch).await? {
                None => is_taken = true,
                Some(reason) => {
                    let task = verdict.task_id;
                    tracing::warn!(task, reason, "the API at API_URL refused a task's samples");
                }
            }
        }
        Ok(Some(is_taken))
    }

    async fn signature(&self, task_id: u64) -> Option<String> {
        let id = FileId { task_id: TaskId(task_id), producer: self.own };
        let file = self.state.on_disk(move |state| state.file(id, None)).await.ok()??;
        serde_json::from_slice::<Signed>(&file.bytes).ok().map(|signed| signed.signature)
    }

    /// Posts; why the API refused this very post, if it did.
    async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Option<String>, ServiceError> {
        let reason = match self.api.post(path, body).await {
            Ok(()) => {
                self.metrics.posts_to_api.inc();
                return Ok(None);
            }
            Err(ServiceError::Refused { status, code, .. }) => {
                format!("HTTP {status} {code}").trim_end().to_owned()
            }
            Err(error @ ServiceError::Unreadable { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        self.metrics.posts_to_api_failed.inc();
        Ok(Some(reason))
    }
}

impl Told {
    fn wants(&self, report: &MinersReport) -> bool {
        self.report
            .as_ref()
            .is_none_or(|(at, last)| at.elapsed() >= REPORT_AGAIN_AFTER || last != report)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use leoma_protocol::{Digest, Netuid, Network};
    use leoma_web::testing::{MemorySource, Scale, subnet};
    use leoma_web::view::{Snapshot, Validator};
    use leoma_web::{Audience, Site, SiteSettings, Source as _, Start, WantedSamples, bind, serve};
    use prometheus_client::registry::Registry;
    use sp_core::{Pair as _, sr25519};

    use super::*;

    /// A subnet in which `own` produced the newest of six tasks and one before it.
    fn snapshot(own: Hotkey) -> Snapshot {
        let mut snapshot = subnet(Scale { miners: 3, tasks: 6, validators: 2 });
        let hotkey: leoma_web::view::HotkeyText = own.to_string().into();
        for index in [2, 5] {
            let file = &mut snapshot.files[index];
            file.verdict =
                Arc::new(Verdict { producer: Arc::clone(&hotkey), ..(*file.verdict).clone() });
        }
        let listed = Validator { hotkey, listed: true, ..Validator::default() };
        snapshot.validators.push(listed);
        snapshot
    }

    #[tokio::test]
    async fn an_api_of_our_own_takes_what_a_validator_reports_and_is_told_it_once() {
        let pair = sr25519::Pair::from_seed(&[5; 32]);
        let own = Hotkey::from(pair.public());
        let source = MemorySource::new(snapshot(own));
        let (board, shown) = (source.board(), source.subnet());
        let (start, progress) = Start::new("test");
        start.finish(source);
        let stop = CancellationToken::new();
        let site = Site::new(progress, SiteSettings::default(), stop.clone());
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), "LEOMA_API_LISTEN").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener, site, Audience::Public));

        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let state = State::in_memory(network).unwrap();
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        let metrics = Metrics::register(&mut Registry::default());
        let reporter =
            Reporter::new(&base, signer, Some("mine".to_owned()), shown, state, metrics.clone())
                .unwrap();
        let mut told = Told::default();
        assert!(reporter.round(&mut told).await.unwrap());
        let reports = board.reports().await.unwrap();
        assert_eq!(reports.len(), 1);
        assert_eq!((reports[0].validator.clone(), reports[0].miners.len()), (own.to_string(), 3));
        let all = WantedSamples { limit: 100, ..WantedSamples::default() };
        let samples = board.samples(all).await.unwrap();
        // The newest task alone: an earlier run reported the one before.
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|one| one.validator == own.to_string()));
        assert!(samples[0].sample.prompt.contains("boat"));
        assert_eq!(metrics.posts_to_api.get(), 2);
        assert!(!reporter.round(&mut told).await.unwrap());

        stop.cancel();
        server.abort();
        told.report = None;
        let error = reporter.round(&mut told).await.unwrap_err();
        assert!(matches!(error, ServiceError::Unavailable { .. }), "{error}");
        assert!(reporter.noted(Err(error), false));
        assert_eq!(metrics.posts_to_api_failed.get(), 1);
    }

    #[tokio::test]
    async fn a_refused_post_holds_up_no_other_and_is_not_made_again() {
        use axum::http::StatusCode;
        use axum::routing::post;

        let pair = sr25519::Pair::from_seed(&[5; 32]);
        let own = Hotkey::from(pair.public());
        let made = snapshot(own);
        let refused = made.files[2].verdict.task_id;
        let samples = move |axum::Json(body): axum::Json<serde_json::Value>| async move {
            let is_refused = body["samples"][0]["task_id"] == refused;
            if is_refused { StatusCode::CONFLICT } else { StatusCode::OK }
        };
        let router = axum::Router::new()
            .route("/miners/report", post(|| async { StatusCode::BAD_REQUEST }))
            .route("/samples/batch", post(samples));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });

        let network = Network { genesis: Digest::of(b"g"), netuid: Netuid(99) };
        let state = State::in_memory(network).unwrap();
        let signer = HotkeySigner::new(pair, Arc::new(state.clone()));
        let metrics = Metrics::register(&mut Registry::default());
        let shown = MemorySource::new(made).subnet();
        let bucket = Some("mine".to_owned());
        let reporter = Reporter::new(&base, signer, bucket, shown, state, metrics.clone()).unwrap();
        let posts = || (metrics.posts_to_api.get(), metrics.posts_to_api_failed.get());
        let mut told = Told { tasks: Some(BTreeSet::new()), ..Told::default() };
        assert!(reporter.round(&mut told).await.unwrap());
        assert_eq!(posts(), (1, 2), "one task's samples are taken after two refusals");
        assert_eq!(told.report_refused.as_deref(), Some("HTTP 400"));
        assert!(!reporter.round(&mut told).await.unwrap());
        assert_eq!(posts(), (1, 2));
    }
}
