//! `leoma wallet` as an operator meets it, and hotkeys that pass between it and the Python wallet
//! in both directions.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sp_core::{Pair as _, sr25519};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};

/// An encrypted key takes seconds, and more on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
/// For the first installation of the Python wallet.
const INSTALL_LIMIT: Duration = Duration::from_secs(240);
const PYTHON_WALLET: &str = "bittensor-wallet==4.1.1";
const PASSWORD: &str = "correct horse, größer 1";

/// Runs a program to its end: whether it succeeded, its output, and its errors.
async fn finish(mut command: Command, limit: Duration) -> (bool, String, String) {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(limit, command.output()).await.expect("the program ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// A folder of wallets, and `leoma` in it.
struct Wallets {
    folder: tempfile::TempDir,
}

impl Wallets {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn hotkey(&self, name: &str) -> PathBuf {
        self.folder.path().join("w/hotkeys").join(name)
    }

    async fn leoma_with(
        &self,
        command: &str,
        hotkey: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> (bool, String, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_leoma"));
        program.env_clear().env("HOME", self.folder.path()).envs(environment.iter().copied());
        program.current_dir(self.folder.path());
        program.args([
            "wallet",
            command,
            "--wallet-name",
            "w",
            "--hotkey-name",
            hotkey,
            "--wallet-path",
        ]);
        program.arg(self.folder.path()).args(flags);
        finish(program, LIMIT).await
    }

    async fn leoma(&self, command: &str, hotkey: &str, flags: &[&str]) -> (bool, String, String) {
        self.leoma_with(command, hotkey, flags, &[]).await
    }

    /// The same, with JSON as the answer.
    async fn json(
        &self,
        command: &str,
        hotkey: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Value {
        let flags = [flags, &["--json"]].concat();
        let (succeeded, output, errors) =
            self.leoma_with(command, hotkey, &flags, environment).await;
        assert!(succeeded, "{command} {hotkey}: {output}{errors}");
        serde_json::from_str(&output).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_hotkey_is_made_shown_and_verified_and_none_is_lost() {
    let wallets = Wallets::new();
    let made = wallets.json("new-hotkey", "h", &["--show-mnemonic"], &[]).await;
    let path = wallets.hotkey("h");
    assert_eq!((mode(&path), mode(&wallets.hotkey("hpub.txt"))), (0o600, 0o600));
    let again = sr25519::Pair::from_phrase(made["mnemonic"].as_str().unwrap(), None).unwrap().0;
    assert_eq!(made["public_key"], format!("0x{}", hex::encode(again.public().0)));
    let shown = wallets.json("show", "h", &[], &[]).await;
    assert_eq!((&shown["ss58_address"], &shown["format"]), (&made["ss58_address"], &"json".into()));
    assert_eq!((&shown["encrypted"], &shown["mode"]), (&false.into(), &"0600".into()));
    let verified = wallets.json("verify", "h", &[], &[]).await;
    assert_eq!(
        (&verified["ss58_address"], &verified["usable"]),
        (&made["ss58_address"], &true.into())
    );
    let checks = verified["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["outcome"] == "pass"), "{checks:?}");

    let (succeeded, _, errors) = wallets.leoma("new-hotkey", "h", &[]).await;
    assert!(!succeeded && errors.contains("--force") && errors.contains("hotkeys/h"), "{errors}");
    let (succeeded, output, errors) = wallets.leoma("new-hotkey", "h", &["--force"]).await;
    assert!(succeeded && output.contains("h.old-1"), "{output}{errors}");
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(
        !output.contains(file["secretPhrase"].as_str().unwrap()),
        "nobody asked for the words: {output}"
    );
    assert!(output.contains(file["ss58Address"].as_str().unwrap()), "{output}");
    assert_eq!(
        wallets.json("show", "h.old-1", &[], &[]).await["ss58_address"],
        made["ss58_address"]
    );
}

#[tokio::test]
async fn what_a_validator_must_not_use_fails_with_the_next_step() {
    let wallets = Wallets::new();
    let (succeeded, _, errors) = wallets.leoma("verify", "absent", &[]).await;
    assert!(!succeeded && errors.contains("cannot be used"), "{errors}");
    wallets.json("new-hotkey", "h", &[], &[]).await;
    wallets.json("new-hotkey", "other", &[], &[]).await;
    let path = wallets.hotkey("h");
    let set_mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o644);
    let (succeeded, output, _) = wallets.leoma("verify", "h", &[]).await;
    assert!(
        succeeded && output.contains("warn  hotkey mode") && output.contains("chmod 600"),
        "{output}"
    );
    set_mode(0o666);
    for command in ["verify", "show"] {
        let (succeeded, output, errors) = wallets.leoma(command, "h", &[]).await;
        assert!(!succeeded && format!("{output}{errors}").contains("0666"), "{output}{errors}");
    }
    set_mode(0o600);
    std::fs::copy(wallets.hotkey("otherpub.txt"), wallets.hotkey("hpub.txt")).unwrap();
    let (succeeded, output, _) = wallets.leoma("verify", "h", &[]).await;
    assert!(
        !succeeded && output.contains("FAIL  hotkey public half") && output.contains("another key"),
        "{output}"
    );
    let file = std::fs::read_to_string(&path).unwrap();
    let address = |name: &str| {
        let public: Value =
            serde_json::from_slice(&std::fs::read(wallets.hotkey(name)).unwrap()).unwrap();
        public["ss58Address"].as_str().unwrap().to_owned()
    };
    let own: Value = serde_json::from_str(&file).unwrap();
    std::fs::write(
        &path,
        file.replace(own["ss58Address"].as_str().unwrap(), &address("otherpub.txt")),
    )
    .unwrap();
    let (succeeded, output, errors) = wallets.leoma("verify", "h", &[]).await;
    assert!(
        !succeeded
            && output.contains("FAIL  hotkey secret")
            && output.contains("its secret belongs to"),
        "{output}"
    );
    for secret in ["secretPhrase", "secretSeed", "privateKey"] {
        assert!(
            !format!("{output}{errors}").contains(own[secret].as_str().unwrap()),
            "{output}{errors}"
        );
    }
}

/// Runs commands in a shell on a terminal of its own, does `act` once the question for a password
/// is there, and returns everything that was shown; `None` where there is no `script` to make the
/// terminal with.
async fn at_the_prompt(
    wallets: &Wallets,
    commands: &str,
    act: impl AsyncFnOnce(&mut ChildStdin),
) -> Option<String> {
    let mut program = Command::new("script");
    program
        .args(["--quiet", "--return", "--command", commands, "/dev/null"])
        .current_dir(wallets.folder.path());
    program.env_clear().env("PATH", std::env::var_os("PATH")?).env("HOME", wallets.folder.path());
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let Ok(mut running) = program.spawn() else {
        eprintln!("skipped: there is no program `script`");
        return None;
    };
    let (mut keyboard, mut screen) =
        (running.stdin.take().unwrap(), running.stdout.take().unwrap());
    let mut shown = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&shown).contains("password of") {
            assert_ne!(
                screen.read_buf(&mut shown).await.unwrap(),
                0,
                "{}",
                String::from_utf8_lossy(&shown)
            );
        }
        act(&mut keyboard).await;
        screen.read_to_end(&mut shown).await.unwrap();
    };
    let ended = tokio::time::timeout(LIMIT, reading).await;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    ended.unwrap_or_else(|_| panic!("it waits on: {shown}"));
    Some(shown)
}

#[tokio::test]
async fn a_question_for_a_password_can_be_broken_off_and_leaves_the_terminal_as_it_was() {
    let wallets = Wallets::new();
    wallets.json("new-hotkey", "h", &["--encrypt"], &[("WALLET_PASSWORD", PASSWORD)]).await;
    let leoma = env!("CARGO_BIN_EXE_leoma");
    // A validator that is told to stop has not failed, whatever it was waiting for.
    for (command, signal, code) in [
        ("wallet verify", None, 1),
        ("serve", None, 0),
        ("wallet verify", Some("TERM"), 1),
        ("serve", Some("TERM"), 0),
    ] {
        let arguments = "--wallet-path . --wallet-name w --hotkey-name h";
        // Ctrl-C reaches the shell too.
        let commands = format!(
            "trap : INT; sh -c 'echo $$ > pid; exec {leoma} {command} {arguments}'; echo ended with $?; stty -a"
        );
        let act = async |keyboard: &mut ChildStdin| match signal {
            None => keyboard.write_all(b"\x03").await.unwrap(),
            Some(signal) => {
                let pid = std::fs::read_to_string(wallets.folder.path().join("pid")).unwrap();
                let killed =
                    std::process::Command::new("kill").args(["-s", signal, pid.trim()]).status();
                assert!(killed.unwrap().success());
            }
        };
        let Some(shown) = at_the_prompt(&wallets, &commands, act).await else { return };
        let ended = format!("ended with {code}");
        assert!(shown.contains(&ended), "{command} {signal:?}: {shown}");
        for flag in ["echo", "-echonl", "icanon", "isig"] {
            let is_set = shown.split([' ', ';', '\r', '\n']).any(|word| word == flag);
            assert!(is_set, "{command} {signal:?}: no {flag} after {shown}");
        }
    }
}

/// Python with the wallet of the subnet's other tools, kept between runs; `None`, with a printed
/// reason, if it cannot be installed.
async fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-wallet");
    let python = venv.join("bin/python");
    let mut import = Command::new(&python);
    import.args(["-c", "import bittensor_wallet"]);
    if python.exists() && finish(import, LIMIT).await.0 {
        return Some(python);
    }
    for arguments in [
        vec!["python3", "-m", "venv", "--clear", venv.to_str().unwrap()],
        vec![
            python.to_str().unwrap(),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--retries",
            "1",
            "--timeout",
            "20",
            PYTHON_WALLET,
        ],
    ] {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).stdin(Stdio::null()).kill_on_drop(true);
        let reason = match tokio::time::timeout(INSTALL_LIMIT, command.output()).await {
            Ok(Ok(output)) if output.status.success() => continue,
            Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        eprintln!("skipped: `{}`: {reason}", arguments.join(" "));
        return None;
    }
    Some(python)
}

/// Reads what leoma wrote, then writes one hotkey of every kind that it can; answers with addresses
/// and a signature.
const SCRIPT: &str = r#"
import json, sys
from bittensor_wallet import Wallet, keyfile
folder, password = sys.argv[1:]
def wallet(hotkey):
    return Wallet(name="w", hotkey=hotkey, path=folder)
answer = {}
plain = wallet("plain")
answer["plain"] = plain.hotkey.ss58_address
answer["public"] = plain.get_hotkeypub().ss58_address
answer["signature"] = plain.hotkey.sign(b"from python").hex()
answer["sealed"] = wallet("sealed").get_hotkey(password).ss58_address
made = wallet("python")
made.create_new_hotkey(n_words=24, use_password=False, overwrite=False, suppress=True)
answer["python"] = made.hotkey.ss58_address
made = wallet("python.sealed")
made.create_new_hotkey(use_password=True, hotkey_password=password, overwrite=False, suppress=True)
answer["python.sealed"] = made.get_hotkeypub().ss58_address
answer["variable"] = made.hotkey_file.env_var_name()
answer["value"] = made.hotkey_file.save_password_to_env(password)
made = wallet("uri")
made.create_hotkey_from_uri("//Alice", use_password=False, overwrite=False, suppress=True)
answer["uri"] = made.hotkey.ss58_address
made = wallet("edwards")
made.create_new_hotkey(use_password=False, overwrite=False, suppress=True, crypto_type=0)
with open(folder + "/w/hotkeys/python", "rb") as file:
    vault = keyfile.legacy_encrypt_keyfile_data(file.read(), password)
with open(folder + "/w/hotkeys/vault", "wb") as file:
    file.write(vault)
print("\n" + json.dumps(answer))
"#;

#[tokio::test]
#[ignore = "slow: run by ./test.sh --all"]
async fn the_python_wallet_reads_what_leoma_writes_and_the_other_way_round() {
    let Some(python) = python().await else { return };
    let wallets = Wallets::new();
    let password = [("WALLET_PASSWORD", PASSWORD)];
    let plain = wallets.json("new-hotkey", "plain", &["--show-mnemonic"], &[]).await;
    let sealed = wallets.json("new-hotkey", "sealed", &["--encrypt"], &password).await;
    assert_eq!(sealed["mnemonic"], Value::Null);
    assert!(std::fs::read(wallets.hotkey("sealed")).unwrap().starts_with(b"$NACL"));

    let mut command = Command::new(python);
    command
        .args(["-c", SCRIPT])
        .arg(wallets.folder.path())
        .arg(PASSWORD)
        .env("HOME", wallets.folder.path());
    let (succeeded, output, errors) = finish(command, LIMIT).await;
    assert!(succeeded, "{output}{errors}");
    let answer: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!(answer["plain"], plain["ss58_address"]);
    assert_eq!(answer["public"], plain["ss58_address"]);
    assert_eq!(answer["sealed"], sealed["ss58_address"]);
    let pair = sr25519::Pair::from_phrase(plain["mnemonic"].as_str().unwrap(), None).unwrap().0;
    let mut signature = [0; 64];
    hex::decode_to_slice(answer["signature"].as_str().unwrap(), &mut signature).unwrap();
    let signature = sr25519::Signature::from_raw(signature);
    assert!(
        sr25519::Pair::verify(&signature, b"from python", &pair.public()),
        "python signs with another key"
    );

    let own_variable = [(answer["variable"].as_str().unwrap(), answer["value"].as_str().unwrap())];
    for (hotkey, address, environment) in [
        ("python", &answer["python"], &[][..]),
        ("uri", &answer["uri"], &[]),
        ("vault", &answer["python"], &password),
        ("python.sealed", &answer["python.sealed"], &own_variable),
    ] {
        let verified = wallets.json("verify", hotkey, &[], environment).await;
        assert_eq!(
            (&verified["ss58_address"], &verified["usable"]),
            (address, &true.into()),
            "{hotkey}"
        );
    }
    let shown = wallets.json("show", "python.sealed", &[], &[]).await;
    assert_eq!(
        (&shown["ss58_address"], &shown["format"]),
        (&answer["python.sealed"], &"nacl".into())
    );
    for (hotkey, environment, part) in [
        ("edwards", &[][..], "cryptoType"),
        ("python.sealed", &[], "WALLET_PASSWORD_FILE"),
        ("vault", &[("WALLET_PASSWORD", "wrong horse")], "WALLET_PASSWORD is wrong"),
    ] {
        let (succeeded, output, _) = wallets.leoma_with("verify", hotkey, &[], environment).await;
        assert!(
            !succeeded && output.contains(part) && !output.contains("horse"),
            "{hotkey}: {output}"
        );
    }
}
