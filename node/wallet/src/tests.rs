//! Whole files: written, read, and refused.

use std::path::Path;

use leoma_protocol::Hotkey;
use sp_core::{Pair as _, sr25519};

use super::file;
use super::password::tests::Given;
use super::*;

const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

fn wallet(folder: &Path) -> WalletSettings {
    let (passwords, coldkey_passwords) = (PasswordSources::default(), PasswordSources::default());
    WalletSettings {
        path: folder.into(),
        wallet: "w".into(),
        hotkey: "h".into(),
        passwords,
        coldkey_passwords,
    }
}

fn load_beside(content: &[u8], public: Option<&str>) -> Result<LoadedKey, WalletError> {
    let folder = tempfile::tempdir().unwrap();
    let path = hotkey_path(&wallet(folder.path()));
    file::make_folder_of(&path).unwrap();
    file::write_new(&path, content).unwrap();
    if let Some(public) = public {
        file::write_new(&public_path(&path), public.as_bytes()).unwrap();
    }
    KeyFile::open(&path)?.load_in(&PasswordSources::default(), &Given::default())
}

fn load(content: &str) -> Result<sr25519::Pair, WalletError> {
    load_beside(content.as_bytes(), None).map(|loaded| loaded.pair)
}

#[test]
fn phrase_seed_and_private_key_give_the_same_hotkey() {
    let by_phrase = load(&format!(
        r#"{{"secretPhrase": "{PHRASE}", "ss58Address": "{ADDRESS}", "cryptoType": "1"}}"#
    ))
    .unwrap();
    let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    let by_seed =
        load(&format!(r#"{{"secretSeed": "{seed}", " ss58Address": "{ADDRESS}"}}"#)).unwrap();
    let private = hex::encode(by_phrase.to_raw_vec());
    let by_private = load(&format!(r#"{{"privateKey": "0x{private}"}}"#)).unwrap();
    assert_eq!(by_phrase.public(), by_seed.public());
    assert_eq!(by_phrase.public(), by_private.public());
}

#[test]
fn errors_name_the_file_and_the_next_step_but_no_secret() {
    for (content, part) in [
        ("$NACLxxxx", "encrypted"),
        ("$ANSIBLE_VAULT;1.1;AES256\nsecret-seed", "encrypted"),
        ("gAAAAAsecret-seed", "encrypted"),
        ("not json secret-seed", "not a key file"),
        (r#"{"encoded": "x", "encoding": {}}"#, "polkadot.js"),
        (r#"{"ss58Address": "5x"}"#, "no secret"),
        (r#"{"secretSeed": "0x12"}"#, "neither 32 nor 64"),
        (r#"{"secretPhrase": "secret words here"}"#, "mnemonic"),
        (r#"{"secretPhrase": "secret words here", "cryptoType": 0}"#, "sr25519"),
    ] {
        let error = load(content).err().unwrap().to_string();
        assert!(error.contains(part) && error.contains("hotkeys/h"), "{error}");
        assert!(!error.contains("secret words") && !error.contains("secret-seed"), "{error}");
    }
    let other =
        load(&format!(r#"{{"secretPhrase": "{PHRASE}", "ss58Address": "5Other"}}"#)).err().unwrap();
    assert!(matches!(other, WalletError::WrongAddress { .. }));
}

#[test]
fn an_encrypted_file_without_password_names_the_three_ways() {
    let content = [&b"$NACL"[..], &[0; 100]].concat();
    let error = load_beside(&content, None).err().unwrap().to_string();
    for way in ["WALLET_PASSWORD ", "BT_PW_", "WALLET_PASSWORD_FILE", "terminal"] {
        assert!(error.contains(way), "{error}");
    }
}

#[test]
fn a_key_without_address_is_checked_against_the_public_half_beside_it() {
    let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    let own = format!(r#"{{"ss58Address":"{ADDRESS}"}}"#);
    let other = r#"{"ss58Address":"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"}"#;
    let against =
        |public| load_beside(seed.as_bytes(), public).map(|loaded| loaded.checked_against);
    assert_eq!(against(Some(&own)).unwrap(), CheckedAgainst::PublicFile);
    assert_eq!(against(None).unwrap(), CheckedAgainst::Nothing);
    assert!(matches!(against(Some(other)), Err(WalletError::WrongAddress { .. })));
    for damaged in ["not json", "{}", r#"{"ss58Address":"5x"}"#] {
        let error = against(Some(damaged)).err().unwrap().to_string();
        assert!(error.contains("hpub.txt") && error.contains("no ss58Address"), "{error}");
    }
    // A file that states its address needs no other.
    let stated = format!(r#"{{"secretPhrase": "{PHRASE}", "ss58Address": "{ADDRESS}"}}"#);
    assert!(load_beside(stated.as_bytes(), Some("not json")).is_ok());
    // Early wallets kept public keys in this form: taken for a seed, one would sign as somebody
    // else.
    let public = format!("0x{}", hex::encode(ADDRESS.parse::<Hotkey>().unwrap().as_bytes()));
    let error = load_beside(public.as_bytes(), Some(&own)).err().unwrap().to_string();
    assert!(error.contains("public key"), "{error}");
}

#[test]
fn a_new_hotkey_loads_again_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = hotkey_path(&wallet(folder.path()));
    let first = NewHotkey::generate();
    let nobody = Given::default();
    let written = first.write_in(&path, None, false, &nobody).unwrap();
    assert_eq!(written.public_path, folder.path().join("w/hotkeys/hpub.txt"));
    let loaded =
        KeyFile::open(&path).unwrap().load_in(&PasswordSources::default(), &nobody).unwrap();
    assert_eq!(Hotkey::from(loaded.pair.public()), first.hotkey());
    assert_eq!((loaded.format, loaded.checked_against), (KeyFormat::Json, CheckedAgainst::File));
    assert_eq!(known_address(&path).unwrap(), Some(first.hotkey()));
    let again = sr25519::Pair::from_phrase(first.mnemonic(), None).unwrap().0;
    assert_eq!(again.public(), loaded.pair.public());
    let shown = format!("{first:?} {loaded:?} {:?}", KeyFile::open(&path).unwrap());
    assert!(!shown.contains(first.mnemonic()) && shown.contains(&first.hotkey().to_string()));

    let second = NewHotkey::generate();
    assert!(matches!(
        second.write_in(&path, None, false, &nobody),
        Err(WalletError::Exists { .. })
    ));
    assert_eq!(known_address(&path).unwrap(), Some(first.hotkey()));
    let kept = second.write_in(&path, None, true, &nobody).unwrap().replaced.unwrap();
    assert_eq!(known_address(&kept).unwrap(), Some(first.hotkey()));
    assert_eq!(known_address(&path).unwrap(), Some(second.hotkey()));
    let loaded =
        KeyFile::open(&kept).unwrap().load_in(&PasswordSources::default(), &nobody).unwrap();
    assert_eq!(Hotkey::from(loaded.pair.public()), first.hotkey());
}

#[test]
fn an_encrypted_hotkey_loads_with_its_password_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = hotkey_path(&wallet(folder.path()));
    let new = NewHotkey::generate();
    let sources = |text: &str| PasswordSources {
        value: Some(Password::new(text)),
        ..PasswordSources::default()
    };
    new.write_in(&path, Some(&sources("correct horse")), false, &Given::default()).unwrap();
    let file = KeyFile::open(&path).unwrap();
    assert_eq!(file.encryption(), Some(Encryption::Nacl));
    let loaded = file.load_in(&sources("correct horse"), &Given::default()).unwrap();
    assert_eq!(Hotkey::from(loaded.pair.public()), new.hotkey());
    let error = file.load_in(&sources("wrong horse"), &Given::default()).err().unwrap();
    assert!(matches!(error, WalletError::WrongPassword { .. }));
    assert!(
        error.to_string().contains("WALLET_PASSWORD") && !error.to_string().contains("horse"),
        "{error}"
    );
}

#[test]
fn an_address_comes_from_the_public_half_only_where_the_key_does_not_tell_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = hotkey_path(&wallet(folder.path()));
    let new = NewHotkey::generate();
    assert!(address_of(&path).err().unwrap().is_absent());
    new.write_in(&path, None, false, &Given::default()).unwrap();
    assert_eq!(address_of(&path).unwrap(), Some(new.hotkey()));
    // A damaged key file is reported as damaged, even if its public half is good.
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(address_of(&path), Err(WalletError::Malformed { .. })));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(address_of(&path), Err(WalletError::NotAFile { .. })));
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(address_of(&path).unwrap(), Some(new.hotkey()));
    std::fs::write(&path, [&b"$NACL"[..], &[0; 100]].concat()).unwrap();
    assert_eq!(address_of(&path).unwrap(), Some(new.hotkey()));
    std::fs::remove_file(public_path(&path)).unwrap();
    assert_eq!(address_of(&path).unwrap(), None);
}

/// What people keep beside a hotkey: the public half of the coldkey alone, files of a desktop, and
/// folders.
#[tokio::test]
async fn b6_b7_a_hotkey_loads_without_its_coldkey_and_beside_files_that_are_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = wallet(folder.path());
    let path = hotkey_path(&wallet);
    let made = NewHotkey::generate();
    made.write_in(&path, None, false, &Given::default()).unwrap();
    let public = format!(r#"{{"ss58Address":"{ADDRESS}"}}"#);
    std::fs::write(folder.path().join("w/coldkeypub.txt"), public).unwrap();
    for (name, content) in [(".DS_Store", "\0\0\0\x01Bud1"), ("defaultpub.txt", "{}"), ("x", "")] {
        std::fs::write(folder.path().join("w/hotkeys").join(name), content).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("w/hotkeys/g")).unwrap();
    std::fs::create_dir_all(folder.path().join("empty/hotkeys")).unwrap();
    assert_eq!(Hotkey::from(load_hotkey(&wallet).await.unwrap().public()), made.hotkey());
    // A folder in the hotkey's place is named.
    let elsewhere = WalletSettings { hotkey: "g".into(), ..wallet };
    let error = load_hotkey(&elsewhere).await.err().unwrap().to_string();
    assert!(error.contains("hotkeys/g"), "{error}");
}
