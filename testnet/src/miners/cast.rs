//! Who plays on a local subnet.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// A miner's nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A faithful re-encoding.
    Good,
    /// Everything out of focus.
    Blur,
    /// Grain that changes every frame.
    Noise,
    /// Brightness that swings four times a second.
    Flicker,
    /// A picture that slides away and changes colour.
    Drift,
    /// Four frames a second, each shown four times.
    LowFrameRate,
    /// The first frame for five seconds.
    Freeze,
    /// A good endpoint whose model is a copy of another miner's.
    Copycat,
    /// A good one that leaves half of the requests unanswered.
    Sometimes,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Flicker => "flicker",
            Self::Drift => "drift",
            Self::LowFrameRate => "low_frame_rate",
            Self::Freeze => "freeze",
            Self::Copycat => "copycat",
            Self::Sometimes => "sometimes",
        })
    }
}

/// The roles of `count` miners in the order in which they commit.
///
/// The one good miner is always there and is not the first to commit: it has to beat an earlier, worse one by its
/// margin. Six miners are good, blur, drift or flicker, freeze, copycat and sometimes; more bring the other defects,
/// then repeats. A copycat commits after the good miner whose model it copies.
#[must_use]
pub fn cast(seed: &Seed, count: usize) -> Vec<Role> {
    let (one, other) =
        if seed.fraction("cast") < 0.5 { (Role::Drift, Role::Flicker) } else { (Role::Flicker, Role::Drift) };
    let first = [Role::Good, Role::Blur, Role::Freeze, Role::Copycat, Role::Sometimes, one];
    let more = [other, Role::Noise, Role::LowFrameRate, Role::Blur, Role::Freeze, Role::Sometimes, Role::Copycat, one];
    let roles = first.into_iter().chain(more.into_iter().cycle()).take(count);
    let mut rest: Vec<Role> = roles.filter(|role| *role != Role::Good).collect();
    if count == 0 {
        return rest;
    }
    // One that can only lose opens; all others follow the good one.
    let mut order = Vec::with_capacity(count);
    if let Some(place) = rest.iter().position(|role| *role == Role::Blur) {
        order.push(rest.remove(place));
    }
    order.push(Role::Good);
    order.extend(seed.shuffled("cast/order", rest));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_miners_show_every_kind_of_answer() {
        for seed in 0..20 {
            let roles = cast(&Seed::new(seed.to_string()), 6);
            assert_eq!(roles.len(), 6);
            for role in [Role::Good, Role::Blur, Role::Freeze, Role::Copycat, Role::Sometimes] {
                assert_eq!(roles.iter().filter(|&&found| found == role).count(), 1, "{role} in {roles:?}");
            }
            assert!(roles.contains(&Role::Drift) || roles.contains(&Role::Flicker));
        }
    }

    #[test]
    fn any_number_has_one_good_miner_before_its_copies() {
        for count in 1..30 {
            let roles = cast(&Seed::new("x"), count);
            assert_eq!(roles.len(), count);
            let good = roles.iter().position(|role| *role == Role::Good).unwrap();
            assert_eq!(roles.iter().filter(|role| **role == Role::Good).count(), 1);
            assert!(roles.iter().position(|role| *role == Role::Copycat).is_none_or(|copy| copy > good));
        }
        assert_eq!(cast(&Seed::new("x"), 0), []);
    }
}
