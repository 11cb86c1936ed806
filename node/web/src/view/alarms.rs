//! What an operator should look at. Each alarm has the name of its rule in
//! `node/deploy/alerts.yml`.

use super::index::View;

/// The chain's head stands still if it is older than this: ten blocks of the live chain.
pub(crate) const HEAD_TOO_OLD_SECONDS: i64 = 120;
/// Epochs that may pass without weights before somebody should look.
const EPOCHS_WITHOUT_WEIGHTS: u64 = 2;
/// Newest tasks of the window among which at least one should be certified.
const NEWEST_TASKS: usize = 5;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The name of its alert rule.
    pub name: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub next: &'static str,
}

/// What is wrong in `view` at `now`, in seconds since 1970.
pub fn alarms(view: &View, now: i64) -> Vec<Alarm> {
    let snapshot = &view.snapshot;
    let mut found = Vec::new();
    let mut alarm = |name, what, next| found.push(Alarm { name, what, next });
    let age = now - snapshot.head_seen_at;
    if age > HEAD_TOO_OLD_SECONDS {
        alarm(
            "LeomaHeadStandsStill",
            format!("the newest block is {}, seen {age} s ago", snapshot.head),
            "check the chain nodes of NETWORK, or add a second one",
        );
    }
    // Committed weights are set only some epochs later. Where no epoch has weights, their absence
    // is counted from the oldest one that is known.
    let mut epochs = snapshot.epochs.iter();
    let has_weights = epochs.find(|epoch| matches!(&*epoch.state, "set" | "committed"));
    let newest = has_weights.or(snapshot.epochs.last());
    let behind = newest.map(|epoch| snapshot.head.saturating_sub(epoch.block));
    if behind.is_some_and(|blocks| blocks > EPOCHS_WITHOUT_WEIGHTS * snapshot.epoch_blocks) {
        alarm(
            "LeomaEpochsBehind",
            format!("no weights for {} blocks", behind.unwrap_or_default()),
            "read the newest epoch's reason on the Epochs page",
        );
    }
    if let Some(epoch) = view.newest_epoch().filter(|epoch| epoch.state == "refused") {
        alarm(
            "LeomaWeightsRefused",
            format!("the weights of epoch {} were refused: {}", epoch.block, epoch.reason),
            "run `leoma preflight`: it names what the chain asks for",
        );
    }
    let others =
        |one: &&super::Validator| one.listed && snapshot.own_hotkey.as_ref() != Some(&one.hotkey);
    let peers = snapshot.validators.iter().filter(others).count();
    let online = snapshot.validators.iter().filter(others).filter(|one| one.online).count();
    if snapshot.own_hotkey.is_some() && peers > 0 && online == 0 {
        alarm(
            "LeomaNoPeers",
            format!("none of {peers} other validators is connected"),
            "open port 4070 for TCP and UDP, and set LEOMA_BOOTNODES",
        );
    } else if snapshot.own_hotkey.is_some() && 3 * online < 2 * peers {
        alarm(
            "LeomaTooFewPeers",
            format!("only {online} of {peers} other validators are connected"),
            "ask the other operators; files are not certified without a quorum",
        );
    }
    let newest: Vec<_> = snapshot.files.iter().rev().take(NEWEST_TASKS).collect();
    // `leoma api` receives no attestations.
    let hears = snapshot.own_hotkey.is_some();
    if hears && newest.len() == NEWEST_TASKS && newest.iter().all(|file| !file.certified) {
        alarm(
            "LeomaNothingCertified",
            format!("none of the {NEWEST_TASKS} newest verdict files is certified"),
            "look at the Validators page: too few validators attest",
        );
    }
    let checked = snapshot.miners.iter().any(|one| one.checked_at.is_some());
    let with_slot = snapshot.miners.iter().filter(|one| one.uid.is_some()).count();
    let valid = snapshot.miners.iter().any(|one| one.validity == super::Validity::Valid);
    if checked && !valid {
        alarm(
            "LeomaNoValidMiners",
            format!("none of {with_slot} miners may be sampled"),
            "read the reasons on the Miners page; `leoma preflight` checks the services",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scale, subnet};
    use crate::view::Validity;

    fn names(view: &View, now: i64) -> Vec<&'static str> {
        alarms(view, now).iter().map(|alarm| alarm.name).collect()
    }

    #[test]
    fn each_fault_of_a_healthy_subnet_raises_its_own_alarm() {
        let healthy = subnet(Scale { miners: 3, tasks: 8, validators: 3 });
        let now = healthy.head_seen_at;
        assert_eq!(names(&View::new(healthy.clone()), now), Vec::<&str>::new());
        let hurt = |change: fn(&mut crate::view::Snapshot)| {
            let mut snapshot = healthy.clone();
            change(&mut snapshot);
            names(&View::new(snapshot), now)
        };
        assert_eq!(names(&View::new(healthy.clone()), now + 121), ["LeomaHeadStandsStill"]);
        assert_eq!(hurt(|one| one.head += 10_000), ["LeomaEpochsBehind"]);
        assert_eq!(hurt(|one| one.epochs[0].state = "refused".into()), ["LeomaWeightsRefused"]);
        let with_older = |one: &mut crate::view::Snapshot, state: &str, older: &str| {
            let mut epoch = one.epochs[0].clone();
            epoch.block -= 3 * one.epoch_blocks;
            epoch.state = older.to_owned();
            one.epochs.push(epoch);
            one.epochs[0].state = state.to_owned();
            names(&View::new(one.clone()), now)
        };
        let committed = with_older(&mut healthy.clone(), "committed", "set");
        assert_eq!(committed, Vec::<&str>::new());
        let never = with_older(&mut healthy.clone(), "abstained", "abstained");
        assert_eq!(never, ["LeomaEpochsBehind"]);
        let offline = |one: &mut crate::view::Snapshot| {
            one.validators.iter_mut().for_each(|validator| validator.online = false);
        };
        assert_eq!(hurt(offline), ["LeomaNoPeers"]);
        let cut = |one: &mut crate::view::Snapshot| {
            let own = one.own_hotkey.clone();
            let mut others =
                one.validators.iter_mut().filter(|other| Some(&other.hotkey) != own.as_ref());
            others.next().unwrap().online = false;
        };
        assert_eq!(hurt(cut), ["LeomaTooFewPeers"]);
        let uncertified = |one: &mut crate::view::Snapshot| {
            one.files.iter_mut().for_each(|file| file.certified = false);
        };
        assert_eq!(hurt(uncertified), ["LeomaNothingCertified"]);
        let invalid = |one: &mut crate::view::Snapshot| {
            one.miners
                .iter_mut()
                .for_each(|miner| miner.validity = Validity::Invalid("chute_not_running".into()));
        };
        assert_eq!(hurt(invalid), ["LeomaNoValidMiners"]);
    }

    #[test]
    fn every_alarm_has_a_rule() {
        let rules = include_str!("../../../deploy/alerts.yml");
        let source = include_str!("alarms.rs");
        let named: Vec<&str> = source
            .split('"')
            .filter(|text| text.starts_with("Leoma") && text.chars().all(char::is_alphanumeric))
            .filter(|text| *text != "Leoma")
            .collect();
        assert!(named.len() >= 6, "{named:?}");
        for name in named {
            assert!(rules.contains(&format!("alert: {name}\n")), "{name} has no alert rule");
        }
        // The page and the rule count the same.
        for same in [
            format!("leoma_epochs_without_weights >= {EPOCHS_WITHOUT_WEIGHTS}\n"),
            format!("leoma_mesh_files_since_certificate >= {NEWEST_TASKS}\n"),
        ] {
            assert!(rules.contains(&same), "no rule has {same}");
        }
    }
}
