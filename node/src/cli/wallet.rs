//! `leoma wallet`: making, showing and checking hotkeys.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use leoma_protocol::Hotkey;
use serde::Serialize;
use serde_json::json;
use sp_core::Pair as _;

use super::account::WalletFlags;
use crate::config::WalletConfig;
use crate::wallet::{
    CheckedAgainst, KeyFile, LoadedKey, NewHotkey, PasswordSources, WalletError, hotkey_path, in_background,
    known_address, public_path,
};

#[derive(Debug, Subcommand)]
pub(super) enum WalletCommand {
    /// Make a hotkey and write it as the Python wallet does.
    ///
    /// Writes WALLET_PATH/WALLET_NAME/hotkeys/HOTKEY_NAME, which only you can read, and the public half beside it. The
    /// 12 words from which the key can be made again are shown once, when this runs on a terminal or with
    /// --show-mnemonic: write them down, they are the only copy besides the file.
    ///
    /// A validator reads its hotkey at every start. Encrypted (--encrypt), it needs the password each time: from
    /// WALLET_PASSWORD, from the file that WALLET_PASSWORD_FILE names, from the Python wallet's BT_PW_ variable, or typed in.
    /// The coldkey, which holds the money, is not needed here and stays elsewhere.
    NewHotkey(NewHotkeyArgs),
    /// Show a hotkey's address, and how its file is stored. Needs no password and shows no secret.
    Show(ShowArgs),
    /// Load a hotkey as the validator will, and check everything about its files.
    ///
    /// Decrypts it with its password, compares secret and address, and looks at the files' modes. The exit code is 1 when
    /// the validator could not use the key, or should not.
    Verify(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewHotkeyArgs {
    #[command(flatten)]
    wallet: WalletFlags,
    /// Encrypt the file under a password of at least 8 characters, as the Python wallet does.
    #[arg(long)]
    encrypt: bool,
    /// Replace a hotkey of this name; the old one is kept beside it as NAME.old-1.
    #[arg(long)]
    force: bool,
    /// Show the 12 words even where the output is not a terminal.
    #[arg(long)]
    show_mnemonic: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    wallet: WalletFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl WalletCommand {
    pub(super) async fn run(self, file: Option<PathBuf>) -> anyhow::Result<()> {
        let wallet = |flags: &WalletFlags| anyhow::Ok(super::load(file, flags.settings())?.wallet);
        match self {
            Self::NewHotkey(args) => new_hotkey(wallet(&args.wallet)?, args).await,
            Self::Show(args) => show(&wallet(&args.wallet)?, args.json),
            Self::Verify(args) => verify(wallet(&args.wallet)?, args.json).await,
        }
    }
}

async fn new_hotkey(wallet: WalletConfig, args: NewHotkeyArgs) -> anyhow::Result<()> {
    let path = hotkey_path(&wallet);
    let passwords = args.encrypt.then_some(wallet.passwords);
    let (new, written) = in_background(move || {
        let new = NewHotkey::generate();
        let written = new.write(&path, passwords.as_ref(), args.force)?;
        Ok((new, written))
    })
    .await?;
    let with_mnemonic = args.show_mnemonic || (!args.json && std::io::stdout().is_terminal());
    let mnemonic = with_mnemonic.then(|| new.mnemonic());
    if args.json {
        let value = json!({
            "ss58_address": new.hotkey(), "public_key": public_hex(&new.hotkey()), "path": written.path,
            "public_path": written.public_path, "encrypted": args.encrypt, "replaced": written.replaced,
            "mnemonic": mnemonic,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    if let Some(kept) = written.replaced {
        println!("the old hotkey is kept as {}", kept.display());
    }
    println!("hotkey  {}", new.hotkey());
    println!("file    {}{}", written.path.display(), if args.encrypt { " (encrypted)" } else { "" });
    println!("public  {}", written.public_path.display());
    match mnemonic {
        Some(words) => println!("words   {words}\n        write them down: they are shown only now"),
        None => println!("words   in the file (--show-mnemonic prints those of a new key)"),
    }
    println!("register it on the subnet with `leoma register`");
    Ok(())
}

fn public_hex(hotkey: &Hotkey) -> String {
    format!("0x{}", hex::encode(hotkey.as_bytes()))
}

fn mode_text(mode: Option<u32>) -> Option<String> {
    mode.map(|mode| format!("{mode:04o}"))
}

fn show(wallet: &WalletConfig, json: bool) -> anyhow::Result<()> {
    let path = hotkey_path(wallet);
    let file = KeyFile::open(&path)?;
    let encryption = file.encryption();
    let loaded = match encryption {
        Some(_) => None,
        None => Some(file.load(&PasswordSources::default())?),
    };
    let address = match &loaded {
        Some(loaded) => Some(loaded.pair.public().into()),
        None => known_address(&path)?,
    };
    let format = encryption.map_or_else(|| loaded.map(|loaded| loaded.format.name()), |kind| Some(kind.name()));
    let mode = mode_text(file.mode());
    if json {
        let value = json!({
            "ss58_address": address, "public_key": address.as_ref().map(public_hex), "path": path, "format": format,
            "encrypted": encryption.is_some(), "mode": mode,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let unknown = || "unknown: the file is encrypted and no public half is beside it (`leoma wallet verify` finds it)";
    println!("hotkey  {}", address.map_or_else(|| unknown().to_owned(), |address| address.to_string()));
    if let Some(address) = &address {
        println!("public  {}", public_hex(address));
    }
    println!("file    {}", path.display());
    println!("format  {}{}", format.unwrap_or("-"), if encryption.is_some() { ", encrypted" } else { "" });
    println!("mode    {}", mode.as_deref().unwrap_or("-"));
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

const fn check(check: &'static str, verdict: Verdict, detail: String) -> Check {
    Check { check, verdict, detail }
}

fn with_causes(error: WalletError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

async fn verify(wallet: WalletConfig, as_json: bool) -> anyhow::Result<()> {
    let path = hotkey_path(&wallet);
    let (checks, address) = in_background(move || Ok(checks(&wallet))).await?;
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    if as_json {
        let value = json!({ "path": path, "ss58_address": address, "usable": failed == 0, "checks": checks });
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        for Check { check, verdict, detail } in &checks {
            let word = match verdict {
                Verdict::Pass => "pass",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            println!("{word}  {check:<8} {detail}");
        }
    }
    if failed > 0 {
        bail!("the hotkey cannot be used as it is");
    }
    Ok(())
}

fn checks(wallet: &WalletConfig) -> (Vec<Check>, Option<Hotkey>) {
    use Verdict::{Fail, Pass, Warn};
    let path = hotkey_path(wallet);
    let file = match KeyFile::open(&path) {
        Ok(file) => file,
        Err(error) => return (vec![check("file", Fail, with_causes(error))], None),
    };
    let mut checks = vec![check("file", Pass, path.display().to_string())];
    let mode = mode_text(file.mode()).unwrap_or_else(|| "unknown".to_owned());
    checks.push(if file.is_open() {
        check("mode", Warn, format!("{mode}: others can read it; run chmod 600 on it"))
    } else {
        check("mode", Pass, mode)
    });
    checks.extend(folder_check(&path));
    let LoadedKey { pair, format, checked_against } = match file.load(&wallet.passwords) {
        Ok(loaded) => loaded,
        Err(error) => {
            checks.push(check("secret", Fail, with_causes(error)));
            return (checks, None);
        }
    };
    let address = Hotkey::from(pair.public());
    let encrypted = file.encryption().map_or_else(String::new, |kind| format!(", decrypted ({})", kind.name()));
    checks.push(check("secret", Pass, format!("{}{encrypted}", format.name())));
    checks.push(match checked_against {
        CheckedAgainst::File => check("address", Pass, format!("{address}, as the file states")),
        CheckedAgainst::PublicFile => check("address", Pass, format!("{address}, as the public half beside it states")),
        CheckedAgainst::Nothing => {
            check("address", Warn, format!("{address}, which no file states: is it the one that you registered?"))
        }
    });
    let public = public_path(&path);
    checks.push(match known_address(&path) {
        Ok(Some(known)) if known == address => check("public", Pass, public.display().to_string()),
        Ok(Some(known)) => check("public", Fail, format!("{} states {known}: another key", public.display())),
        Err(error) => check("public", Warn, with_causes(error)),
        Ok(None) => check("public", Warn, format!("{} is missing; other tools list hotkeys by it", public.display())),
    });
    (checks, Some(address))
}

/// Who can change the folder can put another key in the file's place.
#[cfg(unix)]
fn folder_check(path: &Path) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent()?;
    let mode = std::fs::metadata(folder).ok()?.permissions().mode() & 0o7777;
    let shown = format!("{} ({mode:04o})", folder.display());
    Some(if mode & 0o022 == 0 {
        check("folder", Verdict::Pass, shown)
    } else {
        check("folder", Verdict::Warn, format!("{shown}: others can put another key there; run chmod 700 on it"))
    })
}

#[cfg(not(unix))]
fn folder_check(_path: &Path) -> Option<Check> {
    None
}
