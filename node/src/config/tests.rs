//! Whole configurations, from their sources to values.

use std::collections::BTreeMap;

use leoma_protocol::Netuid;
use leoma_scoring::DeviceChoice;

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
        ("NETUID", "seventy", "a number from 0 to 65535"),
        ("NETUID", "65536", "a number from 0 to 65535"),
        ("NETWORK", "http://x", "ws:// or wss://"),
        ("LEOMA_HTTP_LISTEN", "9090", "127.0.0.1:9090"),
        ("LEOMA_BOOTNODES", "/ip4/1.2.3.4/tcp/1", "/p2p/"),
        ("LEOMA_TASK", "v2v", "ti2v, t2v or i2v"),
        ("LEOMA_DEVICE", "tpu", "auto, cuda, cuda:N or cpu"),
        ("CHUTES_GENERATE_URL", "https://chutes.ai/generate", "{slug}"),
        ("MAX_VIDEO_SIZE", "many", "MB"),
        ("WALLET_NAME", "../other", "folder's name"),
        ("LOG_FORMAT", "xml", "text or json"),
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
    assert!(matches!(
        config.buckets.need_source(),
        Err(ConfigError::Missing { name: "R2_SOURCE_BUCKET", .. })
    ));
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
