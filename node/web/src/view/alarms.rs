//! What an operator should look at. Each alarm has the name of its rule in
//! `node/deploy/alerts.yml`.

use super::index::View;
use super::snapshot::{OwnFaults, Validity};
use crate::source::ReadyCheck;

/// The chain's head stands still if it is older than this: ten blocks of the live chain.
pub(crate) const HEAD_TOO_OLD_SECONDS: i64 = 120;
/// Epochs that may pass without weights before somebody should look.
const EPOCHS_WITHOUT_WEIGHTS: u64 = 2;
/// Newest tasks of the window among which at least one should be certified.
const NEWEST_TASKS: usize = 5;
/// The checks of `/readyz` whose failure has an alarm of its own here: an old head, no peer, and a
/// double.
const TOLD_OTHERWISE: [&str; 3] = ["chain", "mesh", "identity"];

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

fn alarm(name: &'static str, what: impl Into<String>, next: &'static str) -> Alarm {
    Alarm { name, what: what.into(), next }
}

/// What is wrong in `view`, and by `checks` of `/readyz`, at `now`, in seconds since 1970. What a
/// check found is not told: everybody may read these alarms.
pub fn alarms(view: &View, checks: &[ReadyCheck], now: i64) -> Vec<Alarm> {
    let failed = checks.iter().filter(|check| !check.ok && !TOLD_OTHERWISE.contains(&check.name));
    let failed = failed.map(|check| {
        alarm(
            "LeomaCheckFails",
            format!("the check {} of /readyz fails", check.name),
            "read what it found on the page My node, or at /readyz?verbose",
        )
    });
    let mut found = Vec::new();
    found.extend(of_the_node(&view.snapshot.own_faults));
    found.extend(of_the_head(view, now));
    found.extend(of_weights(view));
    found.extend(of_reveals(&view.snapshot.own_faults));
    found.extend(of_peers(view));
    found.extend(of_tasks(view));
    found.extend(failed);
    found
}

/// A double, scoring processes that are down, and a GPU that is not used.
fn of_the_node(own: &OwnFaults) -> impl Iterator<Item = Alarm> {
    let doubled = own.is_doubled.then(|| {
        alarm(
            "LeomaDoubled",
            "another machine runs with this hotkey, and nothing is signed",
            "stop one of the two, and restart the other",
        )
    });
    let down = own.scorers.filter(|(up, all)| up < all).map(|(up, all)| {
        alarm(
            "LeomaScorerDown",
            format!("{up} of {all} scoring processes are up"),
            "look at the GPU with `nvidia-smi`, and at the log",
        )
    });
    let fell_back = own.cpu_instead_of_gpu.then(|| {
        alarm(
            "LeomaScorerFellBack",
            "the CPU scores, because every GPU failed at the start",
            "run `leoma score --self-test --device cuda`, or set LEOMA_DEVICE=cpu",
        )
    });
    doubled.into_iter().chain(down).chain(fell_back)
}

fn of_the_head(view: &View, now: i64) -> Option<Alarm> {
    let snapshot = &view.snapshot;
    let age = now - snapshot.head_seen_at;
    (age > HEAD_TOO_OLD_SECONDS).then(|| {
        alarm(
            "LeomaHeadStandsStill",
            format!("the newest block is {}, seen {age} s ago", snapshot.head),
            "check the chain nodes of NETWORK, or add a second one",
        )
    })
}

/// Epochs without weights, and weights that the chain refuses.
fn of_weights(view: &View) -> impl Iterator<Item = Alarm> {
    let snapshot = &view.snapshot;
    // Committed weights are set only some epochs later. Where no epoch has weights, their absence
    // is counted from the oldest one that is known.
    let mut epochs = snapshot.epochs.iter();
    let has_weights = epochs.find(|epoch| matches!(&*epoch.state, "set" | "committed"));
    let newest = has_weights.or(snapshot.epochs.last());
    let behind = newest.map(|epoch| snapshot.head.saturating_sub(epoch.block));
    let too_many = EPOCHS_WITHOUT_WEIGHTS * snapshot.epoch_blocks;
    let behind = behind.filter(|blocks| *blocks > too_many).map(|blocks| {
        alarm(
            "LeomaEpochsBehind",
            format!("no weights for {blocks} blocks"),
            "read the newest epoch's reason on the Epochs page",
        )
    });
    let refused = view.newest_epoch().filter(|epoch| epoch.state == "refused").map(|epoch| {
        alarm(
            "LeomaWeightsRefused",
            format!("the weights of epoch {} were refused: {}", epoch.block, epoch.reason),
            "run `leoma preflight`: it names what the chain asks for",
        )
    });
    behind.into_iter().chain(refused)
}

/// A witness or committed weights that did not come to their end.
fn of_reveals(own: &OwnFaults) -> impl Iterator<Item = Alarm> {
    let witness = own.missed_witness.map(|epoch| {
        alarm(
            "LeomaWitnessMissed",
            format!("epoch {epoch} was decided without our witness on chain"),
            "run `leoma preflight`; it says whether a witness can be written and paid for",
        )
    });
    let reveal = own.missed_reveal.map(|epoch| {
        alarm(
            "LeomaRevealMissed",
            format!("the weights of epoch {epoch} were not revealed, or went to the wrong slot"),
            "read the newest epochs' reasons on the Epochs page",
        )
    });
    witness.into_iter().chain(reveal)
}

