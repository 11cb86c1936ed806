//! One video task, over all tries at it: from its clip to its entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use leoma_protocol::verdict::VerdictEntry;
use leoma_protocol::{BlockNumber, Hotkey, TaskId};
use leoma_scoring::media::ClipShape;
use leoma_scoring::worker::SourceClip;
use leoma_storage::SourceBucket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::Answer;
use super::ask::{Round, in_order};
use super::copies::{Judged, without_copies};
use super::course::KnownGood;
use super::done::Done;
use super::judge_time::{BRIEF, JudgeTime};
use super::judging::{Judging, Judgment};
use super::known_corpus::KnownCorpus;
use super::requests::{Chutes, Rules, request};
use super::spool::Begun;
use crate::config::SamplingConfig;
use crate::corpus::{Evidence, Seed, TaskClip, TaskMetadata, clip_of};
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::on_disk::{disk, on_disk};
use crate::mechanism::{Scored, TaskError, TurnContext, Turns, past};
use crate::metrics::Metrics;
use crate::miners::whose_fault::{OurFault, judge_needs_control};
use crate::miners::{ChutesClient, MinerTable};

/// What video works with.
#[derive(Debug)]
pub(crate) struct VideoParts {
    /// Sizes and limits.
    pub(crate) config: SamplingConfig,
    /// Source videos.
    pub(crate) source: SourceBucket,
    /// Miners' endpoints.
    pub(crate) chutes: ChutesClient,
    /// The checked miners.
    pub(crate) miners: watch::Receiver<Arc<MinerTable>>,
    /// The scorer and the judge.
    pub(crate) judging: Judging,
    /// Metrics.
    pub(crate) metrics: Metrics,
}

/// Video as a mechanism.
#[derive(Debug)]
pub(crate) struct Video {
    parts: VideoParts,
    corpus: KnownCorpus,
    known: KnownGood,
    /// The task that was tried last.
    open: Option<OpenTask>,
}

/// A task, and how far it has come.
#[derive(Debug)]
struct OpenTask {
    task_id: TaskId,
    begun: Option<Arc<Begun>>,
    reference: Option<SourceClip>,
    done: Done,
}

impl OpenTask {
    fn new(task_id: TaskId) -> Self {
        Self { task_id, begun: None, reference: None, done: Done::default() }
    }
}

/// What verdicts consist of.
struct Verdicts {
    entries: Vec<VerdictEntry>,
    evidence: BTreeMap<Hotkey, Evidence>,
}

#[async_trait::async_trait]
impl Turns for Video {
    fn judge_id(&self) -> &str {
        self.parts.judging.id()
    }

    async fn turn(&mut self, context: TurnContext<'_>) -> Result<Option<Scored>, TaskError> {
        let task_id = context.task_id;
        let earlier = self.open.take().filter(|open| open.task_id == task_id);
        let mut open = earlier.unwrap_or_else(|| OpenTask::new(task_id));
        let scored = self.try_task(&mut open, &context).await;
        // What is done stays for the next try.
        self.open = Some(open);
        scored.map(Some)
    }
}

impl Video {
    pub(crate) fn new(parts: VideoParts) -> Self {
        let corpus = KnownCorpus::new(parts.config.poll_interval);
        Self { parts, corpus, known: KnownGood::default(), open: None }
    }

    async fn try_task(
        &mut self,
        open: &mut OpenTask,
        context: &TurnContext<'_>,
    ) -> Result<Scored, TaskError> {
        let folder = context.folder;
        let miners = in_order(&self.parts.miners.borrow(), context.task_id);
        if miners.is_empty() {
            return Err(TaskError::NoMiners);
        }
        let (begun, reference) = self.begin(open, context).await?;
        let parts = &self.parts;
        let body = request(parts.judging.task(), &begun.clip, begun.prompt.as_deref()).to_body();
        let body = body.map_err(|error| disk(folder, error.into()))?;
        let endpoints = Chutes { client: &parts.chutes, body };
        let rules = Rules {
            at_a_time: parts.config.concurrent_miners,
            judged_at_a_time: parts.judging.at_a_time(),
            timeout: parts.config.request_timeout,
            cold_start_pause: parts.config.cold_start_pause,
        };
        let time = JudgeTime::of_try(&open.done);
        let judge = |answer: Answer| {
            let (begun, reference, time) = (&begun, &reference, &time);
            let file = folder.video(answer.miner);
            async move {
                let VideoParts { judging, metrics, .. } = parts;
                let (began, within) = (Instant::now(), time.wait_for(answer.miner));
                let judged = judging.judge(reference, begun, &answer, &file, metrics, within).await;
                time.took(began.elapsed(), &judged);
                judged
            }
        };
        let deadline = past(context.heads.clone(), context.ask_until);
        let known = &mut self.known;
        let mut round = Round { endpoints: &endpoints, rules, folder, known };
        round.run(miners, &mut open.done, deadline, judge).await?;
        // Both are asked at each try: one clip must not put the decision about another off.
        let graded = self.check_judge(&begun, &mut open.done).await;
        let scored = self.check_scorer(&begun, &reference, &mut open.done).await;
        graded.and(scored)?;
        let verdicts = verdicts(&open.done, &reference).await?;
        self.finish(context, &begun, verdicts).await
    }

