//! What the services say about each miner's chute and model, and whose fault it is where they say
//! nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use leoma_chain::Commitment;
use leoma_protocol::{Hotkey, MinerCommitment, Uid, check_commit_count};

use super::chutes::Chute;
use super::hugging_face::Model;
use super::whose_fault::{Control, Lookup, nearly_all, refusals_are_ours};
use super::{ChutesClient, HuggingFaceClient, MinerState, Validity};
use crate::alarms::Alarms;
use crate::config::ServicesConfig;
use crate::outbound::ServiceError;

/// Miners looked up at a time. The pace decides how fast; this bounds what waits at once.
const CONCURRENT_LOOKUPS: usize = 8;
/// Most answers kept of each service; a subnet has at most 256 miners.
const MAX_CACHED: usize = 1024;

/// A miner to look up.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) hotkey: Hotkey,
    pub(super) uid: Uid,
    pub(super) commitment: Commitment,
}

/// A service that miners are looked up at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Chutes,
    HuggingFace,
}

impl Api {
    const ALL: [Self; 2] = [Self::Chutes, Self::HuggingFace];

    /// Its name among the checks of `/readyz`.
    const fn alarm(self) -> &'static str {
        match self {
            Self::Chutes => "chutes",
            Self::HuggingFace => "hugging_face",
        }
    }

    /// The reason word of a miner that it has no answer about.
    const fn reason(self) -> &'static str {
        match self {
            Self::Chutes => "chute_fetch_failed",
            Self::HuggingFace => "hf_model_fetch_failed",
        }
    }
}

/// What is known about a miner after it was looked up.
enum Finding {
    /// Its validity.
    Known(Validity),
    /// A service gave no answer about it, or said by name what is wrong with it.
    Failed { api: Api, lookup: Lookup, error: ServiceError },
}

/// What one service said in one pass.
#[derive(Default)]
struct Heard {
    seen: Vec<Lookup>,
    /// The error of the last that failed.
    error: Option<ServiceError>,
    /// How many of the answers say by name what is wrong with the thing.
    named: usize,
    /// The last such error.
    named_error: Option<ServiceError>,
}

impl Heard {
    fn count(&self, kind: Lookup) -> usize {
        self.seen.iter().filter(|lookup| **lookup == kind).count()
    }

    /// Whether (nearly) nothing was described, and errors that name the thing are among the
    /// reasons. So many things are rarely gone at once: a proxy or a wrong address may answer so
    /// about everything.
    fn names_nearly_all(&self) -> bool {
        let refused = self.count(Lookup::Refused);
        let answered = self.count(Lookup::Answered);
        self.named > 0 && nearly_all(self.named + refused, answered + refused)
    }
}

/// Whose fault it is that one service described nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Ours {
    /// Its refusals are ours.
    refusals: bool,
    /// Its errors that name the thing are, too.
    named: bool,
}

/// A cache of a service's answers. Failures are not cached.
#[derive(Debug)]
struct Cache<T> {
    ttl: Duration,
    answers: HashMap<String, (Instant, T)>,
}

impl<T: Clone> Cache<T> {
    fn new(ttl: Duration) -> Self {
        Self { ttl, answers: HashMap::new() }
    }

    fn get(&self, key: &str) -> Option<T> {
        self.answers
            .get(key)
            .filter(|(at, _)| at.elapsed() < self.ttl)
            .map(|(_, answer)| answer.clone())
    }

    fn put(&mut self, key: String, answer: T) {
        if self.answers.len() >= MAX_CACHED {
            let ttl = self.ttl;
            self.answers.retain(|_, (at, _)| at.elapsed() < ttl);
        }
        if self.answers.len() < MAX_CACHED {
            self.answers.insert(key, (Instant::now(), answer));
        }
    }
}

/// Looks miners up.
#[derive(Debug)]
pub(super) struct Lookups {
    chutes: ChutesClient,
    hugging_face: HuggingFaceClient,
    chute_cache: Cache<Chute>,
    model_cache: Cache<Model>,
    /// A chute that the API described last, for a control.
    known_chute: Option<String>,
    alarms: Alarms,
}

#[derive(Default)]
struct Answers {
    chute: Option<(String, Chute)>,
    model: Option<(String, Model)>,
}

