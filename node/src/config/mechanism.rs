//! The mechanism of the subnet that a process serves.

use std::sync::Arc;

use leoma_protocol::{ConsensusSchedule, Netuid};
use leoma_rotation::PolicyRecord;
use leoma_rotation::record::{Fold, I2V, MAX_POLICY_BYTES, MOTION, ORACLE, Pool, T2V};
use leoma_scoring::TaskType;

use super::error::ConfigError;
use super::services::LEOMA_LOCAL_NETWORK;
use super::values::{Values, flag};
use crate::mechanism::oracle::Rules;

super::declare::settings! {
    /// the mechanism of the subnet that this process serves: t2v has id 1 and i2v id 2 on the
    /// chain, video has id 0 and no record, motion and oracle are for a subnet of their own and have
    /// id 0; each needs a state folder, an own bucket and ports of its own
    MECHANISM = setting(
        "video, t2v, i2v, motion, oracle or the path of a policy record (with a / or .toml)", Some("video")
    );
}

/// The name of the mechanism that has no record.
const VIDEO: &str = "video";

/// What makes tasks and judges answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plug {
    /// `mechanism/video/`.
    Video,
    /// `mechanism/motion/`.
    Motion,
    /// `mechanism/oracle/`.
    Oracle,
}

impl Plug {
    /// The mechanisms that records can name, and what serves each.
    const NAMES: [(&str, Self); 5] = [
        (VIDEO, Self::Video),
        ("t2v", Self::Video),
        ("i2v", Self::Video),
        ("motion", Self::Motion),
        ("oracle", Self::Oracle),
    ];

    fn of(mechanism: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == mechanism).map(|(_, plug)| *plug)
    }

    /// The pool of its observations, if it makes any.
    const fn pool(self) -> Option<&'static str> {
        match self {
            Self::Video | Self::Oracle => None,
            Self::Motion => Some("motion"),
        }
    }

    /// Whether its tasks make what this pool folds.
    fn feeds(self, pool: &Pool) -> bool {
        match &pool.fold {
            Fold::PassRate => true,
            Fold::RankCells { .. } => self == Self::Oracle,
            _ => self.pool() == Some(pool.name.as_str()),
        }
    }

    /// What its tasks make, in words.
    fn observations(self) -> String {
        if self == Self::Oracle {
            return "they are forecasts, for fold \"rank_cells\"".to_owned();
        }
        match self.pool() {
            Some(pool) => format!("they are passes, and one value a miner in pool \"{pool}\""),
            None => "there are only passes, for fold \"pass_rate\"".to_owned(),
        }
    }
}

/// What turns files into weights, and for which mechanism of the subnet.
#[derive(Clone, Debug)]
pub(crate) struct MechanismConfig {
    /// As `MECHANISM` has it.
    pub(crate) given: String,
    /// `None` for video's own rule on mechanism 0.
    pub(crate) record: Option<PolicyRecord>,
}

impl MechanismConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let refuse = |reason: String| values.refuse(&MECHANISM, Some(reason));
        let given = values.text(&MECHANISM).unwrap_or(VIDEO).to_owned();
        let record = record_of(&given).map_err(refuse)?;
        if let Some(record) = &record {
            let is_local =
                values.optional(&LEOMA_LOCAL_NETWORK, flag).is_ok_and(|is| is == Some(true));
            check(record, is_local).map_err(|reason| refuse(format!("`{given}`: {reason}")))?;
        }
        Ok(Self { given, record })
    }

    /// The mechanism's id on the chain.
    pub(crate) fn mecid(&self) -> u8 {
        self.record.as_ref().map_or(0, |record| record.mecid)
    }

    /// What makes its tasks.
    pub(crate) fn plug(&self) -> Plug {
        // A record that no plug serves is refused when it is read.
        let named = self.record.as_ref().and_then(|record| Plug::of(record.mechanism.as_str()));
        named.unwrap_or(Plug::Video)
    }

    /// The record, where it pays otherwise than its constants alone say: `None` for one winner by
    /// pass rates.
    pub(crate) fn paying(&self) -> Option<Arc<PolicyRecord>> {
        let pays = |record: &&PolicyRecord| !record.pays_one_winner_by_pass_rate();
        self.record.as_ref().filter(pays).cloned().map(Arc::new)
    }

    /// The consensus constants that its validators share.
    pub(crate) fn consensus(&self) -> ConsensusSchedule {
        match &self.record {
            Some(record) => record.consensus().into(),
            None => ConsensusSchedule::production(),
        }
    }

    /// Its index on the chain.
    pub(crate) fn index(&self, subnet: Netuid) -> Netuid {
        // Both are checked when they are read, so there is an index.
        subnet.with_mechanism(self.mecid()).unwrap_or(subnet)
    }
}

