//! Whole configurations, from their sources to values.

use std::collections::BTreeMap;

use leoma_protocol::Netuid;
use leoma_scoring::{DeviceChoice, JudgeChoice};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

#[test]
fn defaults_suit_production_and_secrets_are_never_shown() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.netuid, Netuid(99));
    assert!(config.chain.urls[0].starts_with("wss://") && config.chain.genesis.is_some());
    assert_eq!(config.services.chutes_generate_url, "https://{slug}.chutes.ai/generate");
    assert!(config.buckets.source.is_none() && config.buckets.own.is_none());
    let sources =
        environment(&[("GEMINI_API_KEY", "planted-secret"), ("R2_ENDPOINT", "https://a.example")]);
    let listing = serde_json::to_string(&show(&sources.merge().unwrap())).unwrap();
    assert!(listing.contains("(hidden)") && listing.contains("https://a.example"));
    assert!(!listing.contains("planted-secret"));
    assert!(!format!("{:?}", Config::load(&sources).unwrap()).contains("planted-secret"));
}

#[test]
fn a_listing_shows_everything_and_names_each_malformed_value() {
    let sources = environment(&[
        ("NETUID", "99 # subnet"),
        ("REQUEST_TIMEOUT", "soon"),
        ("MAX_CONCURRENT_MINERS", "0"),
        ("R2_OWN_WRITE_SECRET_KEY", "planted-secret"),
        ("PEER_VALIDATORS", "planted-secret"),
        ("LOG_LEVEL", "verbose"),
        ("WALLET_NAME", "mine"),
    ]);
    let values = sources.merge().unwrap();
    let lines = show(&values);
    assert_eq!(lines.len(), settings().count());
    let malformed =
        ["NETUID", "REQUEST_TIMEOUT", "MAX_CONCURRENT_MINERS", "PEER_VALIDATORS", "LOG_LEVEL"];
    for line in &lines {
        assert_eq!(line.problem.is_some(), malformed.contains(&line.name), "{line:?}");
    }
    let others = problems(&values).others;
    assert!(others.iter().any(|problem| problem.contains("R2_OWN_WRITE_ACCESS_KEY")), "{others:?}");
    assert!(!serde_json::to_string(&lines).unwrap().contains("planted-secret"));
    assert!(problems(&Sources::default().merge().unwrap()).others.is_empty());
}

#[test]
fn a_task_of_words_alone_needs_someone_who_describes_pictures() {
    let task = |judge| {
        Config::load(&environment(&[("LEOMA_TASK", "t2v"), ("LEOMA_JUDGE", judge)])).unwrap()
    };
    let refused = task("local").judging.need_describer().unwrap_err().to_string();
    assert!(refused.contains("LEOMA_JUDGE") && refused.contains("gemini"), "{refused}");
    assert_eq!(
        ["both", "gemini"].map(|judge| task(judge).judging.need_describer().is_ok()),
        [true; 2]
    );
    assert!(Config::load(&Sources::default()).unwrap().judging.need_describer().is_ok());
}

#[test]
fn whoever_has_a_gemini_key_is_judged_for_by_gemini_unless_another_judge_is_set() {
    let judge = |pairs: &[(&str, &str)]| Config::load(&environment(pairs)).unwrap().judging.judge;
    let key = ("GEMINI_API_KEY", "a-key");
    assert_eq!(judge(&[]), JudgeChoice::Local);
    assert_eq!(judge(&[("GEMINI_API_KEY", "")]), JudgeChoice::Local);
    assert_eq!(judge(&[key]), JudgeChoice::Gemini);
    for (name, choice) in [("local", JudgeChoice::Local), ("both", JudgeChoice::Both)] {
        assert_eq!(judge(&[key, ("LEOMA_JUDGE", name)]), choice);
    }
    let why = |pairs: &[(&str, &str)]| Config::load(&environment(pairs)).unwrap().why_this_judge;
    assert_eq!(why(&[]), "neither LEOMA_JUDGE nor GEMINI_API_KEY is set");
    assert_eq!(why(&[key]), "LEOMA_JUDGE is not set, and GEMINI_API_KEY is");
    assert_eq!(why(&[key, ("LEOMA_JUDGE", "local")]), "LEOMA_JUDGE names it");
}

