//! `leoma` as a program: run in a folder of wallets, and what it said.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use leoma_protocol::Hotkey;
use leoma_testnet::launch::Programs;
use leoma_testnet::storage::BucketKeys;
use leoma_wallet::{NewHotkey, PasswordSources};
use serde_json::Value;

pub(crate) const NETUID: u16 = 7;
/// A command ends within this on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What a command said and whether it succeeded.
pub(crate) struct Said {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(self.succeeded, "{}{}", self.output, self.errors);
        serde_json::from_str(&self.output).unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, succeeded: bool, parts: &[&str]) {
        let all = format!("{}{}", self.output, self.errors);
        assert_eq!(self.succeeded, succeeded, "{all}");
        for part in parts {
            assert!(all.contains(part), "{part:?} is missing: {all}");
        }
    }
}

/// Runs the program in `folder`, with its wallets and state, and with these settings alone.
pub(crate) async fn leoma(folder: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut program = tokio::process::Command::new(Programs::find().unwrap().leoma);
    program.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    program.env("HOME", folder).env("LEOMA_STATE_DIR", folder.join("state"));
    program.env("WALLET_PATH", folder.join("wallets")).env("NETUID", NETUID.to_string());
    program.envs(settings.iter().copied());
    let output = tokio::time::timeout(LIMIT, program.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        succeeded: output.status.success(),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// Settings of the source bucket for its owner.
pub(crate) fn source_settings<'a>(
    endpoint: &'a str,
    source: &'a BucketKeys,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("R2_ENDPOINT", endpoint),
        ("R2_SOURCE_BUCKET", &source.bucket),
        ("R2_VIDEOS_READ_ACCESS_KEY", &source.read.access),
        ("R2_VIDEOS_READ_SECRET_KEY", &source.read.secret),
        ("R2_VIDEOS_WRITE_ACCESS_KEY", &source.write.access),
        ("R2_VIDEOS_WRITE_SECRET_KEY", &source.write.secret),
    ]
}

pub(crate) fn write_key(path: &Path, password: Option<&PasswordSources>) -> Hotkey {
    let new = NewHotkey::generate();
    new.write(path, password, false).unwrap();
    new.hotkey()
}
