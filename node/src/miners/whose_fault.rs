//! Whose fault it is that a service or a miner gave no usable answer. The one place where that is
//! decided, from everything that was seen, without I/O.
//!
//! The rule: **only what is particular to one miner is that miner's.**
//!
//! | seen | and | fault |
//! |---|---|---|
//! | 401, 402, 403, 407 or 429 of a miner's endpoint | a later request to another miner was accepted, or a control was | the miner's |
//! | the same | nothing was accepted since, and the control is refused or silent | ours: the key or the account |
//! | the same of the first eight miners, when none is known to have answered before | three others, drawn at random, refuse our account to a control | ours: nobody else is asked in this try |
//! | 429 of three or more miners to the end | a control was accepted, and another miner since | the miners' |
//! | the same | no control was accepted | ours: the account has a limit, and chance chose those miners |
//! | no video from (nearly) all miners, in whatever way | | ours: the service or our line |
//! | a fault after which no other miner sent a video | miners that have answered before show the same to a control | ours: the service or our line, which failed in the middle of the turn |
//! | the same | one of them shows something else, or the fault is what a miner that is well says to a control: 400, 422 | the miner's |
//! | a fault as a short outage shows it: no connection, a broken one, 5xx | it is asked once more after all others, and sends a video | nobody's |
//! | the same | it shows a fault again, as in the rows above | the miner's, or ours |
//! | no answer in time, from three or more miners, while no video of anyone arrived | each is asked once more after all others, with all its time | decided by what it replies then |
//! | no answer from a miner that the turn's end cut off | | nobody's: it says nothing about the others either |
//! | any other reply without a video | | the miner's |
//! | an API refuses to describe one miner's chute or model | it describes others, or a control | the miner's |
//! | the same | it refuses (nearly) all, or the control | ours |
//! | an API names the thing: no such repository, gated, no such revision | | the miner's |
//! | a clip ends its scoring process twice, the second time alone in it | others are scored | the miner's |
//! | the same, and nothing else is scored; or the process was killed from outside, ran out of device memory or time | at two tries of the turn, and the source clip is scored after both | the miner's |
//! | the same | otherwise | ours |
//! | ffmpeg could not run, was killed from outside or ran out of time, or the device is gone | | ours |
//! | an API is down, slow or limits us | | nobody's: the last state stands for a while |
//! | the judge refuses one video | when all are judged, it grades the source clip | the miner's |
//! | the same | it refuses the source clip too, or does not answer | ours: its settings, or its outage |
//! | the judge has no usable answer about one video, or none at all, at two tries of the turn | at the end of both, it grades the source clip | the miner's |
//! | the same | it does not | ours |
//! | the judge's key or model is refused, or its quota of the day is used up | | ours, named; after a quota it is asked nothing for a quarter of an hour |
//!
//! A fault of ours makes no entry for anyone, and so no file: peers do not attest to a file that
//! lacks a miner. A miner that answers 401 on purpose is found out by the control, which asks a
//! miner that has answered before.

use std::fmt;
use std::time::Duration;

/// Of ten miners, how many have to show a fault before it is nobody's in particular.
const NEARLY_ALL_OF_TEN: usize = 9;
/// After this many requests that all refused our account, it is no use going on without a control.
const HOPELESS_AFTER: usize = 8;

/// This many miners whose faults come within [`OUTAGE_SPAN`] of one another have lost their time in
/// an outage. Fewer may belong to one owner, who would gain time for a video by breaking off; each
/// more costs that owner a registration and a model that is not a copy.
const OUTAGE_MINERS: usize = 3;
/// An outage breaks all connections within seconds.
const OUTAGE_SPAN: Duration = Duration::from_secs(10);
/// What the service answers while our account is limited.
pub(crate) const LIMITED: Reply = Reply::Status(429);
/// This many miners that end on [`LIMITED`], although others were accepted, may have met a limit of
/// our account that is not total.
const LIMITED_MINERS: usize = 3;
/// What a miner answers that has no instance free, and a gateway that is down for a while.
pub(crate) const NO_INSTANCE: Reply = Reply::Status(503);

/// What a miner's reply to the last request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Bytes that may be a video.
    Video,
    /// Bytes that are no MP4.
    NotVideo,
    /// No bytes.
    Empty,
    /// More bytes than any clip needs.
    TooLarge,
    /// An HTTP status other than success.
    Status(u16),
    /// No connection.
    Unreachable,
    /// The connection broke before the answer was complete.
    BrokenOff,
    /// No complete answer in time.
    Timeout,
}

impl Reply {
    /// Whether it is about our key or account.
    pub(crate) fn refuses_account(self) -> bool {
        matches!(self, Self::Status(status) if is_account(status))
    }

    /// Whether it shows that our key was accepted.
    fn accepts_account(self) -> bool {
        matches!(self, Self::Video | Self::NotVideo | Self::TooLarge)
    }