/// Too few validators that are connected.
fn of_peers(view: &View) -> Option<Alarm> {
    let snapshot = &view.snapshot;
    // `leoma api` is connected to nobody.
    let own = snapshot.own_hotkey.as_ref()?;
    let others = snapshot.validators.iter().filter(|one| one.listed && one.hotkey != *own);
    let online: Vec<bool> = others.map(|one| one.online).collect();
    let (peers, online) = (online.len(), online.iter().filter(|is| **is).count());
    if peers > 0 && online == 0 {
        return Some(alarm(
            "LeomaNoPeers",
            format!("none of {peers} other validators is connected"),
            "open port 4070 for TCP and UDP, and set LEOMA_BOOTNODES",
        ));
    }
    (3 * online < 2 * peers).then(|| {
        alarm(
            "LeomaTooFewPeers",
            format!("only {online} of {peers} other validators are connected"),
            "ask the other operators; files are not certified without a quorum",
        )
    })
}

/// Files that nobody certifies, and miners that nobody may ask.
fn of_tasks(view: &View) -> impl Iterator<Item = Alarm> {
    let snapshot = &view.snapshot;
    let newest: Vec<_> = snapshot.files.iter().rev().take(NEWEST_TASKS).collect();
    // `leoma api` receives no attestations.
    let hears = snapshot.own_hotkey.is_some();
    let none = hears && newest.len() == NEWEST_TASKS && newest.iter().all(|file| !file.certified);
    let uncertified = none.then(|| {
        alarm(
            "LeomaNothingCertified",
            format!("none of the {NEWEST_TASKS} newest verdict files is certified"),
            "look at the Validators page: too few validators attest",
        )
    });
    let checked = snapshot.miners.iter().any(|one| one.checked_at.is_some());
    let valid = snapshot.miners.iter().any(|one| one.validity == Validity::Valid);
    let with_slot = snapshot.miners.iter().filter(|one| one.uid.is_some()).count();
    let nobody = (checked && !valid).then(|| {
        alarm(
            "LeomaNoValidMiners",
            format!("none of {with_slot} miners may be sampled"),
            "read the reasons on the Miners page; `leoma preflight` checks the services",
        )
    });
    uncertified.into_iter().chain(nobody)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{Scale, subnet};

    /// The rules that no page has an alarm for: a validator that is down has no page, and what
    /// failed in the last hours is counted by Prometheus alone.
    const IN_PROMETHEUS_ALONE: [&str; 2] = ["LeomaDown", "LeomaTasksFail"];

    fn names(view: &View, now: i64) -> Vec<&'static str> {
        alarms(view, &[], now).iter().map(|alarm| alarm.name).collect()
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
        assert_eq!(hurt(|one| one.own_faults.is_doubled = true), ["LeomaDoubled"]);
        assert_eq!(hurt(|one| one.own_faults.scorers = Some((1, 2))), ["LeomaScorerDown"]);
        let fell_back = |one: &mut crate::view::Snapshot| one.own_faults.cpu_instead_of_gpu = true;
        assert_eq!(hurt(fell_back), ["LeomaScorerFellBack"]);
        assert_eq!(hurt(|one| one.own_faults.missed_witness = Some(180)), ["LeomaWitnessMissed"]);
        assert_eq!(hurt(|one| one.own_faults.missed_reveal = Some(180)), ["LeomaRevealMissed"]);
    }

    #[test]
    fn a_failed_check_is_an_alarm_without_what_it_found_unless_another_says_so() {
        let view = View::new(subnet(Scale { miners: 3, tasks: 8, validators: 3 }));
        let check = |name, ok| ReadyCheck { name, ok, detail: "/home/operator is full".to_owned() };
        let checks = [
            check("state_dir", false),
            check("permit", true),
            check("chain", false),
            check("mesh", false),
            check("identity", false),
        ];
        let found = alarms(&view, &checks, view.snapshot.head_seen_at);
        let [alarm] = &found[..] else { panic!("{found:?}") };
        assert_eq!(alarm.name, "LeomaCheckFails");
        assert_eq!(alarm.what, "the check state_dir of /readyz fails");
    }

    #[test]
    fn every_alarm_has_a_rule_and_the_rules_without_an_alarm_are_named() {
        let rules = include_str!("../../../deploy/alerts.yml");
        let (source, _) = include_str!("alarms.rs").split_once("#[cfg(test)]").unwrap();
        let named: BTreeSet<&str> = source
            .split('"')
            .filter(|text| text.starts_with("Leoma") && text.chars().all(char::is_alphanumeric))
            .collect();
        let ruled = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
        let ruled: BTreeSet<&str> = ruled.collect();
        let expected: BTreeSet<&str> = named.iter().copied().chain(IN_PROMETHEUS_ALONE).collect();
        assert_eq!(ruled, expected);
        // The rules and the page for operators say which these are.
        let (head, _) = rules.split_once("groups:").unwrap();
        let page = include_str!("../../../../docs/operators/monitor.md");
        for name in IN_PROMETHEUS_ALONE {
            assert!(head.contains(name) && page.contains(&format!("`{name}`")), "{name}");
        }
        // Each rule is seen to fire.
        let tests = include_str!("../../../deploy/alerts.test.yml");
        for name in ruled {
            assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not tested");
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