/// What miners are given, where the mechanism leaves no choice.
pub(super) fn task(values: &Values) -> Option<TaskType> {
    let given = values.text(&MECHANISM).unwrap_or(VIDEO);
    let record = record_of(given).ok().flatten()?;
    task_of_name(record.mechanism.as_str())
}

fn task_of_name(mechanism: &str) -> Option<TaskType> {
    match mechanism {
        "t2v" => Some(TaskType::T2v),
        "i2v" => Some(TaskType::I2v),
        _ => None,
    }
}

/// The record that a name or a path stands for; `None` for video.
fn record_of(given: &str) -> Result<Option<PolicyRecord>, String> {
    let text = match given {
        VIDEO => return Ok(None),
        "t2v" => T2V.to_owned(),
        "i2v" => I2V.to_owned(),
        "motion" => MOTION.to_owned(),
        "oracle" => ORACLE.to_owned(),
        path if path.contains('/') || path.ends_with(".toml") => read(path)?,
        _ => return Err(format!("`{given}`")),
    };
    let record = PolicyRecord::parse(&text).map_err(|error| format!("`{given}`: {error}"))?;
    Ok(Some(record))
}

fn read(path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("`{path}`: {error}");
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(length).is_ok_and(|length| length <= MAX_POLICY_BYTES) {
        std::fs::read_to_string(path).map_err(failed)
    } else {
        Err(format!("`{path}`: it has {length} bytes, more than {MAX_POLICY_BYTES}"))
    }
}

/// The least settle margin of a record that is served: with less, the last block for attestations
/// lies before the task ends.
const LEAST_SETTLE_MARGIN: u64 = 2;

