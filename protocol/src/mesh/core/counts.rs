//! What happened since the start, counted for the operator.

use std::collections::BTreeMap;

use serde::Serialize;

use super::effect::{Effect, Judgement};
use super::mesh_event::{MeshEvent, RefusedBy};
use crate::messages::Topic;

/// Gossip messages of one topic, by judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Valid and new.
    pub accepted: u64,
    /// Known already, beyond an allowance, or not for us.
    pub ignored: u64,
    /// Invalid.
    pub rejected: u64,
}

/// Counts since the start; none ever decreases. The keys of the maps come from our own code, so the
/// maps stay small.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Gossip received, by topic.
    pub gossip: BTreeMap<Topic, Judged>,
    /// Hellos that we refused, by reason.
    pub refused_by_us: BTreeMap<&'static str, u64>,
    /// Our hellos that others refused, by the reason they gave.
    pub refused_by_them: BTreeMap<&'static str, u64>,
    /// Dials that were started.
    pub dials: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// One-sided links that were cut.
    pub link_resets: u64,
    /// Peers that were banned.
    pub bans: u64,
    /// Catch-up pages that we asked for.
    pub pages_asked: u64,
    /// Catch-up pages that we served.
    pub pages_served: u64,
    /// Messages that found no subscriber in time.
    pub undelivered: u64,
}

impl Counts {
    pub(super) fn judged(&mut self, topic: Topic, judgement: Judgement) {
        let judged = self.gossip.entry(topic).or_default();
        *match judgement {
            Judgement::Accept => &mut judged.accepted,
            Judgement::Ignore => &mut judged.ignored,
            Judgement::Reject => &mut judged.rejected,
        } += 1;
    }

    pub(super) fn dial_failed(&mut self) {
        self.dials_failed += 1;
    }

    /// Counts what the core decided.
    pub(super) fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Dial { .. } => self.dials += 1,
                Effect::AskCatchup { .. } => self.pages_asked += 1,
                Effect::AnswerCatchup { page: Some(_), .. } => self.pages_served += 1,
                Effect::Tell(MeshEvent::Refused { reason, by, .. }) => {
                    let refused = match by {
                        RefusedBy::Us => &mut self.refused_by_us,
                        RefusedBy::Them => &mut self.refused_by_them,
                    };
                    *refused.entry(reason.kind()).or_default() += 1;
                }
                Effect::Tell(MeshEvent::LinkReset { .. }) => self.link_resets += 1,
                Effect::Tell(MeshEvent::Banned { .. }) => self.bans += 1,
                Effect::Tell(MeshEvent::Undelivered { .. }) => self.undelivered += 1,
                _ => {}
            }
        }
    }
}