impl Lookups {
    pub(super) fn new(
        chutes: ChutesClient,
        hugging_face: HuggingFaceClient,
        config: &ServicesConfig,
        alarms: Alarms,
    ) -> Self {
        let (chute_cache, model_cache) =
            (Cache::new(config.chute_ttl), Cache::new(config.model_hash_ttl));
        Self { chutes, hugging_face, chute_cache, model_cache, known_chute: None, alarms }
    }

    /// Looks every miner up, and decides about those that got no answer when all were asked.
    pub(super) async fn check(&mut self, subjects: Vec<Subject>) -> BTreeMap<Hotkey, MinerState> {
        let lookups = &*self;
        let found: Vec<(Subject, Finding, Answers)> = stream::iter(subjects)
            .map(|subject| async move {
                let (finding, answers) = lookups.look_up(&subject).await;
                (subject, finding, answers)
            })
            .buffer_unordered(CONCURRENT_LOOKUPS)
            .collect()
            .await;
        let heard = hear(&found);
        let described = found.iter().rev().find_map(|(_, _, answers)| answers.chute.as_ref());
        self.known_chute = described.map(|(key, _)| key.clone()).or(self.known_chute.take());
        let mut ours = [Ours::default(); 2];
        for api in Api::ALL {
            ours[api as usize] = self.is_ours(api, &heard[api as usize]).await;
        }
        let mut miners = BTreeMap::new();
        for (subject, finding, answers) in found {
            if let Some((key, chute)) = answers.chute {
                self.chute_cache.put(key, chute);
            }
            if let Some((key, model)) = answers.model {
                self.model_cache.put(key, model);
            }
            let validity = match finding {
                Finding::Known(validity) => validity,
                Finding::Failed { api, lookup, error } => {
                    decided(api, lookup, ours[api as usize], &error)
                }
            };
            tracing::debug!(miner = %subject.hotkey, ?validity, "miner looked up");
            let state =
                MinerState { uid: subject.uid, commit_block: subject.commitment.block, validity };
            miners.insert(subject.hotkey, state);
        }
        miners
    }

    /// Whether what a service did not describe is our fault; raises or ends its alarm.
    async fn is_ours(&self, api: Api, heard: &Heard) -> Ours {
        let names_nearly_all = heard.names_nearly_all();
        let ours = if heard.count(Lookup::Refused) == 0 && !names_nearly_all {
            Ours::default()
        } else {
            let control = match api {
                Api::Chutes => self.chutes_control().await,
                Api::HuggingFace => self.hugging_face.control().await,
            };
            Ours {
                refusals: refusals_are_ours(&heard.seen, control),
                named: names_nearly_all && control != Control::Accepted,
            }
        };
        let is_ours = ours.refusals || ours.named;
        let is_down = nearly_all(heard.count(Lookup::Unavailable), heard.seen.len());
        match heard.error.as_ref().or(heard.named_error.as_ref()) {
            Some(error) if is_ours || is_down => {
                if self.alarms.raise(api.alarm(), error.to_string()) {
                    tracing::warn!(%error, "miners cannot be checked, their last state stands for a while");
                }
            }
            // Nothing was asked: nothing is known.
            _ if heard.seen.is_empty() => {}
            _ => self.alarms.clear(api.alarm()),
        }
        ours
    }

    /// Asks the API again about a chute that it described.
    async fn chutes_control(&self) -> Control {
        let Some(known) = &self.known_chute else { return Control::Unknown };
        match self.chutes.chute(known).await {
            Ok(_) => Control::Accepted,
            Err(ServiceError::Unauthorised { status, .. }) => Control::Refused(status),
            // Its owner may have taken it away since.
            Err(ServiceError::Refused { .. } | ServiceError::Unreadable { .. }) => Control::Unknown,
            Err(ServiceError::Unavailable { .. }) => Control::Unreachable,
        }
    }

