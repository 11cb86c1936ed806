//! Simulated miners, and a task that they are asked about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leoma_protocol::verdict::{EntryStatus, VerdictEntry};
use leoma_protocol::{BlockNumber, Hotkey, TaskId};
use tokio::time::{Instant, sleep, sleep_until};

use crate::mechanism::TaskError;
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::video::answer::Answer;
use crate::mechanism::video::ask::Round;
use crate::mechanism::video::copies::Judged;
use crate::mechanism::video::course::KnownGood;
use crate::mechanism::video::done::Done;
use crate::mechanism::video::judging::Judgment;
use crate::mechanism::video::requests::{Asked, Endpoints, Rules};
use crate::miners::Replied;
use crate::miners::whose_fault::{LIMITED, Reply};
use crate::outbound::Pace;

/// What a simulated miner does with one request.
#[derive(Clone, Copy, Debug)]
pub(in crate::mechanism::video) enum Does {
    /// Replies after this many seconds.
    Reply(Reply, u64),
    /// Replies after this many seconds, and asks for a pause of the second number of seconds.
    Pause(Reply, u64, u64),
}

pub(in crate::mechanism::video) const VIDEO: Does = Does::Reply(Reply::Video, 40);
/// Longer than any time-out.
pub(in crate::mechanism::video) const NEVER: Does = Does::Reply(Reply::Timeout, 100_000);

/// Simulated endpoints: each miner does one thing after the other, the last one for ever.
pub(in crate::mechanism::video) struct World {
    miners: BTreeMap<String, Vec<Does>>,
    pub(in crate::mechanism::video) control: Reply,
    /// Miners that refuse every control.
    pub(in crate::mechanism::video) liars: Vec<usize>,
    /// Nothing succeeds in these seconds, and what is connected when they begin breaks off.
    pub(in crate::mechanism::video) outage: Option<Range<u64>>,
    /// What a request shows that begins in the outage.
    pub(in crate::mechanism::video) in_outage: Reply,
    /// Requests that the service allows our account in a minute.
    pub(in crate::mechanism::video) allowed: Option<u32>,
    /// The minute of the last request that was allowed, and how many there were in it.
    minute: Mutex<(u64, u32)>,
    began: Instant,
    pace: Pace,
    requests: Mutex<BTreeMap<String, usize>>,
    at_work: AtomicUsize,
    pub(in crate::mechanism::video) most_at_work: AtomicUsize,
    pub(in crate::mechanism::video) controls: AtomicUsize,
}

impl World {
    pub(in crate::mechanism::video) fn new(miners: impl IntoIterator<Item = Vec<Does>>) -> Self {
        let miners = miners.into_iter().enumerate().map(|(n, does)| (format!("m{n}"), does));
        Self {
            miners: miners.collect(),
            control: Reply::Status(422),
            liars: Vec::new(),
            outage: None,
            in_outage: Reply::Unreachable,
            allowed: None,
            minute: Mutex::default(),
            began: Instant::now(),
            pace: Pace::per_minute(50),
            requests: Mutex::default(),
            at_work: AtomicUsize::new(0),
            most_at_work: AtomicUsize::new(0),
            controls: AtomicUsize::new(0),
        }
    }

    /// Ends when a request that begins now meets the outage, with what it shows; never where it
    /// meets none.
    async fn outage(&self) -> Reply {
        let Some(outage) = &self.outage else { return std::future::pending().await };
        let now = self.began.elapsed();
        if now < Duration::from_secs(outage.start) {
            sleep_until(self.began + Duration::from_secs(outage.start)).await;
            return Reply::BrokenOff;
        }
        if now < Duration::from_secs(outage.end) {
            return self.in_outage;
        }
        std::future::pending().await
    }

    /// The seconds until the account's next minute, where it is limited now.
    fn limited_for(&self) -> Option<u64> {
        let allowed = self.allowed?;
        let now = self.began.elapsed().as_secs();
        let mut minute = self.minute.lock().unwrap();
        if minute.0 != now / 60 {
            *minute = (now / 60, 0);
        }
        if minute.1 >= allowed {
            return Some(60 - now % 60);
        }
        minute.1 += 1;
        None
    }

    fn asked(&self) -> Vec<Asked> {
        (0..self.miners.len()).map(asked).collect()
    }

    pub(in crate::mechanism::video) fn requests(&self, n: usize) -> usize {
        self.requests.lock().unwrap().get(&format!("m{n}")).copied().unwrap_or(0)
    }
}

pub(in crate::mechanism::video) fn miner(n: usize) -> Hotkey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Hotkey::from_bytes(bytes)
}

pub(in crate::mechanism::video) fn asked(n: usize) -> Asked {
    Asked {
        miner: miner(n),
        slug: format!("m{n}"),
        model_revision: "r".into(),
        commit_block: BlockNumber(1),
    }
}

impl Endpoints for World {
    async fn pace(&self) {
        self.pace.wait().await;
    }