    /// Writes what peers read beside the verdicts.
    async fn finish(
        &self,
        context: &TurnContext<'_>,
        begun: &Begun,
        verdicts: Verdicts,
    ) -> Result<Scored, TaskError> {
        let Verdicts { entries, evidence } = verdicts;
        let metadata = TaskMetadata {
            task_id: context.task_id,
            netuid: context.network.netuid,
            genesis: context.network.genesis,
            validator: context.validator,
            block: begun.at,
            task: self.parts.judging.task(),
            prompt: begun.prompt.clone(),
            judge: self.parts.judging.id().to_owned(),
            clip: begun.clip.proof.clone(),
            evidence,
        };
        let miners: Vec<Hotkey> = entries.iter().map(|entry| entry.hotkey).collect();
        let finish = move |folder: &TaskFolder| folder.finish(&metadata, &miners);
        let metadata_sha256 = on_disk(context.folder, finish).await?;
        Ok(Scored { entries, metadata_sha256 })
    }

    /// The task's clip, its measures and its prompt: those of an earlier try or an earlier start,
    /// because answers belong to them.
    async fn begin(
        &mut self,
        open: &mut OpenTask,
        context: &TurnContext<'_>,
    ) -> Result<(Arc<Begun>, SourceClip), TaskError> {
        if let (Some(begun), Some(reference)) = (&open.begun, &open.reference) {
            return Ok((Arc::clone(begun), reference.clone()));
        }
        let (folder, seed) = (context.folder, context.seed);
        let earlier = on_disk(folder, move |folder| Ok(folder.begun(seed))).await?;
        let (begun, reference) = match earlier {
            Some(begun) => {
                let reference = self.parts.judging.reference(&begun.clip.mp4).await?;
                let kept = on_disk(folder, TaskFolder::kept).await?;
                tracing::info!(task = %open.task_id, videos = kept.len(), "resuming a task that was begun earlier");
                open.done.answers.extend(kept.into_iter().map(|answer| (answer.miner, answer)));
                (begun, reference)
            }
            None => {
                let at = context.heads.borrow().number;
                self.begin_anew(seed, at, folder).await?
            }
        };
        let reference = match &begun.prompt {
            Some(prompt) => reference.with_prompt(prompt),
            None => reference,
        };
        let begun = Arc::new(begun);
        (open.begun, open.reference) = (Some(Arc::clone(&begun)), Some(reference.clone()));
        Ok((begun, reference))
    }

    async fn begin_anew(
        &mut self,
        seed: Seed,
        at: BlockNumber,
        folder: &TaskFolder,
    ) -> Result<(Begun, SourceClip), TaskError> {
        let clip = self.choose_clip(seed).await?;
        let judging = &self.parts.judging;
        let reference = judging.reference(&clip.mp4).await?;
        let prompt = match judging.task().gives_prompt() {
            true => Some(judging.describe(&clip.mp4, &reference).await?),
            false => None,
        };
        let begun = Begun { at, clip, prompt };
        let begin = move |folder: &TaskFolder| folder.begin(&begun).map(|()| begun);
        Ok((on_disk(folder, begin).await?, reference))
    }

    async fn choose_clip(&mut self, seed: Seed) -> Result<TaskClip, TaskError> {
        let VideoParts { config, source, judging, .. } = &self.parts;
        let corpus = self.corpus.get(source, config.source_bytes()).await?;
        let shape = ClipShape { width: config.width, height: config.height, ..ClipShape::TASK };
        Ok(clip_of(seed, &corpus, source, judging.ffmpeg(), shape).await?)
    }

    /// Decides whose fault it is that the judge refused some videos, or had no usable answer about
    /// them. It is asked about the source clip now: what it refuses too is our fault, and it may
    /// have failed since it graded others. What is not decided is asked about again. It has no more
    /// time for the source clip than it had for any video.
    async fn check_judge(&self, begun: &Begun, done: &mut Done) -> Result<(), TaskError> {
        let (refused, silent) = done.ungraded();
        if !judge_needs_control(refused, silent) {
            return Ok(());
        }
        let answers = self.parts.judging.takes_the_source(begun, BRIEF).await?;
        if !answers {
            return Err(OurFault::Judge.into());
        }
        done.settle_refusals();
        done.settle_silences(answers)
    }

    /// Decides whose fault it is that videos were lost with their scoring processes. What is not
    /// decided is scored again at the next try.
    async fn check_scorer(
        &self,
        begun: &Begun,
        reference: &SourceClip,
        done: &mut Done,
    ) -> Result<(), TaskError> {
        let source_scored = done.losses_need_control()
            && self.parts.judging.scores_the_source(reference, begun).await;
        done.settle_losses(source_scored)
    }
}

/// The entries of all miners, sorted by hotkey, with copies marked.
///
/// # Errors
/// A miner has none through our fault: peers would not attest to a file without it.
async fn verdicts(done: &Done, reference: &SourceClip) -> Result<Verdicts, TaskError> {
    let mut all = Vec::with_capacity(done.answers.len());
    for (miner, answer) in &done.answers {
        match done.judged.get(miner) {
            None if answer.is_file() => return Err(TaskError::OutOfTime),
            None => all.push(Judged::without_video(answer)),
            Some(Judgment::Entry(judged)) => all.push(Judged::clone(judged)),
            Some(Judgment::Silence { error, .. }) => return Err(error.clone().into()),
            Some(Judgment::Lost { reason, .. }) => {
                return Err(leoma_scoring::ScoreFault::Worker(reason.clone()).into());
            }
        }
    }
    let evidence = all
        .iter_mut()
        .filter_map(|judged| Some((judged.entry.hotkey, judged.evidence.take()?)))
        .collect();
    let source = reference.clone();
    let entries =
        tokio::task::spawn_blocking(move || without_copies(all, source.fingerprint())).await?;
    Ok(Verdicts { entries, evidence })
}