    async fn look_up(&self, subject: &Subject) -> (Finding, Answers) {
        let mut answers = Answers::default();
        let commitment = &subject.commitment;
        let parsed = check_commit_count(commitment.count)
            .and_then(|()| MinerCommitment::parse(&commitment.text, &subject.hotkey));
        let finding = match parsed {
            Err(reason) => Finding::Known(Validity::Invalid { reason: reason.to_string() }),
            Ok(parsed) => {
                self.look_up_into(&parsed, &mut answers).await.unwrap_or_else(|finding| finding)
            }
        };
        (finding, answers)
    }

    async fn look_up_into(
        &self,
        commitment: &MinerCommitment,
        answers: &mut Answers,
    ) -> Result<Finding, Finding> {
        let invalid = |reason: String| Finding::Known(Validity::Invalid { reason });
        let chute = match self.chute_cache.get(&commitment.chute_id) {
            Some(chute) => chute,
            None => {
                let asked = self.chutes.chute(&commitment.chute_id).await;
                let chute = asked.map_err(|error| failed(Api::Chutes, false, error))?;
                // Without it nothing is known about the miner, whoever else is described in full.
                chute.is_running().map_err(|error| Finding::Failed {
                    api: Api::Chutes,
                    lookup: Lookup::Unavailable,
                    error,
                })?;
                answers.chute = Some((commitment.chute_id.clone(), chute.clone()));
                chute
            }
        };
        if chute.hot == Some(false) {
            return Err(invalid("chute_not_running".to_owned()));
        }
        if let Some(revision) =
            chute.revision.as_deref().filter(|revision| *revision != commitment.model_revision)
        {
            return Err(invalid(format!("revision_mismatch:chute={}", short(revision))));
        }
        let key = format!("{}@{}", commitment.model_name, commitment.model_revision);
        let model = match self.model_cache.get(&key) {
            Some(model) => model,
            None => {
                let asked = self
                    .hugging_face
                    .model(&commitment.model_name, &commitment.model_revision)
                    .await;
                let model = asked.map_err(|error| {
                    failed(Api::HuggingFace, self.hugging_face.is_named(&error), error)
                })?;
                answers.model = Some((key, model.clone()));
                model
            }
        };
        if model.sha != commitment.model_revision {
            return Err(invalid(format!("revision_mismatch:hf={}", short(&model.sha))));
        }
        let hash =
            model.weights_hash.ok_or_else(|| invalid(Api::HuggingFace.reason().to_owned()))?;
        Ok(Finding::Known(Validity::Valid {
            slug: chute.slug,
            model_revision: commitment.model_revision.clone(),
            model_hash: hash.to_string(),
        }))
    }
}

/// What each service said in this pass.
fn hear(found: &[(Subject, Finding, Answers)]) -> [Heard; 2] {
    let mut heard = [Heard::default(), Heard::default()];
    for (_, finding, answers) in found {
        let [chutes, hugging_face] = &mut heard;
        chutes.seen.extend(answers.chute.is_some().then_some(Lookup::Answered));
        hugging_face.seen.extend(answers.model.is_some().then_some(Lookup::Answered));
        if let Finding::Failed { api, lookup, error } = finding {
            let heard = &mut heard[*api as usize];
            heard.seen.push(*lookup);
            if *lookup == Lookup::Answered {
                heard.named += 1;
                heard.named_error = Some(error.clone());
            } else {
                heard.error = Some(error.clone());
            }
        }
    }
    heard
}

/// The validity of a miner that a service failed to describe.
fn decided(api: Api, lookup: Lookup, ours: Ours, error: &ServiceError) -> Validity {
    let is_theirs = match lookup {
        Lookup::Answered => !ours.named,
        Lookup::Refused => !ours.refusals,
        Lookup::Unavailable => false,
    };
    if is_theirs {
        Validity::Invalid { reason: api.reason().to_owned() }
    } else {
        Validity::Unknown { reason: error.to_string() }
    }
}

fn failed(api: Api, is_named: bool, error: ServiceError) -> Finding {
    let lookup = match &error {
        ServiceError::Unavailable { .. } => Lookup::Unavailable,
        _ if is_named => Lookup::Answered,
        _ => Lookup::Refused,
    };
    Finding::Failed { api, lookup, error }
}

/// A revision for a reason word: the first eight characters of printable ASCII.
fn short(revision: &str) -> String {
    revision.chars().filter(char::is_ascii_graphic).take(8).collect()
}