/// Whether this build can serve a record. `leoma simulate` also takes others. A subnet in a local
/// network may have a chain of its own, with faster blocks.
fn check(record: &PolicyRecord, is_local: bool) -> Result<(), String> {
    let mechanism = record.mechanism.as_str();
    let Some(plug) = Plug::of(mechanism) else {
        let known: Vec<&str> = Plug::NAMES.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        return Err(format!("it is for `{mechanism}`: this build makes tasks of {known}"));
    };
    if let Some(pool) = record.pools.iter().find(|pool| !plug.feeds(pool)) {
        return Err(format!(
            "pool {} folds observations that no task of `{mechanism}` makes: {}; such a record can \
             be replayed with `leoma simulate`",
            pool.name,
            plug.observations()
        ));
    }
    if plug == Plug::Oracle {
        let rules = Rules::of(record)?;
        if !is_local && !rules.end_before_the_first_price() {
            return Err(format!(
                "deadline_blocks = {} with blocks of 12 s is longer than step_s = {}: forecasts \
                 could be signed when their first price is known",
                rules.deadline_blocks, rules.step_s
            ));
        }
    }
    if record.window.lookback_blocks == 0 {
        return Err(
            "window.lookback_blocks must be above 0: validators forget what lies before the lookback"
                .to_owned(),
        );
    }
    if record.window.settle_margin < LEAST_SETTLE_MARGIN {
        return Err(format!(
            "window.settle_margin must be at least {LEAST_SETTLE_MARGIN}: files are attested until \
             two witness spans before their task settles, which must not be before the task ends"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leoma_rotation::record;

    use crate::config::{Config, Sources};

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = pairs.iter().map(owned).collect();
        Config::load(&Sources { environment, ..Sources::default() })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn video_is_what_it_was_and_the_others_have_an_index_and_a_task_of_their_own() {
        let video = config(&[]).unwrap();
        assert_eq!(video.index(), Netuid(99));
        assert_eq!(video.mechanism.consensus(), ConsensusSchedule::production());
        assert_eq!(video.judging.task, TaskType::Ti2v);
        let t2v = config(&[("MECHANISM", "t2v")]).unwrap();
        assert_eq!((t2v.index(), t2v.judging.task), (Netuid(4195), TaskType::T2v));
        let i2v = config(&[("MECHANISM", "i2v"), ("NETUID", "7")]).unwrap();
        assert_eq!((i2v.index(), i2v.judging.task), (Netuid(8199), TaskType::I2v));
        let digests = [&video, &t2v, &i2v]
            .map(|config| config.mechanism.consensus().digest_at(leoma_protocol::BlockNumber(0)));
        assert!(digests[0] != digests[1] && digests[1] != digests[2]);
        // Video's tasks are chosen as before.
        let other = config(&[("LEOMA_TASK", "i2v")]).unwrap();
        assert_eq!((other.index(), other.judging.task), (Netuid(99), TaskType::I2v));
    }

    #[test]
    fn the_oracle_has_a_record_that_ranks_forecasts_and_a_feed() {
        let oracle = config(&[
            ("MECHANISM", "oracle"),
            ("MARKET_URL", "https://feed.example/closes/"),
            ("MARKET_API_KEY", "a key"),
        ]);
        let oracle = oracle.unwrap();
        assert_eq!((oracle.mechanism.plug(), oracle.index()), (Plug::Oracle, Netuid(99)));
        assert!(oracle.mechanism.paying().is_some());
        assert_eq!(oracle.oracle.need_url().unwrap(), "https://feed.example/closes");
        assert_eq!(oracle.oracle.hours, crate::mechanism::oracle::Hours::NewYork);
        assert!(!format!("{oracle:?}").contains("a key"));
        let always = config(&[("MECHANISM", "oracle"), ("MARKET_HOURS", "always")]).unwrap();
        assert_eq!(always.oracle.hours, crate::mechanism::oracle::Hours::Always);
        assert!(always.oracle.need_url().unwrap_err().to_string().contains("MARKET_URL"));
        for (name, value) in [("MARKET_HOURS", "london"), ("MARKET_URL", "ftp://feed.example")] {
            let error = config(&[("MECHANISM", "oracle"), (name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml").display().to_string();
        std::fs::write(
            &path,
            record::ORACLE.replace("deadline_blocks = 25", "deadline_blocks = 9"),
        )
        .unwrap();
        assert!(config(&[("MECHANISM", &path)]).unwrap().mechanism.paying().is_some());
        // Forecasts that may be signed after their first price, but for a chain of one's own.
        let late = record::ORACLE.replace("deadline_blocks = 25", "deadline_blocks = 26");
        std::fs::write(&path, late).unwrap();
        let error = config(&[("MECHANISM", &path)]).unwrap_err();
        assert!(error.contains("deadline_blocks = 26"), "{error}");
        let local = config(&[("MECHANISM", &path), ("LEOMA_LOCAL_NETWORK", "true")]);
        assert!(local.unwrap().mechanism.paying().is_some());
        let passes = record::T2V.replace("mechanism = \"t2v\"", "mechanism = \"oracle\"");
        std::fs::write(&path, passes).unwrap();
        let error = config(&[("MECHANISM", &path)]).unwrap_err();
        assert!(error.contains("rank_cells"), "{error}");
    }

    #[test]
    fn a_record_that_cannot_be_served_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml").display().to_string();
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            config(&[("MECHANISM", &path)])
        };
        let own = with(&record::T2V.replace("mecid = 1", "mecid = 5")).unwrap();
        assert_eq!((own.index(), own.judging.task), (Netuid(99 + 5 * 4096), TaskType::T2v));
        // Any shares of passes are paid: a half of these is burned.
        let half = with(&record::T2V.replace("\"1/1\"", "\"1/2\"")).unwrap();
        assert!(half.mechanism.paying().is_some() && own.mechanism.paying().is_none());
        for (text, reason) in [
            (record::T2V.replace("mechanism = \"t2v\"", "mechanism = \"chess\""), "`chess`"),
            (record::T2V.replace("mecid = 1", "mecid = 16"), "mecid"),
            (
                record::T2V.replace("fold = \"pass_rate\"", "fold = { sum = { blocks = 9 } }"),
                "leoma simulate",
            ),
            (record::MOTION.replace("name = \"motion\"", "name = \"dance\""), "pool dance"),
            (record::T2V.replace("= 30000", "= 0"), "lookback_blocks must be above 0"),
            (record::T2V.replace("margin = 2", "margin = 0"), "settle_margin must be at least 2"),
            (record::T2V.replace("margin = 2", "margin = 1"), "settle_margin must be at least 2"),
            ("x".repeat(MAX_POLICY_BYTES + 1), "bytes"),
        ] {
            let error = with(&text).unwrap_err();
            assert!(error.contains("MECHANISM") && error.contains(reason), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(config(&[("MECHANISM", &path)]).unwrap_err().contains("own.toml"));
        let unknown = config(&[("MECHANISM", "chess")]).unwrap_err();
        assert!(unknown.contains("video, t2v, i2v, motion"), "{unknown}");
        let motion = config(&[("MECHANISM", "motion")]).unwrap();
        assert_eq!((motion.index(), motion.mechanism.plug()), (Netuid(99), Plug::Motion));
        assert!(motion.mechanism.paying().is_some());
        let both = config(&[("MECHANISM", "t2v"), ("LEOMA_TASK", "i2v")]).unwrap_err();
        assert!(both.contains("LEOMA_TASK") && both.contains("t2v"), "{both}");
        assert!(config(&[("NETUID", "4096")]).unwrap_err().contains("4095"));
    }
}
