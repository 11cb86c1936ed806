//! Keys of a local subnet, all drawn from its seed, and the wallet files that hold them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use leoma_protocol::Hotkey;
use serde_json::json;
use sp_core::{Pair as _, sr25519};

use super::{LaunchError, Result};
use crate::seed::Seed;

/// Name of the hotkey in every wallet.
pub const HOTKEY_NAME: &str = "default";

/// An account on the chain: a wallet with one coldkey and one hotkey.
#[derive(Clone)]
pub struct Account {
    /// Name of the wallet.
    pub wallet: String,
    /// The hotkey.
    pub hotkey: Hotkey,
    /// The coldkey.
    pub coldkey: Hotkey,
    seed: [u8; 32],
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("wallet", &self.wallet)
            .field("hotkey", &self.hotkey)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The account of this name.
    pub fn draw(seed: &Seed, wallet: &str) -> Self {
        let secret = seed.bytes(&format!("hotkey/{wallet}"));
        let coldkey = sr25519::Pair::from_seed(&seed.bytes(&format!("coldkey/{wallet}"))).public();
        let hotkey = sr25519::Pair::from_seed(&secret).public();
        Self {
            wallet: wallet.to_owned(),
            hotkey: hotkey.into(),
            coldkey: coldkey.into(),
            seed: secret,
        }
    }

    /// The hotkey's pair.
    pub fn pair(&self) -> sr25519::Pair {
        sr25519::Pair::from_seed(&self.seed)
    }

    /// Writes the wallet as the subnet's tools write it, under `wallets/{wallet}`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write_wallet(&self, wallets: &Path) -> Result<()> {
        let folder = wallets.join(&self.wallet);
        let hotkeys = folder.join("hotkeys");
        make_private_folder(&hotkeys)?;
        let public = format!("0x{}", hex::encode(self.hotkey.as_bytes()));
        let secret = json!({
            "accountId": public,
            "publicKey": public,
            "privateKey": format!("0x{}", hex::encode(self.pair().to_raw_vec())),
            "secretPhrase": null,
            "secretSeed": format!("0x{}", hex::encode(self.seed)),
            "ss58Address": self.hotkey,
        });
        write_private(&hotkeys.join(HOTKEY_NAME), &secret.to_string())?;
        let shown = json!({"accountId": public, "publicKey": public, "ss58Address": self.hotkey});
        write_private(&hotkeys.join(format!("{HOTKEY_NAME}pub.txt")), &shown.to_string())?;
        let cold = format!("0x{}", hex::encode(self.coldkey.as_bytes()));
        let shown = json!({"accountId": cold, "publicKey": cold, "ss58Address": self.coldkey});
        write_private(&folder.join("coldkeypub.txt"), &shown.to_string())
    }
}

/// The mesh key of a validator: 32 bytes for its `libp2p.key`, and the peer id that follows from
/// them.
pub(crate) fn mesh_key(seed: &Seed, wallet: &str) -> (String, Option<libp2p::PeerId>) {
    let secret = seed.bytes(&format!("mesh/{wallet}"));
    let keypair = libp2p::identity::Keypair::ed25519_from_bytes(secret);
    (hex::encode(secret), keypair.ok().map(|keypair| keypair.public().to_peer_id()))
}

/// Makes a folder that only its owner may enter, and its missing parents.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_private_folder(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| LaunchError::Io { path: path.to_owned(), source })
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = |source| LaunchError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_private_and_loads_in_the_validator() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let account = Account::draw(&Seed::new("1"), "validator-1");
        account.write_wallet(folder.path()).unwrap();
        let path = folder.path().join("validator-1/hotkeys/default");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(text["ss58Address"], account.hotkey.to_string());
        assert_ne!(account.hotkey, Account::draw(&Seed::new("2"), "validator-1").hotkey);
        assert!(!format!("{account:?}").contains(&hex::encode(account.seed)));
    }

    #[test]
    fn mesh_keys_follow_from_the_seed() {
        let (one, other) = (mesh_key(&Seed::new("1"), "a"), mesh_key(&Seed::new("1"), "b"));
        assert_eq!(one.0.len(), 64);
        assert!(one.1.is_some() && one.1 != other.1);
    }
}