    /// Whether one cause would show both: a service that is down shows itself in several ways.
    fn is_like(self, other: Self) -> bool {
        let is_down = |reply| match reply {
            Self::Unreachable | Self::BrokenOff | Self::Timeout => true,
            Self::Status(status) => status >= 500,
            _ => false,
        };
        // All answer with success, and none is a video: no server of videos answers there.
        let is_other = |reply| matches!(reply, Self::NotVideo | Self::Empty | Self::TooLarge);
        self == other || (is_down(self) && is_down(other)) || (is_other(self) && is_other(other))
    }

    /// Whether a healthy miner may reply so to a control, which is not a request for a video. Then
    /// a control that shows it says nothing about the service.
    const fn is_usual_for_a_control(self) -> bool {
        matches!(self, Self::Status(400 | 422))
    }

    /// Whether an outage of a minute or less, ours or the service's, could look like it. A time-out
    /// outlasts such an outage.
    const fn could_be_an_outage(self) -> bool {
        match self {
            Self::Unreachable | Self::BrokenOff => true,
            Self::Status(status) => status >= 500,
            _ => false,
        }
    }

    /// Whether a fault of ours could look like it.
    fn could_be_ours(self) -> bool {
        self != Self::Video
    }
}

const fn is_account(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 407 | 429)
}

/// One miner, as a turn saw it. Times are counted from the same moment for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its last reply.
    pub reply: Reply,
    /// When the last request to it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// When it first refused our account, if it did.
    pub first_refused: Option<Duration>,
}

/// What a control said: a request to something that is known to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Our key is accepted.
    Accepted,
    /// Our key or account is refused, with this HTTP status.
    Refused(u16),
    /// No answer, or that of a broken server.
    Unreachable,
    /// The fault that miners showed.
    Same(Reply),
    /// There is nothing to ask.
    Unknown,
}

impl Control {
    /// What an HTTP status says.
    pub(crate) const fn of(status: u16) -> Self {
        match status {
            _ if is_account(status) => Self::Refused(status),
            500.. => Self::Unreachable,
            _ => Self::Accepted,
        }
    }

    /// The control of several miners that have answered before, from one reply of each, while other
    /// miners show `fault`.
    pub(crate) fn of_all(replies: &[Reply], fault: Option<Reply>) -> Self {
        let control = |reply: &Reply| match *reply {
            Reply::Status(status) => Self::of(status),
            Reply::Unreachable | Reply::BrokenOff | Reply::Timeout => Self::Unreachable,
            Reply::Video | Reply::NotVideo | Reply::Empty | Reply::TooLarge => Self::Accepted,
        };
        let Some(first) = replies.first() else { return Self::Unknown };
        match fault {
            Some(fault)
                if !fault.is_usual_for_a_control()
                    && replies.iter().all(|reply| reply.is_like(fault)) =>
            {
                Self::Same(fault)
            }
            _ if replies.iter().any(|reply| control(reply) == Self::Accepted) => Self::Accepted,
            _ => control(first),
        }
    }

    /// The control of miners of which nobody knows whether they answer, from one reply of each.
    /// They may be down, or say no to everybody. So only refusals of our account count, by all of
    /// them.
    pub(crate) fn of_strangers(replies: &[Reply]) -> Self {
        let refusal = |reply: &Reply| match *reply {
            Reply::Status(status) if is_account(status) => Some(status),
            _ => None,
        };
        let refusals: Option<Vec<u16>> = replies.iter().map(refusal).collect();
        refusals.and_then(|statuses| statuses.first().copied()).map_or(Self::Unknown, Self::Refused)
    }
}

/// A fault of ours, in words for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OurFault {
    /// Our key or account is refused, with this HTTP status.
    Account(u16),
    /// This reply of nearly all miners.
    Everyone(Reply),
    /// The judge refuses what it is known to take.
    Judge,
}

impl fmt::Display for OurFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(429) => f.write_str(
                "miners' endpoints answer 429: our account is limited, lower CHUTES_REQUESTS_PER_MINUTE or MAX_CONCURRENT_MINERS",
            ),
            Self::Account(402) => {
                f.write_str("miners' endpoints answer 402: the account of CHUTES_API_KEY has no balance")
            }
            Self::Account(status) => {
                write!(f, "miners' endpoints answer {status}: check CHUTES_API_KEY")
            }
            Self::Everyone(reply) => {
                let what = match reply {
                    Reply::Status(status) => format!("answer {status}"),
                    Reply::Unreachable => "cannot be reached".to_owned(),
                    Reply::BrokenOff => "break off".to_owned(),
                    Reply::Timeout => "do not answer in time".to_owned(),
                    Reply::Empty => "send nothing".to_owned(),
                    Reply::Video | Reply::NotVideo | Reply::TooLarge => {
                        "send something other than a video".to_owned()
                    }
                };
                write!(f, "(nearly) all miners' endpoints {what}: check the network and CHUTES_GENERATE_URL")
            }
            Self::Judge => f.write_str(
                "the judge refuses the source clip as well as answers: check GEMINI_MODEL and GEMINI_API_KEY",
            ),
        }
    }
}