#[test]
fn flags_win_over_environment_over_dotenv_over_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, dotenv) = (folder.path().join("leoma.toml"), folder.path().join(".env"));
    std::fs::write(
        &file,
        "netuid = 1\nwallet_name = \"file\"\nhotkey_name = \"file\"\nleoma_device = \"cpu\"\n",
    )
    .unwrap();
    std::fs::write(&dotenv, "NETUID=2\nWALLET_NAME=dotenv\nHOTKEY_NAME=dotenv\nUNRELATED=1\n")
        .unwrap();
    let mut sources = environment(&[("NETUID", "3"), ("WALLET_NAME", "environment")]);
    (sources.file, sources.dotenv) = (Some(file), Some(dotenv));
    sources.flags = BTreeMap::from([("NETUID".to_owned(), "4".to_owned())]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.netuid, Netuid(4));
    assert_eq!(config.wallet.wallet, "environment");
    assert_eq!(config.wallet.hotkey, "dotenv");
    assert_eq!(config.judging.device, DeviceChoice::Cpu);
}

#[test]
fn an_error_names_setting_source_and_accepted_form() {
    for (name, value, accepted) in [
        ("NETUID", "seventy", "a number from 0 to 4095"),
        ("NETUID", "4096", "a number from 0 to 4095"),
        ("NETWORK", "http://x", "ws:// or wss://"),
        ("LEOMA_HTTP_LISTEN", "9090", "127.0.0.1:9090"),
        ("LEOMA_BOOTNODES", "/ip4/1.2.3.4/tcp/1", "/p2p/"),
        ("LEOMA_TASK", "v2v", "ti2v, t2v or i2v"),
        ("LEOMA_DEVICE", "tpu", "auto, cuda, cuda:N or cpu"),
        ("CHUTES_GENERATE_URL", "https://chutes.ai/generate", "{slug}"),
        ("MAX_VIDEO_SIZE", "many", "MB"),
        ("WALLET_NAME", "../other", "folder's name"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("WALLET_PATH", "$OTHER/wallets", "a folder"),
    ] {
        let error = Config::load(&environment(&[(name, value)])).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("environment") && error.contains(accepted),
            "{error}"
        );
        assert!(error.contains(value), "{error}");
    }
}

#[test]
fn a_malformed_secret_is_named_and_not_shown() {
    let error = Config::load(&environment(&[("PEER_VALIDATORS", "{planted-secret")]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("PEER_VALIDATORS") && !error.contains("planted-secret"), "{error}");
}

#[test]
fn a_wallets_password_is_taken_as_it_is_and_hidden() {
    let sources = environment(&[
        ("WALLET_PASSWORD", " planted secret "),
        ("WALLET_PASSWORD_FILE", "/run/secrets/password"),
    ]);
    let config = Config::load(&sources).unwrap();
    let coldkey = &config.wallet.coldkey_passwords;
    assert!(
        coldkey.value.is_none() && coldkey.file.is_none(),
        "what unlocks the hotkey unlocks no money"
    );
    let passwords = &config.wallet.passwords;
    assert_eq!(passwords.value.as_ref().unwrap().as_bytes(), b" planted secret ");
    assert_eq!(passwords.file.as_deref(), Some(std::path::Path::new("/run/secrets/password")));
    let listing = serde_json::to_string(&show(&sources.merge().unwrap())).unwrap();
    assert!(!listing.contains("planted") && !format!("{config:?}").contains("planted"));
    let none = Config::load(&Sources::default()).unwrap().wallet.passwords;
    assert!(none.value.is_none() && none.file.is_none());
}

#[test]
fn half_a_bucket_names_the_missing_half() {
    let mut pairs = vec![
        ("R2_ENDPOINT", "https://a.example"),
        ("R2_OWN_BUCKET", "b"),
        ("R2_OWN_WRITE_ACCESS_KEY", "k"),
    ];
    let error = Config::load(&environment(&pairs)).unwrap_err();
    assert!(
        matches!(error, ConfigError::Missing { name: "R2_OWN_WRITE_SECRET_KEY", .. }),
        "{error}"
    );
    pairs.push(("R2_OWN_WRITE_SECRET_KEY", "s"));
    let config = Config::load(&environment(&pairs)).unwrap();
    assert_eq!(config.buckets.need_own().unwrap().endpoint, "https://a.example");
    let lacking = config.buckets.need_source().unwrap_err().to_string();
    for name in ["R2_SOURCE_BUCKET", "R2_VIDEOS_READ_ACCESS_KEY", "R2_VIDEOS_READ_SECRET_KEY"] {
        assert!(lacking.contains(name), "{lacking}");
    }
}

#[test]
fn c2_what_a_bucket_lacks_is_named_and_what_is_set_is_not() {
    let own = |pairs: &[(&str, &str)]| {
        let config = Config::load(&environment(pairs)).unwrap();
        config.buckets.need_own().map(|_| ()).unwrap_err().to_string()
    };
    let no_keys = own(&[("R2_OWN_BUCKET", "mine-1"), ("R2_ENDPOINT", "https://a.example")]);
    assert!(no_keys.contains("R2_OWN_WRITE_ACCESS_KEY, R2_OWN_WRITE_SECRET_KEY are not set"));
    let no_endpoint = own(&[
        ("R2_OWN_BUCKET", "mine-1"),
        ("R2_OWN_WRITE_ACCESS_KEY", "k"),
        ("R2_OWN_WRITE_SECRET_KEY", "s"),
    ]);
    assert!(no_endpoint.starts_with("R2_ENDPOINT is not set"), "{no_endpoint}");
}

#[test]
fn c2_an_empty_variable_is_unset_and_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    std::fs::write(&dotenv, "WALLET_NAME=mine\nNETUID=\n").unwrap();
    let empty = ["NETUID", "NETWORK", "LOG_LEVEL", "WALLET_NAME", "SAMPLER_POLL_INTERVAL"];
    let mut sources = environment(&empty.map(|name| (name, "")));
    sources.dotenv = Some(dotenv);
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.netuid, config.wallet.wallet.as_str()), (Netuid(99), "mine"));
}

