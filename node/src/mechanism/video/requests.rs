//! The requests to one miner.
//!
//! Each miner has the same time, counted from its first request. It is asked again where that is no
//! second chance: after 429, whose pauses do not count as its time, because our account may be what
//! is limited, so that nobody else is asked in the first of these pauses, either; and after 503,
//! when it has no instance free, whose pauses do count. A miner whose fault may have been an outage
//! is asked once more when all others have had their turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use leoma_protocol::{BlockNumber, Hotkey};
use leoma_scoring::TaskType;
use leoma_scoring::media::{ClipShape, Limits};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::answer::Answer;
use crate::corpus::TaskClip;
use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::miners::whose_fault::{LIMITED, Reply, Seen};
use crate::miners::{ChutesClient, GenerateRequest, Replied};

/// Requests to one miner after a 429.
const MOST_LIMITED: u32 = 4;
/// Pause after the first of them, where the answer names none; it doubles.
const LIMITED_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause that an answer can impose.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest time of a round in which nobody is asked because miners answered 429: the turn ends, and
/// they may be miners that say so by themselves.
const MOST_RESTED: Duration = Duration::from_secs(600);
/// Further requests to a miner that has no instance free.
pub(super) const MOST_COLD: u32 = 2;

/// The pause after what may have been an outage, in pauses after 503: a minute by default.
const OUTAGE_PAUSES: u32 = 3;

/// A gateway refuses our account sooner than this. What is under way for longer was taken.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// What each miner is given.
pub(super) fn request(task: TaskType, clip: &TaskClip, prompt: Option<&str>) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.filter(|_| task.gives_prompt()).map(str::to_owned),
        first_frame: task.gives_first_frame().then(|| clip.first_frame.clone()),
        fps: ClipShape::TASK.fps,
        frames: ClipShape::TASK.frames,
    }
}

/// Where miners are asked; simulations have their own.
pub(super) trait Endpoints {
    /// Waits until our pace allows another request.
    async fn pace(&self);
    /// Sends nothing to any miner for `rest`.
    fn rest(&self, rest: Duration);
    /// One request; a video is written to `path`.
    async fn generate(&self, slug: &str, path: &Path) -> std::io::Result<Replied>;
    /// What `slug` replies to a request that does not ask for a video.
    async fn control(&self, slug: &str) -> Reply;
}

/// The miners' real endpoints.
pub(super) struct Chutes<'a> {
    pub(super) client: &'a ChutesClient,
    pub(super) body: Bytes,
}

impl Endpoints for Chutes<'_> {
    async fn pace(&self) {
        self.client.pace().await;
    }

    fn rest(&self, rest: Duration) {
        self.client.rest(rest);
    }

    async fn generate(&self, slug: &str, path: &Path) -> std::io::Result<Replied> {
        self.client.generate(slug, &self.body, Limits::ANSWER.file_bytes, path).await
    }

    async fn control(&self, slug: &str) -> Reply {
        self.client.control(slug).await
    }
}

/// A miner to ask.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) miner: Hotkey,
    pub(super) slug: String,
    pub(super) model_revision: String,
    pub(super) commit_block: BlockNumber,
}

/// How miners are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Miners asked at a time.
    pub(super) at_a_time: usize,
    /// Answers judged at a time.
    pub(super) judged_at_a_time: usize,
    /// Each miner's time.
    pub(super) timeout: Duration,
    /// Pause before a miner is asked again that has no free instance and names none.
    pub(super) cold_start_pause: Duration,
}

impl Rules {
    /// Least pause before a miner is asked once more whose fault may have been an outage: as long
    /// as an outage may last that fails nobody.
    pub(super) fn outage_pause(self) -> Duration {
        self.cold_start_pause * OUTAGE_PAUSES
    }
}

/// Where the requests to a miner continue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// No request before this, counted from the round's beginning.
    pub(super) not_before: Duration,
    /// What earlier requests used up of the miner's time.
    pub(super) its_time: Duration,
    /// When it first refused our account, if it did.
    pub(super) first_refused: Option<Duration>,
    /// Further requests that it had while it had no instance free.
    pub(super) cold: u32,
}

/// Requests to miners, as one round makes them.
pub(super) struct Requests<'a, E> {
    endpoints: &'a E,
    rules: Rules,
    folder: &'a TaskFolder,
    permits: Semaphore,
    started: Instant,
    rested: Mutex<Rested>,
    /// Miners that refused our account and are asked again after a pause.
    refusing: Mutex<BTreeMap<Hotkey, Seen>>,
    refused: Notify,
    /// When the requests began that are under way.
    under_way: Mutex<BTreeMap<Hotkey, Instant>>,
}

/// The time of a round in which nobody is asked.
#[derive(Debug)]
struct Rested {
    until: Instant,
    in_all: Duration,
}

impl<'a, E: Endpoints> Requests<'a, E> {
    /// A round begins now.
    pub(super) fn begin(endpoints: &'a E, rules: Rules, folder: &'a TaskFolder) -> Self {
        let permits = Semaphore::new(rules.at_a_time);
        let started = Instant::now();
        let rested = Mutex::new(Rested { until: started, in_all: Duration::ZERO });
        let (refusing, refused, under_way) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { endpoints, rules, folder, permits, started, rested, refusing, refused, under_way }
    }