/// Whether `some` of `all` are too many for each to be at fault by itself.
pub(crate) const fn nearly_all(some: usize, all: usize) -> bool {
    all > 0 && some * 10 >= all * NEARLY_ALL_OF_TEN
}

/// Whether a control has to be asked before [`whose`] can decide.
pub(crate) fn needs_control(seen: &[Seen]) -> bool {
    unexplained_refusal(seen).is_some() || unexplained_fault(seen).is_some() || are_limited(seen)
}

/// The time of a miner that is asked once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// What its first requests left of it.
    Rest,
    /// All of it, because what it had was lost in an outage.
    Whole,
}

/// Whether a miner that showed `fault` is asked once more after all others have had their turn, and
/// with how much time: without that, one miner would fail for an outage that is over by then. A
/// fault of (nearly) all miners calls for another try of the turn, not for another request.
pub(crate) fn asked_again(fault: &Seen, seen: &[Seen], cut: usize) -> Option<Again> {
    let faults = seen.iter().filter(|miner| miner.reply.could_be_ours());
    if nearly_all(faults.count(), seen.len() + cut) {
        return None;
    }
    match fault.reply {
        Reply::Timeout => met_silence(fault, seen).then_some(Again::Whole),
        // It had its pauses, which count as its time; and a cold start beside it is no outage.
        NO_INSTANCE => Some(Again::Rest),
        reply if reply.could_be_an_outage() => Some(match met_an_outage(fault, seen) {
            true => Again::Whole,
            false => Again::Rest,
        }),
        _ => None,
    }
}

/// Whether enough miners broke off at the time of this fault that an outage took their time.
fn met_an_outage(fault: &Seen, seen: &[Seen]) -> bool {
    let together = seen.iter().filter(|other| {
        other.reply.could_be_an_outage()
            && other.reply != NO_INSTANCE
            && other.ended.abs_diff(fault.ended) <= OUTAGE_SPAN
    });
    together.count() >= OUTAGE_MINERS
}

/// Whether enough miners timed out, this one among them, while no video of anyone arrived. A miner
/// that is silent beside others that answer has had its time.
fn met_silence(fault: &Seen, seen: &[Seen]) -> bool {
    let videos = || seen.iter().filter(|other| other.reply == Reply::Video);
    let in_silence =
        |one: &Seen| !videos().any(|video| one.began < video.ended && video.ended <= one.ended);
    let silent = seen.iter().filter(|&one| one.reply == Reply::Timeout && in_silence(one));
    in_silence(fault) && silent.count() >= OUTAGE_MINERS
}

/// The most frequent of the faults after which nobody sent a video: the service may have failed in
/// the middle of the turn.
pub(crate) fn unexplained_fault(seen: &[Seen]) -> Option<Reply> {
    let newest_video =
        seen.iter().filter(|miner| miner.reply == Reply::Video).map(|miner| miner.ended).max();
    let is_later = |miner: &&Seen| newest_video.is_none_or(|video| miner.ended > video);
    let is_fault = |reply: &Reply| reply.could_be_ours() && !reply.refuses_account();
    most_frequent(seen.iter().filter(is_later).map(|miner| miner.reply).filter(is_fault).collect())
}

/// The first of the most frequent.
fn most_frequent(replies: Vec<Reply>) -> Option<Reply> {
    let count = |reply: &Reply| replies.iter().filter(|other| *other == reply).count();
    replies.iter().rev().max_by_key(|reply| count(reply)).copied()
}

/// Whether asking on is pointless unless a control is accepted: all replies so far refuse our
/// account, and (nearly) no request under way has been `taken`.
pub(crate) fn is_hopeless(seen: &[Seen], taken: usize) -> bool {
    seen.len() >= HOPELESS_AFTER
        && seen.iter().all(|miner| miner.reply.refuses_account())
        && nearly_all(seen.len(), seen.len() + taken)
}