#[test]
fn c3_d1_endpoints_are_taken_as_people_paste_them() {
    let own = |endpoint: &str| {
        let pairs = [
            ("R2_OWN_ENDPOINT", endpoint),
            ("R2_OWN_BUCKET", "mine-1"),
            ("R2_OWN_WRITE_ACCESS_KEY", "k"),
            ("R2_OWN_WRITE_SECRET_KEY", "s"),
        ];
        let config = Config::load(&environment(&pairs));
        config.map(|config| config.buckets.own.unwrap().endpoint).map_err(|error| error.to_string())
    };
    let r2 = "https://acct.r2.cloudflarestorage.com";
    for pasted in [
        "acct.r2.cloudflarestorage.com",
        "https://acct.r2.cloudflarestorage.com/mine-1",
        "\"https://acct.r2.cloudflarestorage.com/\"",
    ] {
        assert_eq!(own(pasted).as_deref(), Ok(r2), "{pasted}");
    }
    let refused = own("https://acct.r2.cloudflarestorage.com/other").unwrap_err();
    assert!(refused.contains("R2_OWN_ENDPOINT") && refused.contains("path"), "{refused}");
    // The own bucket borrows the source's endpoint, as it was pasted.
    let borrowed = Config::load(&environment(&[
        ("R2_ENDPOINT", "https://acct.r2.cloudflarestorage.com/leoma-source"),
        ("R2_SOURCE_BUCKET", "leoma-source"),
        ("R2_OWN_BUCKET", "mine-1"),
        ("R2_OWN_WRITE_ACCESS_KEY", "k"),
        ("R2_OWN_WRITE_SECRET_KEY", "s"),
    ]));
    assert_eq!(borrowed.unwrap().buckets.own.unwrap().endpoint, r2);
}