    fn rest(&self, rest: Duration) {
        self.pace.rest(rest);
    }

    async fn generate(&self, slug: &str, path: &Path) -> std::io::Result<Replied> {
        let nth = {
            let mut requests = self.requests.lock().unwrap();
            let count = requests.entry(slug.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let does = &self.miners[slug];
        if let Some(seconds) = self.limited_for() {
            sleep(Duration::from_secs(1)).await;
            let pause = Some(Duration::from_secs(seconds));
            return Ok(Replied { reply: LIMITED, detail: "HTTP 429".into(), pause });
        }
        let (reply, seconds, pause) = match does[nth.min(does.len() - 1)] {
            Does::Reply(reply, seconds) => (reply, seconds, None),
            Does::Pause(reply, seconds, pause) => {
                (reply, seconds, Some(Duration::from_secs(pause)))
            }
        };
        let _here = AtWork::begin(self);
        let (reply, pause) = tokio::select! {
            biased;
            () = sleep(Duration::from_secs(seconds)) => (reply, pause),
            reply = self.outage() => (reply, None),
        };
        if matches!(reply, Reply::Video | Reply::NotVideo) {
            std::fs::write(path, slug)?;
        }
        let detail = match reply {
            Reply::Status(status) => format!("HTTP {status}"),
            other => format!("{other:?}"),
        };
        Ok(Replied { reply, detail, pause })
    }

    async fn control(&self, slug: &str) -> Reply {
        self.controls.fetch_add(1, Ordering::Relaxed);
        let now = self.began.elapsed().as_secs();
        if self.outage.as_ref().is_some_and(|outage| outage.contains(&now)) {
            return self.in_outage;
        }
        if self.limited_for().is_some() {
            return LIMITED;
        }
        match self.liars.iter().any(|n| format!("m{n}") == slug) {
            true => Reply::Status(401),
            false => self.control,
        }
    }
}

/// Counts who works on a request, whatever ends it.
struct AtWork<'a>(&'a World);

impl<'a> AtWork<'a> {
    fn begin(world: &'a World) -> Self {
        let now = world.at_work.fetch_add(1, Ordering::Relaxed) + 1;
        world.most_at_work.fetch_max(now, Ordering::Relaxed);
        Self(world)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(in crate::mechanism::video) const RULES: Rules = Rules {
    at_a_time: 40,
    judged_at_a_time: 4,
    timeout: Duration::from_secs(300),
    cold_start_pause: Duration::from_secs(20),
};

/// A task's folder, and what is done of it.
pub(in crate::mechanism::video) struct Table {
    _spool: tempfile::TempDir,
    pub(in crate::mechanism::video) folder: TaskFolder,
    pub(in crate::mechanism::video) done: Done,
    pub(in crate::mechanism::video) known: KnownGood,
}

impl Table {
    pub(in crate::mechanism::video) fn new() -> Self {
        let spool = tempfile::tempdir().unwrap();
        let folder = TaskFolder::new(spool.path(), TaskId(1));
        for part in ["answers", "videos"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Self { _spool: spool, folder, done: Done::default(), known: KnownGood::default() }
    }

    pub(in crate::mechanism::video) async fn round(
        &mut self,
        world: &World,
        deadline: impl Future<Output = ()>,
    ) -> Result<(), TaskError> {
        let judge = |answer: Answer| async move {
            sleep(Duration::from_secs(3)).await;
            // As the decoder says about something other than an MP4.
            let status = match answer.replied.reply {
                Reply::NotVideo => EntryStatus::Undecodable,
                _ => EntryStatus::Passed,
            };
            let entry = VerdictEntry::unusable(answer.miner, status, String::new(), 1);
            Ok(Judgment::Entry(Box::new(Judged::of(&answer, entry))))
        };
        self.round_judged_by(world, deadline, judge).await
    }

    pub(in crate::mechanism::video) async fn round_judged_by<F>(
        &mut self,
        world: &World,
        deadline: impl Future<Output = ()>,
        judge: impl Fn(Answer) -> F,
    ) -> Result<(), TaskError>
    where
        F: Future<Output = Result<Judgment, TaskError>>,
    {
        let (folder, known) = (&self.folder, &mut self.known);
        let mut round = Round { endpoints: world, rules: RULES, folder, known };
        round.run(world.asked(), &mut self.done, deadline, judge).await
    }

    /// What the verdict file says about a miner; nothing where it has no entry.
    pub(in crate::mechanism::video) fn entry(&self, n: usize) -> Option<String> {
        let answer = self.done.answers.get(&miner(n))?;
        let entry = match self.done.judged.get(&miner(n)) {
            Some(Judgment::Entry(judged)) => Judged::clone(judged),
            Some(Judgment::Lost { .. } | Judgment::Silence { .. }) => return None,
            None => Judged::without_video(answer),
        };
        Some(entry.entry.status.to_string())
    }
}
