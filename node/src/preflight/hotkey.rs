//! Checks of the hotkey's files: they exist, are private, decrypt, and match their address.

use std::path::Path;

use leoma_protocol::Hotkey;
use leoma_wallet::{
    CheckedAgainst, KeyFile, LoadedKey, WalletError, WalletSettings, hotkey_path, known_address,
    mode_of, public_path,
};
use sp_core::Pair as _;

use super::check::Check;
use super::limit::in_words;

/// Checks the hotkey's files and loads it as a validator does; also returns the hotkey if it loads.
/// May take seconds and ask for a password: see [`in_background`](leoma_wallet::in_background).
pub(crate) fn checks(wallet: &WalletSettings) -> (Vec<Check>, Option<Hotkey>) {
    let path = hotkey_path(wallet);
    let file = match KeyFile::open(&path) {
        Ok(file) => file,
        Err(error) => {
            return (
                vec![unusable(error), Check::skip("hotkey secret", "its file cannot be used")],
                None,
            );
        }
    };
    let mut checks = vec![Check::pass("hotkey file", path.display().to_string())];
    let mode = file.mode().map_or_else(|| "unknown".to_owned(), |mode| format!("{mode:04o}"));
    checks.push(if file.is_open() {
        Check::warn(
            "hotkey mode",
            format!("{mode}: others can read the key"),
            format!("chmod 600 {}", path.display()),
        )
    } else {
        Check::pass("hotkey mode", mode)
    });
    checks.extend(folder(&path));
    let LoadedKey { pair, format, checked_against } = match file.load(&wallet.passwords) {
        Ok(loaded) => loaded,
        Err(error) => {
            let next_step = "give the right password or key file; `leoma wallet show` tells whose key this one is";
            checks.push(Check::fail("hotkey secret", in_words(error), next_step));
            return (checks, None);
        }
    };
    let address = Hotkey::from(pair.public());
    let encrypted =
        file.encryption().map_or_else(String::new, |kind| format!(", decrypted ({})", kind.name()));
    checks.push(Check::pass("hotkey secret", format!("{}{encrypted}", format.name())));
    checks.push(match checked_against {
        CheckedAgainst::File => {
            Check::pass("hotkey address", format!("{address}, as the file states"))
        }
        CheckedAgainst::PublicFile => {
            Check::pass("hotkey address", format!("{address}, as the public half beside it states"))
        }
        CheckedAgainst::Nothing => {
            let next_step = "make sure that it is the one that you registered";
            Check::warn("hotkey address", format!("{address}, which no file states"), next_step)
        }
    });
    checks.push(public(&path, address));
    (checks, Some(address))
}

/// A file that cannot be opened.
pub(super) fn unusable(error: WalletError) -> Check {
    let next_step = "make it usable, or name another with WALLET_PATH, WALLET_NAME and HOTKEY_NAME";
    Check::fail("hotkey file", in_words(error), next_step)
}

fn public(path: &Path, address: Hotkey) -> Check {
    const NAME: &str = "hotkey public half";
    let (public, next_step) =
        (public_path(path), "write it again with `btcli wallet regen_hotkeypub`");
    match known_address(path) {
        Ok(Some(known)) if known == address => Check::pass(NAME, public.display().to_string()),
        Ok(Some(known)) => Check::fail(
            NAME,
            format!("{} states {known}: another key", public.display()),
            next_step,
        ),
        Err(error) => Check::warn(NAME, in_words(error), next_step),
        Ok(None) => Check::warn(
            NAME,
            format!("{} is missing; other tools list hotkeys by it", public.display()),
            next_step,
        ),
    }
}

/// Anyone who can change the folder can replace the key.
fn folder(path: &Path) -> Option<Check> {
    let folder = path.parent()?;
    let mode = mode_of(&std::fs::metadata(folder).ok()?)?;
    let shown = format!("{} ({mode:04o})", folder.display());
    Some(if mode & 0o022 == 0 {
        Check::pass("hotkey folder", shown)
    } else {
        let finding = format!("{shown}: others can put another key there");
        Check::warn("hotkey folder", finding, format!("chmod 700 {}", folder.display()))
    })
}
