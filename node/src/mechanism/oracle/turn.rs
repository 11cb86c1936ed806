//! One task of the oracle: its moment, the question to every miner, our own reading of the market,
//! and the entries that follow.
//!
//! | step | rule |
//! |---|---|
//! | moment | the chain's clock at the task's first block, rounded up to a whole step |
//! | miners | those that the chain admits at that block |
//! | closed | no file is made; nor where it would be signed too late for its forecasts to count |
//! | asking | every miner once, at most until the file has to be signed |
//! | reading | our own feed's closing prices up to the first block; without one nothing is signed |
//!
//! Nothing waits for the market: a forecast is ranked by whoever has the later readings.

use std::collections::BTreeMap;

use bytes::Bytes;
use leoma_chain::{ChainClient, Head};
use leoma_protocol::synapse::{Fields, Target};
use leoma_protocol::{BlockNumber, Hotkey};
use leoma_storage::Format;
use leoma_synapse::Dendrite;
use serde::{Deserialize, Serialize};

use super::challenge::{ANSWER_BYTES, TIMEOUT, question, told};
use super::feed::MarketClient;
use super::hours::{Hours, Session, new_york_text};
use super::proof::{Heard, JUDGE, OracleMetadata, Plan, SCHEMA, Said, not_asked};
use super::rules::Rules;
use crate::corpus::Seed;
use crate::mechanism::asked::{
    Admission, Admitted, AskRules, Asking, Reply, Said as Replied, in_order,
};
use crate::mechanism::folder::TaskFolder;
use crate::mechanism::on_disk::on_disk;
use crate::mechanism::{Scored, TaskError, TurnContext, Turns, past};

/// Pause before a miner that could not be reached is asked once more.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// The oracle as a mechanism.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) hours: Hours,
    pub(crate) chain: ChainClient,
    /// Who is asked.
    pub(crate) admission: Admission,
    pub(crate) desk: Desk,
}

/// What asks miners and reads the market.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What all validators share.
    pub(crate) rules: Rules,
    /// Our own feed.
    pub(crate) market: MarketClient,
    /// What asks.
    pub(crate) dendrite: Dendrite,
    /// How many at a time.
    pub(crate) at_a_time: usize,
}

/// What a task was begun with. It is in the task's folder from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The task's first block.
    pub(super) seed: Seed,
    /// The head when it was taken up.
    pub(super) at: BlockNumber,
    /// When it takes place.
    pub(super) plan: Plan,
    /// Who is asked.
    pub(super) miners: Admitted,
}

#[async_trait::async_trait]
impl Turns for Oracle {
    fn judge_id(&self) -> &str {
        JUDGE
    }

    async fn turn(&mut self, context: TurnContext<'_>) -> Result<Option<Scored>, TaskError> {
        let Some(begun) = self.begin(&context).await? else { return Ok(None) };
        self.desk.take(&begun, &context).await.map(Some)
    }
}

impl Oracle {
    /// What the task is begun with: that of an earlier try or an earlier start, because answers
    /// belong to it. `None` where there is nothing to do.
    async fn begin(&self, context: &TurnContext<'_>) -> Result<Option<Begun>, TaskError> {
        let seed = context.seed;
        let earlier = on_disk(context.folder, |folder| Ok(folder.begun_asking::<Begun>())).await?;
        if let Some(begun) = earlier.filter(|begun| begun.seed == seed) {
            tracing::info!(task = %context.task_id, "resuming a task that was begun earlier");
            return Ok(Some(begun));
        }
        let start_ms = self.chain.timestamp(Head { number: seed.block, hash: seed.hash }).await?;
        let at = context.heads.borrow().number;
        let Some(plan) = plan(&self.desk.rules, self.hours, start_ms) else { return Ok(None) };
        if !self.desk.rules.is_worth_a_file(&plan, seed.block, at) {
            return Ok(None);
        }
        let miners = self.admission.miners(seed).await?;
        let begun = Begun { seed, at, plan, miners };
        let kept = begun.clone();
        let begin = move |folder: &TaskFolder| folder.begin_asking(&kept, &[]);
        on_disk(context.folder, begin).await?;
        Ok(Some(begun))
    }
}