#[test]
fn c5_variables_that_docker_passes_with_their_quotes_are_read() {
    let sources = environment(&[
        ("WALLET_NAME", "\"my-wallet\""),
        ("LOG_LEVEL", "'info'"),
        ("NETUID", "36\r"),
        ("CHAIN_ENDPOINTS", "\"wss://a.example:443\""),
        ("WALLET_PASSWORD", "\"kept\""),
    ]);
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.wallet.wallet.as_str(), config.netuid), ("my-wallet", Netuid(36)));
    assert_eq!(config.chain.urls, ["wss://a.example:443"]);
    assert_eq!(config.wallet.passwords.value.unwrap().as_bytes(), b"\"kept\"");
    let error = Config::load(&environment(&[("NETUID", "99 # subnet")])).unwrap_err().to_string();
    assert!(error.contains("`99 # subnet`"), "{error}");
    for (name, value) in [("LOG_LEVEL", "verbose"), ("LOG_LEVEL", "loud")] {
        assert!(Config::load(&environment(&[(name, value)])).is_err(), "{value}");
    }
    assert_eq!(Config::load(&environment(&[("LOG_LEVEL", "WARNING")])).unwrap().log.level, "warn");
}

#[test]
fn c4_c9_a_dotenv_file_is_read_whole_and_what_is_not_used_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let peers = format!(
        r##"[{{"hotkey":"{alice}","uid":"3","bucket":"leoma-a","endpoint":"a.com","read_access_key":"a #","read_secret_key":"b"}}]"##
    );
    let text = format!(
        "PEER_VALIDATORS={peers}\nNETIUD=7\nEVAL_SERVER_URLS=x\nBT_PW__W_MY-KEY=c\nUNRELATED=1\n"
    );
    std::fs::write(&dotenv, text).unwrap();
    let sources = Sources { dotenv: Some(dotenv.clone()), ..Sources::default() };
    let config = Config::load(&sources).unwrap();
    let refused: Vec<String> =
        config.buckets.peers.refused.iter().map(ToString::to_string).collect();
    assert!(refused.len() == 1 && refused[0].contains("access key"), "{refused:?}");
    assert!(config.wallet.passwords.variables.contains_key("BT_PW__W_MY-KEY"));
    let notes = config.notes.join("\n");
    for part in ["did you mean NETUID?", "EVAL_SERVER_URLS is not used here, because", ".env"] {
        assert!(notes.contains(part), "{notes}");
    }
    assert_eq!(config.notes.len(), 2, "{notes}");
    std::fs::write(&dotenv, "NETUID=7\nplanted secret\n").unwrap();
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.contains("line 2") && !error.contains("planted"), "{error}");
}

#[test]
fn an_unknown_name_in_a_file_is_an_error_and_known_ones_of_other_tools_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leoma.toml");
    let sources = Sources { file: Some(file.clone()), ..Sources::default() };
    std::fs::write(&file, "epoch_len = 180\n").unwrap();
    Config::load(&sources).unwrap();
    std::fs::write(&file, "netiud = 3\n").unwrap();
    assert!(Config::load(&sources).unwrap_err().to_string().contains("`netiud`"));
    std::fs::write(&file, "gemini_api_key = planted-secret\n").unwrap();
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("planted-secret"), "{error}");
}

/// A validator's and a server's `.env` of June 2026, with everything that the Python implementation
/// reads; `node/deploy/test-image.sh` starts the image with it. Compose sets `${NAME:-}` as an
/// empty variable, which means unset.
const JUNE: &str = include_str!("../../tests/june/env");

#[test]
fn the_environment_of_june_works_unchanged_and_what_is_not_used_is_named_with_the_reason() {
    let pairs: Vec<(&str, &str)> = JUNE.lines().filter_map(|line| line.split_once('=')).collect();
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    std::fs::write(&dotenv, JUNE).unwrap();
    let from_file = Sources { dotenv: Some(dotenv), ..Sources::default() };
    // As compose passes it on, and as a file beside the program.
    for sources in [environment(&pairs), from_file] {
        let config = Config::load(&sources).unwrap();
        assert_eq!((config.netuid, config.log.level.as_str()), (Netuid(99), "info"));
        assert_eq!(config.buckets.peers.peers.len(), 1);
        assert!(config.buckets.own.is_some() && config.buckets.source_write.is_none());
        assert!(config.buckets.need_readable_source().is_ok());
        assert_eq!(config.api.alone().port(), 8000);
        for (name, _) in &pairs {
            let used = find_setting(name).is_some();
            let reason = config
                .notes
                .iter()
                .any(|note| note.starts_with(&format!("{name} is not used here, because ")));
            assert!(used != reason, "{name}: {:?}", config.notes);
        }
    }
}