/// Decides about a whole turn, whose end cut off `cut` miners before they had had their time: they
/// count as asked, and are not evidence of any fault.
///
/// # Errors
/// Our fault: then there is no entry for anyone. Otherwise each fault is its miner's own.
pub(crate) fn whose(seen: &[Seen], cut: usize, control: Control) -> Result<(), OurFault> {
    if !matches!(control, Control::Accepted | Control::Same(_))
        && let Some(status) = unexplained_refusal(seen)
    {
        return Err(OurFault::Account(match control {
            Control::Refused(told) => told,
            _ => status,
        }));
    }
    if let (Control::Same(_), Some(fault)) = (control, unexplained_fault(seen)) {
        return Err(OurFault::Everyone(fault));
    }
    if control != Control::Accepted && are_limited(seen) {
        return Err(OurFault::Account(429));
    }
    let faults: Vec<Reply> =
        seen.iter().map(|miner| miner.reply).filter(|reply| reply.could_be_ours()).collect();
    if !nearly_all(faults.len(), seen.len() + cut) {
        return Ok(());
    }
    match most_frequent(faults) {
        Some(Reply::Status(status)) if is_account(status) => Err(OurFault::Account(status)),
        Some(reply) => Err(OurFault::Everyone(reply)),
        None => Ok(()),
    }
}

/// The HTTP status of a refusal that may be meant for us all: nothing was accepted since.
fn unexplained_refusal(seen: &[Seen]) -> Option<u16> {
    let newest_accepted =
        seen.iter().filter(|miner| miner.reply.accepts_account()).map(|miner| miner.began).max();
    seen.iter().find_map(|miner| match miner.reply {
        Reply::Status(status) if is_account(status) => {
            let since = miner.first_refused.unwrap_or(miner.began);
            newest_accepted.is_none_or(|accepted| accepted <= since).then_some(status)
        }
        _ => None,
    })
}

/// Whether a limit of our account that is not total may have hit miners by chance.
fn are_limited(seen: &[Seen]) -> bool {
    seen.iter().filter(|miner| miner.reply == LIMITED).count() >= LIMITED_MINERS
}

/// How a clip was lost with its scoring process, twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The process ended by itself, or its arithmetic broke off.
    Crashed,
    /// The process was killed from outside, or ran out of device memory or time.
    Starved,
    /// The decoder or the device failed. Both may fail with some videos only, as they do where a
    /// codec is missing, so that other videos prove nothing.
    Tools,
}

/// What becomes of a lost clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostClip {
    /// Its miner's fault.
    Theirs,
    /// Ours: it is scored again at the next try, and there is no file before it is.
    Ours,
}

/// Tries of a turn at which a clip is lost, and the source clip is scored afterwards, before the
/// clip is to blame. All clips that are scored have nearly the size and length of the source, so
/// this machine has what they need if it has what the source needs.
const LOST_TRIES: u32 = 2;

/// Whether the source clip has to be scored before it is known whose fault a lost clip is.
pub(crate) const fn clip_needs_control(lost: Lost, others_scored: usize) -> bool {
    match lost {
        Lost::Crashed => others_scored == 0,
        Lost::Starved => true,
        Lost::Tools => false,
    }
}

/// Decides about a lost clip, given how many others of the turn were scored, at how many tries it
/// was lost and the source clip was scored afterwards, and whether the source was scored now.
pub(crate) const fn whose_clip(
    lost: Lost,
    others_scored: usize,
    tries: u32,
    source_scored: bool,
) -> LostClip {
    let is_theirs = match lost {
        Lost::Crashed if others_scored > 0 => true,
        Lost::Crashed | Lost::Starved => source_scored && tries >= LOST_TRIES,
        Lost::Tools => false,
    };
    if is_theirs { LostClip::Theirs } else { LostClip::Ours }
}

/// Whether the judge has to be asked about the source clip, before it is known whose fault it is
/// that it refused some videos or had no usable answer about them. What it graded earlier in the
/// turn shows nothing: it may have failed since.
pub(crate) const fn judge_needs_control(refused: usize, silent: usize) -> bool {
    refused > 0 || silent > 0
}

/// Tries of a turn at which the judge has no usable answer about a video, and then grades the
/// source clip, before the video is to blame.
const SILENT_TRIES: u32 = 2;

/// Whether the video is to blame that the judge has no usable answer about it: letters in a picture
/// can talk a model out of its format, and one such video would void the task at every try.
pub(crate) const fn silence_is_theirs(tries: u32, judge_answers: bool) -> bool {
    judge_answers && tries >= SILENT_TRIES
}

/// What an API answered when it was asked about one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It described the thing, or said by name what is wrong with it.
    Answered,
    /// It refused, or its answer cannot be read: about this thing, or about us.
    Refused,
    /// It was down or busy.
    Unavailable,
}

/// Whether an API's refusals in one pass are ours: it then says nothing about any miner.
pub(crate) fn refusals_are_ours(seen: &[Lookup], control: Control) -> bool {
    let count = |kind| seen.iter().filter(|lookup| **lookup == kind).count();
    let (refused, answered) = (count(Lookup::Refused), count(Lookup::Answered));
    match control {
        Control::Accepted => false,
        Control::Refused(_) | Control::Unreachable | Control::Same(_) => refused > 0,
        Control::Unknown => nearly_all(refused, refused + answered),
    }
}

#[cfg(test)]
mod tests;
