//! `leoma wallet`: making, showing and checking hotkeys.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use leoma_protocol::Hotkey;
use leoma_wallet::{
    KeyFile, NewHotkey, PasswordSources, WalletSettings, hotkey_path, in_background, known_address,
};
use serde_json::json;
use sp_core::Pair as _;

use super::account::WalletFlags;
use super::output::print_json;
use crate::preflight::{CheckOutcome, hotkey_checks};

#[derive(Debug, Subcommand)]
pub(super) enum WalletCommand {
    /// Make a hotkey and write it as the Python wallet does.
    ///
    /// Writes WALLET_PATH/WALLET_NAME/hotkeys/HOTKEY_NAME, which only you can read, and the public
    /// half beside it. The 12 words of its mnemonic are shown once, on a terminal or with
    /// --show-mnemonic: write them down, they are the only copy besides the file.
    ///
    /// A validator reads its hotkey at every start. An encrypted one (--encrypt) needs its password
    /// each time: from WALLET_PASSWORD, from the file that WALLET_PASSWORD_FILE names, from the
    /// Python wallet's BT_PW_ variable, or typed in. The coldkey, which holds the money, is not
    /// needed and should be kept elsewhere.
    NewHotkey(NewHotkeyArgs),
    /// Show a hotkey's address, and how its file is stored. Needs no password and shows no secret.
    Show(ShowArgs),
    /// Load a hotkey as the validator does, and check its files.
    ///
    /// Decrypts it with its password, compares secret and address, and checks the files' modes. The
    /// exit code is 1 if the validator cannot or should not use the key. `leoma preflight` checks
    /// this and everything else.
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
    /// Show the 12 words even if the output is not a terminal.
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
        let wallet =
            |flags: &WalletFlags| anyhow::Ok(super::settings::load(file, flags.settings())?.wallet);
        match self {
            Self::NewHotkey(args) => new_hotkey(wallet(&args.wallet)?, args).await,
            Self::Show(args) => show(&wallet(&args.wallet)?, args.json),
            Self::Verify(args) => verify(wallet(&args.wallet)?, args.json).await,
        }
    }
}

async fn new_hotkey(wallet: WalletSettings, args: NewHotkeyArgs) -> anyhow::Result<()> {
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
        return print_json(&value);
    }
    if let Some(kept) = written.replaced {
        println!("the old hotkey is kept as {}", kept.display());
    }
    println!("hotkey  {}", new.hotkey());
    println!(
        "file    {}{}",
        written.path.display(),
        if args.encrypt { " (encrypted)" } else { "" }
    );
    println!("public  {}", written.public_path.display());
    match mnemonic {
        Some(words) => {
            println!("words   {words}\n        write them down: they are shown only now")
        }
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

fn show(wallet: &WalletSettings, json: bool) -> anyhow::Result<()> {
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
    let format = encryption
        .map_or_else(|| loaded.map(|loaded| loaded.format.name()), |kind| Some(kind.name()));
    let mode = mode_text(file.mode());
    if json {
        let value = json!({
            "ss58_address": address, "public_key": address.as_ref().map(public_hex), "path": path, "format": format,
            "encrypted": encryption.is_some(), "mode": mode,
        });
        return print_json(&value);
    }
    let unknown = || "unknown: the file is encrypted and no public half is beside it (`leoma wallet verify` finds it)";
    println!(
        "hotkey  {}",
        address.map_or_else(|| unknown().to_owned(), |address| address.to_string())
    );
    if let Some(address) = &address {
        println!("public  {}", public_hex(address));
    }
    println!("file    {}", path.display());
    println!(
        "format  {}{}",
        format.unwrap_or("-"),
        if encryption.is_some() { ", encrypted" } else { "" }
    );
    println!("mode    {}", mode.as_deref().unwrap_or("-"));
    Ok(())
}

async fn verify(wallet: WalletSettings, as_json: bool) -> anyhow::Result<()> {
    let path = hotkey_path(&wallet);
    let (checks, address) = in_background(move || Ok(hotkey_checks(&wallet))).await?;
    let usable = checks.iter().all(|check| check.outcome != CheckOutcome::Fail);
    if as_json {
        let value =
            json!({ "path": path, "ss58_address": address, "usable": usable, "checks": checks });
        print_json(&value)?;
    } else {
        checks.iter().for_each(|check| println!("{check}"));
    }
    if !usable {
        bail!("the hotkey cannot be used as it is");
    }
    Ok(())
}