/// When a task takes place whose first block has this clock. `None` for a clock that no forecast
/// can name.
pub(crate) fn plan(rules: &Rules, hours: Hours, start_ms: u64) -> Option<Plan> {
    let (begin, read) = (rules.begin(start_ms)?, rules.read(start_ms)?);
    Some(Plan { start_ms, begin, read, session: hours.at(begin) })
}

impl Rules {
    /// Whether a task with this start that is taken up at a head makes a file that counts.
    pub(super) fn is_worth_a_file(&self, plan: &Plan, start: BlockNumber, at: BlockNumber) -> bool {
        let moment = new_york_text(plan.begin);
        match plan.session {
            Session::Closed => {
                tracing::info!(moment, "the market is closed");
                false
            }
            // Who stands in for another comes too late for this.
            Session::Open if at > self.ask_until(start) => {
                tracing::info!(moment, head = %at, "too late for forecasts that count");
                false
            }
            Session::Open | Session::Reading => true,
        }
    }
}

impl Desk {
    /// One try at a task.
    pub(super) async fn take(
        &self,
        begun: &Begun,
        context: &TurnContext<'_>,
    ) -> Result<Scored, TaskError> {
        let (plan, start) = (begun.plan, begun.seed.block);
        let targets = in_order(&begun.miners, context.task_id);
        let closes = self.market.reading(&plan, self.rules.step_s);
        let (heard, closes) = if plan.session == Session::Open {
            let (heard, closes) = tokio::join!(self.ask(&targets, begun, context), closes);
            (heard?, closes)
        } else {
            let heard = |target: &Target| (target.hotkey, not_asked(&plan));
            (targets.iter().map(heard).collect(), closes.await)
        };
        let metadata = OracleMetadata {
            schema: SCHEMA.to_owned(),
            task_id: context.task_id,
            netuid: context.network.netuid,
            genesis: context.network.genesis,
            validator: context.validator,
            block: begun.at,
            seed: begun.seed,
            plan,
            timestamp: new_york_text(plan.begin),
            closes: closes.map_err(TaskError::Feed)?,
            heard,
        };
        let entries = metadata.entries(&self.rules);
        let miners: Vec<Hotkey> = entries.iter().map(|entry| entry.hotkey).collect();
        let finish = move |folder: &TaskFolder| folder.finish_asking(&metadata, &miners);
        let metadata_sha256 = on_disk(context.folder, finish).await?;
        let is_late = context.heads.borrow().number > self.rules.sign_until(start);
        if plan.session == Session::Open && is_late {
            return Err(TaskError::OutOfTime);
        }
        Ok(Scored { entries, metadata_sha256 })
    }

    /// What every target says, those that an earlier try heard included.
    async fn ask(
        &self,
        targets: &[Target],
        begun: &Begun,
        context: &TurnContext<'_>,
    ) -> Result<BTreeMap<Hotkey, Heard>, TaskError> {
        let question = question(begun.plan.begin, TIMEOUT)?;
        let rules = AskRules { at_a_time: self.at_a_time, pause: PAUSE, reply_bytes: ANSWER_BYTES };
        let asking = Asking {
            dendrite: &self.dendrite,
            question: &question,
            rules,
            folder: context.folder,
            format: Format::Json,
        };
        let last = self.rules.ask_until(begun.seed.block).min(context.ask_until);
        let deadline = past(context.heads.clone(), last);
        let cells = self.rules.cells;
        let read = move |fields: &Fields| {
            let told = told(fields, cells);
            told.forecast.map(|_| Bytes::from(told.text))
        };
        let replies = asking.run(targets, deadline, read).await?;
        on_disk(context.folder, move |folder| heard(folder, replies)).await
    }
}

/// What miners said, with the text of each forecast.
fn heard(folder: &TaskFolder, replies: Vec<Reply>) -> std::io::Result<BTreeMap<Hotkey, Heard>> {
    let heard = |Reply { miner, took_ms, said }: Reply| {
        let said = match said {
            Replied::Answer { .. } => {
                let text = folder.read_answer(miner, Format::Json)?;
                Said::Prediction(String::from_utf8_lossy(&text).into_owned())
            }
            Replied::Failure { status, reason } => Said::Nothing { status, reason },
        };
        Ok((miner, Heard { took_ms, said }))
    };
    replies.into_iter().map(heard).collect()
}
