//! Names that are not settings: those of other implementations of this subnet, which this program
//! does not use, and typing errors.

use super::{find_setting, settings};

/// Names of the Python implementation, with what is said about them. One that ends in `*` stands
/// for all names that begin like it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("EPOCH_LEN", "the epoch is part of the consensus, which no variable changes"),
    ("LEOMA_ENV", "there is one mode only"),
    ("WATCHTOWER_POLL_INTERVAL", "it is for Watchtower, not for this program"),
    ("LEOMA_WEIGHT_INTERVAL", "weights are set at each epoch, by the consensus"),
    ("WEIGHT_INTERVAL", "weights are set at each epoch, by the consensus"),
    ("EVAL_SERVER_URLS", "this program scores by itself (LEOMA_DEVICE)"),
    ("LEOMA_EVAL_*", "this program scores by itself (LEOMA_DEVICE)"),
    ("LEOMA_DASHBOARD_*", "the dashboard's data come with LEOMA_HTTP_LISTEN"),
    ("OBJECT_STORAGE_BACKEND", "any S3 store is addressed by R2_ENDPOINT and R2_OWN_ENDPOINT"),
    ("HIPPIUS_ENDPOINT", "any S3 store is addressed by R2_ENDPOINT and R2_OWN_ENDPOINT"),
    ("HIPPIUS_*", "any S3 store is named by R2_SOURCE_* and R2_OWN_*"),
    ("R2_VIDEOS_BUCKET", "the source bucket is R2_SOURCE_BUCKET"),
    ("R2_ACCOUNT_ID", "the account is part of R2_ENDPOINT"),
    ("POSTGRES_*", "there is no database server"),
    ("DATABASE_URL", "there is no database server"),
    ("SUBTENSOR_NETWORK", "the chain is NETWORK"),
    ("BT_SUBTENSOR_NETWORK", "the chain is NETWORK"),
    ("WALLET_HOTKEY", "the hotkey is HOTKEY_NAME"),
    ("CHUTE_USER", "models are deployed with the `chutes` program, which has its own settings"),
    ("BT_WALLET_*", "the wallet is WALLET_PATH, WALLET_NAME and HOTKEY_NAME"),
];
/// Typing errors are looked for in names that could be meant for this program.
const OWN_PREFIXES: [&str; 2] = ["LEOMA_", "R2_"];
/// Names of ours that are not settings: variables of the compose file, of tests and of the wallet.
const OWN_VARIABLES: [&str; 4] =
    ["LEOMA_VECTORS", "LEOMA_IMAGE", "LEOMA_CONTAINER_RUNTIME", "BT_PW_"];
/// Shorter names resemble each other by chance.
const SHORTEST_LIKENESS: usize = 6;

/// What to tell an operator about a name that is not a setting; `None` if it is one, or belongs to
/// another program.
pub(super) fn note(name: &str) -> Option<String> {
    if find_setting(name).is_some() || OWN_VARIABLES.iter().any(|own| name.starts_with(own)) {
        return None;
    }
    if let Some(reason) = reason(name) {
        return Some(format!("{name} is not used here, because {reason}"));
    }
    let likeness = settings().map(|setting| setting.name).find(|known| is_slip(name, known));
    match likeness {
        Some(known) => Some(format!("no setting is named {name}: did you mean {known}?")),
        None if OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => {
            Some(format!("no setting is named {name} (see `leoma config show`)"))
        }
        None => None,
    }
}

/// Why another implementation's name is not used here.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    let matches = |known: &str| match known.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == known,
    };
    ELSEWHERE.iter().find(|(known, _)| matches(known)).map(|(_, reason)| *reason)
}

/// Whether `name` is `known` with one letter too many, too few, wrong, or two of them swapped.
fn is_slip(name: &str, known: &str) -> bool {
    if name.len() < SHORTEST_LIKENESS || name.len().abs_diff(known.len()) > 1 {
        return false;
    }
    let (name, known) = (name.as_bytes(), known.as_bytes());
    let same = name.iter().zip(known).take_while(|(a, b)| a == b).count();
    let (a, b) = (&name[same..], &known[same..]);
    match (a, b) {
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([x, y, a @ ..], [z, w, b @ ..]) if a == b && (x, y) == (w, z) => true,
        ([_, a @ ..], b) if a == b => true,
        (a, [_, b @ ..]) if a == b => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c9_names_of_the_python_implementation_are_known() {
        for (name, part) in [
            ("OBJECT_STORAGE_BACKEND", "R2_ENDPOINT"),
            ("HIPPIUS_ENDPOINT", "R2_ENDPOINT"),
            ("HIPPIUS_SEED_PHRASE", "R2_OWN"),
            ("EVAL_SERVER_URLS", "LEOMA_DEVICE"),
            ("LEOMA_EVAL_TOKEN", "LEOMA_DEVICE"),
            ("LEOMA_DASHBOARD_URL", "LEOMA_HTTP_LISTEN"),
            ("LEOMA_WEIGHT_INTERVAL", "each epoch"),
            ("EPOCH_LEN", "consensus"),
            ("CHUTE_USER", "`chutes` program"),
            ("WATCHTOWER_POLL_INTERVAL", "Watchtower"),
        ] {
            let note = note(name).unwrap();
            assert!(note.contains("not used here, because") && note.contains(part), "{note}");
        }
        assert_eq!(note("GEMINI_API_KEY"), None);
        assert_eq!(note("PATH"), None);
        assert_eq!(note("BT_PW__W_HOTKEYS_H"), None);
    }

    #[test]
    fn typing_errors_are_named_with_the_setting_that_is_meant() {
        for (slip, meant) in [
            ("NETIUD", "NETUID"),
            ("NETUIDS", "NETUID"),
            ("WALET_NAME", "WALLET_NAME"),
            ("R2_OWN_BUKCET", "R2_OWN_BUCKET"),
            ("LEOMA_STATEDIR", "LEOMA_STATE_DIR"),
        ] {
            let note = note(slip).unwrap();
            assert!(note.contains(&format!("did you mean {meant}?")), "{note}");
        }
        assert!(note("LEOMA_SOMETHING").unwrap().contains("config show"));
        assert_eq!(note("LESSOPEN"), None);
    }
}