    /// Ends when a miner has refused our account and will be asked again.
    pub(super) async fn refused(&self) {
        self.refused.notified().await;
    }

    /// The last replies of miners that refused our account and will be asked again.
    pub(super) fn refusing(&self) -> BTreeMap<Hotkey, Seen> {
        lock(&self.refusing).clone()
    }

    /// How many requests under way have been taken: a refusal would have come by now.
    pub(super) fn taken(&self) -> usize {
        let is_taken = |began: &&Instant| began.elapsed() >= REFUSED_WITHIN;
        lock(&self.under_way).values().filter(is_taken).count()
    }

    /// Asks a miner until it has answered or its time is over.
    ///
    /// # Errors
    /// A fault of our disk.
    pub(super) async fn ask(
        &self,
        asked: Asked,
        start: Start,
    ) -> Result<(Answer, Seen), TaskError> {
        let folder = self.folder;
        let Start { not_before, its_time, first_refused, cold } = start;
        tokio::time::sleep_until(self.started + not_before).await;
        let mut course = OneMiner { its_time, first_refused, limited: 0, cold };
        let (replied, began) = loop {
            // The semaphore is never closed.
            let permit = self.permits.acquire().await;
            self.endpoints.pace().await;
            let began = Instant::now();
            lock(&self.under_way).insert(asked.miner, began);
            let replied = self.request(&asked, course.its_time).await;
            lock(&self.under_way).remove(&asked.miner);
            let replied = replied?;
            drop(permit);
            course.its_time += began.elapsed();
            let since = began - self.started;
            if let (LIMITED, 0, Some(pause)) = (replied.reply, course.limited, replied.pause) {
                self.rest(pause.min(LONGEST_PAUSE));
            }
            if replied.reply.refuses_account() {
                course.first_refused.get_or_insert(since);
            }
            let Some(pause) = course.pause_after(&replied, self.rules) else {
                break (replied, since);
            };
            if replied.reply.refuses_account() {
                let (reply, ended) = (replied.reply, self.started.elapsed());
                let first_refused = course.first_refused;
                let seen = Seen { reply, began: since, ended, first_refused };
                lock(&self.refusing).insert(asked.miner, seen);
                self.refused.notify_one();
            }
            tokio::time::sleep(pause).await;
        };
        lock(&self.refusing).remove(&asked.miner);
        let latency_ms = u64::try_from(course.its_time.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(miner = %asked.miner, latency_ms, reply = ?replied.reply, "miner asked");
        let (ended, first_refused) = (self.started.elapsed(), course.first_refused);
        let seen = Seen { reply: replied.reply, began, ended, first_refused };
        let Asked { miner, model_revision, commit_block, .. } = asked;
        let answer = Answer { miner, model_revision, commit_block, latency_ms, replied };
        if answer.is_file() {
            folder.keep(&answer).map_err(|source| disk(folder, source))?;
        }
        Ok((answer, seen))
    }

    /// Asks nobody for the pause that a miner's first 429 names: it may be our account that is
    /// limited. Each miner can bring that about once.
    fn rest(&self, pause: Duration) {
        let now = Instant::now();
        let until = now + pause;
        let mut rested = lock(&self.rested);
        let more = until.saturating_duration_since(rested.until.max(now));
        if rested.in_all + more <= MOST_RESTED {
            rested.in_all += more;
            rested.until = rested.until.max(until);
            self.endpoints.rest(pause);
        }
    }

    /// One request to a miner that has used up `its_time` so far.
    async fn request(&self, asked: &Asked, its_time: Duration) -> Result<Replied, TaskError> {
        let path = self.folder.arriving(asked.miner);
        let time = self.rules.timeout.saturating_sub(its_time);
        let asking = tokio::time::timeout(time, self.endpoints.generate(&asked.slug, &path));
        match asking.await {
            Ok(replied) => replied.map_err(|source| disk(self.folder, source)),
            Err(_) => {
                let _not_there = tokio::fs::remove_file(&path).await;
                let detail = "no complete answer in time".to_owned();
                Ok(Replied { reply: Reply::Timeout, detail, pause: None })
            }
        }
    }
}

/// How the requests to one miner go.
struct OneMiner {
    its_time: Duration,
    limited: u32,
    cold: u32,
    first_refused: Option<Duration>,
}

impl OneMiner {
    /// The pause before another request after this reply, where there is one.
    fn pause_after(&mut self, replied: &Replied, rules: Rules) -> Option<Duration> {
        let named = replied.pause.map(|pause| pause.min(LONGEST_PAUSE));
        match replied.reply {
            LIMITED if self.limited + 1 < MOST_LIMITED => {
                let pause = named.unwrap_or(LIMITED_PAUSE * 2_u32.pow(self.limited));
                self.limited += 1;
                Some(pause.min(LONGEST_PAUSE))
            }
            Reply::Status(503) if self.cold < MOST_COLD => {
                let pause = named.unwrap_or(rules.cold_start_pause);
                self.cold += 1;
                self.its_time += pause;
                (self.its_time < rules.timeout).then_some(pause)
            }
            _ => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disk(folder: &TaskFolder, source: std::io::Error) -> TaskError {
    TaskError::Disk { path: folder.path().to_owned(), source }
}
