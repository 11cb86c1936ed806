//! What a miner is, whichever mechanism it is asked by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::axons::Dancer;
use crate::forecasters::Forecaster;
use crate::miners::{Expected, Role};

/// A miner's part. No two have the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Played {
    /// It answers with videos.
    Video(Role),
    /// It answers with the motion of a skeleton.
    Motion(Dancer),
    /// It answers with forecasts of a price.
    Oracle(Forecaster),
}

impl Played {
    /// What a verdict says of it; `None` for those that pass.
    pub(super) const fn expected(self) -> Option<Expected> {
        match self {
            Self::Video(role) => role.expected(),
            Self::Motion(dancer) => dancer.expected(),
            Self::Oracle(forecaster) => forecaster.expected(),
        }
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(role) => role.fmt(f),
            Self::Motion(dancer) => dancer.fmt(f),
            Self::Oracle(forecaster) => forecaster.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_word_of_its_own() {
        let videos = Role::ALL.map(Played::Video);
        let motions = Dancer::ALL.map(Played::Motion);
        let forecasts = Forecaster::ALL.map(Played::Oracle);
        for played in videos.into_iter().chain(motions).chain(forecasts) {
            let word = serde_json::to_value(played).unwrap();
            assert_eq!(word, played.to_string());
            assert_eq!(serde_json::from_value::<Played>(word).unwrap(), played);
        }
    }
}
