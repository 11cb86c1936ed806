//! Where the password of an encrypted key file comes from: the Python wallet's variable, a setting,
//! a file, or a prompt.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::WalletError;
use crate::file;

/// Longest password file: it holds one line.
const MAX_PASSWORD_BYTES: u64 = 4096;
/// Shorter passwords are guessed too soon, even at half a second a guess.
const MIN_NEW_CHARACTERS: usize = 8;

/// What a key is for; this decides which settings may hold its password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// Signs for a validator or miner: its password may be in the program's environment.
    #[default]
    Hotkey,
    /// Holds the money: no variable of the hotkey unlocks it.
    Coldkey,
}

impl KeyKind {
    const fn file_setting(self) -> &'static str {
        match self {
            Self::Hotkey => "WALLET_PASSWORD_FILE",
            Self::Coldkey => "COLDKEY_PASSWORD_FILE",
        }
    }
}

/// Where a password may be found besides the variable that belongs to the key file.
#[derive(Clone, Debug, Default)]
pub struct PasswordSources {
    /// What the key is for.
    pub kind: KeyKind,
    /// The Python wallet's variables of a `.env` file, by name; those of the environment win.
    pub variables: BTreeMap<String, Password>,
    /// `WALLET_PASSWORD`, of hotkeys only.
    pub value: Option<Password>,
    /// `WALLET_PASSWORD_FILE` or `COLDKEY_PASSWORD_FILE`.
    pub file: Option<PathBuf>,
}

impl PasswordSources {
    fn needed(&self, path: &Path) -> WalletError {
        let (variable, setting) = (variable_of(path), self.kind.file_setting());
        let ways = match self.kind {
            KeyKind::Hotkey => format!(
                "set WALLET_PASSWORD (or {variable}, as the Python wallet saves it), name a file that holds it with {setting}"
            ),
            KeyKind::Coldkey => {
                format!(
                    "name a file that holds it with {setting} (or set {variable}, as the Python wallet saves it)"
                )
            }
        };
        WalletError::NeedsPassword { path: path.to_owned(), ways }
    }
}

/// A password: wiped when dropped, never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Its text.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A password and the name of its place, for messages.
pub(super) struct Found {
    pub(super) password: Password,
    /// The other reading of the same text, to be tried if the first does not open the file.
    pub(super) otherwise: Option<Password>,
    pub(super) source_name: String,
}

/// Where a password is looked for: the process's environment and terminal, or a test's.
pub(super) trait Surroundings {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Asks on the terminal; `None` if there is none.
    fn ask(&self, question: &str) -> Option<std::io::Result<String>>;
}

/// The process's environment and terminal.
pub(super) struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn ask(&self, question: &str) -> Option<std::io::Result<String>> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        Some(terminal::ask(question))
    }
}

/// Restores the terminal, for a program that ends while a password prompt hides what is typed.
pub fn restore_terminal() {
    terminal::restore();
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::sync::{Mutex, PoisonError};

    use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

    /// The terminal's settings before the open prompt; `None` if no prompt is open.
    static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

    /// Typing is hidden from the prompt's first letter on, and only this module restores the
    /// terminal: other code could do so after the program's exit has done it.
    pub(super) fn ask(question: &str) -> std::io::Result<String> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        hide(tty.try_clone()?)?;
        let config = rpassword::ConfigBuilder::new()
            .input_reader(tty.try_clone()?)
            .output_writer(tty)
            .build();
        let answer = rpassword::prompt_password_with_config(question, config);
        restore();
        answer
    }

    fn hide(tty: File) -> std::io::Result<()> {
        let before = tcgetattr(&tty)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        hidden.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&tty, SetArg::TCSANOW, &hidden)?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((tty, before));
        Ok(())
    }

    pub(super) fn restore() {
        if let Some((tty, before)) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone_at_worst = tcsetattr(&tty, SetArg::TCSANOW, &before);
        }
    }
}

#[cfg(not(unix))]
mod terminal {
    pub(super) fn ask(question: &str) -> std::io::Result<String> {
        rpassword::prompt_password(question)
    }

    pub(super) fn restore() {}
}

/// The variable in which the Python wallet saves a file's password.
pub(super) fn variable_of(path: &Path) -> String {
    format!("BT_PW_{}", path.display().to_string().replace(['/', '.'], "_").to_uppercase())
}

/// The password of an existing file.
pub(super) fn find(
    path: &Path,
    sources: &PasswordSources,
    surroundings: &dyn Surroundings,
) -> Result<Found, WalletError> {
    if let Some(found) = given(path, sources, surroundings)? {
        return Ok(found);
    }
    let question = format!("password of {}: ", path.display());
    ask(&question, surroundings)?.ok_or_else(|| sources.needed(path))
}

/// The password for a file that is about to be written; a person is asked twice.
pub(super) fn choose(
    path: &Path,
    sources: &PasswordSources,
    surroundings: &dyn Surroundings,
) -> Result<Found, WalletError> {
    let question = format!("new password of {}: ", path.display());
    let found = match given(path, sources, surroundings)? {
        Some(found) => found,
        None => {
            let needed = || sources.needed(path);
            let first = ask(&question, surroundings)?.ok_or_else(needed)?;
            let again = ask("repeat the password: ", surroundings)?.ok_or_else(needed)?;
            if first.password.as_bytes() != again.password.as_bytes() {
                return Err(unusable(&first.source_name, "the two passwords differ"));
            }
            first
        }
    };
    if found.password.0.chars().count() < MIN_NEW_CHARACTERS {
        return Err(unusable(&found.source_name, "a new password has at least 8 characters"));
    }
    Ok(found)
}

fn unusable(source_name: &str, reason: impl Into<String>) -> WalletError {
    WalletError::Password { source_name: source_name.to_owned(), reason: reason.into() }
}

fn given(
    path: &Path,
    sources: &PasswordSources,
    surroundings: &dyn Surroundings,
) -> Result<Option<Found>, WalletError> {
    let variable = variable_of(path);
    let in_file = || sources.variables.get(&variable).map(|password| (*password.0).clone());
    let value = surroundings.variable(&variable).filter(|text| !text.is_empty()).or_else(in_file);
    if let Some(value) = value {
        return Ok(Some(of_variable(variable, value)));
    }
    let (password, source_name) = if let Some(value) = &sources.value {
        (value.clone(), "WALLET_PASSWORD".to_owned())
    } else if let Some(file) = &sources.file {
        let source_name = format!("{} ({})", sources.kind.file_setting(), file.display());
        (read_file(file, &source_name)?, source_name)
    } else {
        return Ok(None);
    };
    Ok(Some(Found { password, otherwise: None, source_name }))
}

fn ask(question: &str, surroundings: &dyn Surroundings) -> Result<Option<Found>, WalletError> {
    let source_name = "the terminal".to_owned();
    match surroundings.ask(question) {
        None => Ok(None),
        Some(Ok(text)) => {
            Ok(Some(Found { password: Password::new(text), otherwise: None, source_name }))
        }
        Some(Err(error)) => Err(unusable(&source_name, error.to_string())),
    }
}

/// What one of the Python wallet's variables holds: the form in which that wallet saves it, or the
/// plain password, which people put there. A text may be both, so both are tried.
fn of_variable(variable: String, value: String) -> Found {
    let plain = Password::new(value.trim_end_matches(['\r', '\n']));
    let saved = unscramble(&variable, &Zeroizing::new(value));
    let source_name = format!("{variable} (read as the Python wallet saves it, and as plain text)");
    match saved {
        Some(password) => Found { password, otherwise: Some(plain), source_name },
        None => Found { password: plain, otherwise: None, source_name },
    }
}

/// The Python wallet's variables hold base64 of the password, XORed with the variable's own name
/// over and over. That is no protection: it only stops reading over a shoulder.
fn unscramble(variable: &str, value: &str) -> Option<Password> {
    let mut bytes = Zeroizing::new(STANDARD.decode(value.trim()).ok()?);
    bytes.iter_mut().zip(variable.bytes().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some(Password::new(std::str::from_utf8(&bytes).ok()?))
}

fn read_file(path: &Path, source_name: &str) -> Result<Password, WalletError> {
    let opened = file::read_plain(path, MAX_PASSWORD_BYTES);
    let opened = opened.map_err(|error| unusable(source_name, error.to_string()))?;
    file::warn_if_open(path, opened.is_open);
    let text =
        std::str::from_utf8(&opened.bytes).map_err(|_| unusable(source_name, "it is not text"))?;
    // Editors end a file with a line break, which nobody means.
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(unusable(source_name, "it is empty"));
    }
    Ok(Password::new(line))
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    /// Variables, and what a person would type.
    #[derive(Default)]
    pub(crate) struct Given {
        pub(crate) variables: HashMap<String, String>,
        pub(crate) answers: RefCell<Vec<String>>,
    }

    impl Surroundings for Given {
        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).cloned()
        }

        fn ask(&self, _question: &str) -> Option<std::io::Result<String>> {
            let mut answers = self.answers.borrow_mut();
            if answers.is_empty() { None } else { Some(Ok(answers.remove(0))) }
        }
    }

    fn scramble(variable: &str, password: &str) -> String {
        STANDARD.encode(
            password.bytes().zip(variable.bytes().cycle()).map(|(a, b)| a ^ b).collect::<Vec<_>>(),
        )
    }

    fn text(found: Result<Found, WalletError>) -> (String, String) {
        let found = found.unwrap();
        (found.password.0.to_string(), found.source_name)
    }

    #[test]
    fn the_files_own_variable_wins_over_setting_file_and_prompt() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from file\r\n").unwrap();
        let path = Path::new("/srv/.bittensor/w/hotkeys/h");
        let variable = "BT_PW__SRV__BITTENSOR_W_HOTKEYS_H".to_owned();
        assert_eq!(variable_of(path), variable);
        let mut sources = PasswordSources {
            value: Some(Password::new("from setting")),
            file: Some(file.clone()),
            ..PasswordSources::default()
        };
        let mut given = Given::default();
        given.answers.borrow_mut().push("from prompt".to_owned());
        given.variables.insert(variable.clone(), scramble(&variable, "from variable, with an ö"));
        let (password, source) = text(find(path, &sources, &given));
        assert_eq!(password, "from variable, with an ö");
        assert!(source.starts_with(&variable), "{source}");
        given.variables.clear();
        sources.variables =
            BTreeMap::from([(variable.clone(), Password::new(scramble(&variable, "in .env")))]);
        assert_eq!(text(find(path, &sources, &given)).0, "in .env");
        sources.variables.clear();
        assert_eq!(text(find(path, &sources, &given)).0, "from setting");
        sources.value = None;
        assert_eq!(text(find(path, &sources, &given)).0, "from file");
        sources.file = None;
        assert_eq!(text(find(path, &sources, &given)).0, "from prompt");
        let none = find(path, &sources, &given).err().unwrap().to_string();
        for way in ["WALLET_PASSWORD ", "WALLET_PASSWORD_FILE", "BT_PW__SRV", "terminal"] {
            assert!(none.contains(way), "{none}");
        }
    }

    #[test]
    fn a_coldkeys_password_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from file").unwrap();
        let coldkey =
            |file| PasswordSources { kind: KeyKind::Coldkey, file, ..PasswordSources::default() };
        let path = Path::new("/w/coldkey");
        let (password, source) = text(find(path, &coldkey(Some(file)), &Given::default()));
        assert_eq!(password, "from file");
        assert!(source.starts_with("COLDKEY_PASSWORD_FILE"), "{source}");
        let none = find(path, &coldkey(None), &Given::default()).err().unwrap().to_string();
        assert!(
            none.contains("COLDKEY_PASSWORD_FILE") && none.contains("BT_PW__W_COLDKEY"),
            "{none}"
        );
        assert!(!none.contains("WALLET_PASSWORD"), "{none}");
    }

    #[test]
    fn a_new_password_is_asked_for_twice_and_not_short() {
        let path = Path::new("w");
        let sources = PasswordSources::default();
        let answers = |answers: &[&str]| Given {
            answers: RefCell::new(answers.iter().map(|text| (*text).to_owned()).collect()),
            ..Given::default()
        };
        assert_eq!(
            text(choose(path, &sources, &answers(&["long enough", "long enough"]))).0,
            "long enough"
        );
        for (given, part) in [
            (answers(&["long enough", "long enouhg"]), "differ"),
            (answers(&["short", "short"]), "8 characters"),
            (answers(&["long enough"]), "WALLET_PASSWORD_FILE"),
        ] {
            let error = choose(path, &sources, &given).err().unwrap().to_string();
            assert!(error.contains(part) && !error.contains("enou"), "{error}");
        }
    }

    #[test]
    fn unusable_passwords_are_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = Path::new("w");
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, "planted".repeat(1000)).unwrap();
        for file in [empty, long, folder.path().to_owned(), folder.path().join("absent")] {
            let sources =
                PasswordSources { file: Some(file.clone()), ..PasswordSources::default() };
            let error = find(path, &sources, &Given::default()).err().unwrap().to_string();
            assert!(
                error.contains(&file.display().to_string()) && !error.contains("planted"),
                "{error}"
            );
        }
        assert_eq!(format!("{:?}", Password::new("planted")), "***");
    }

    #[test]
    fn b2_a_plain_password_in_the_wallets_variable_is_tried_too() {
        let path = Path::new("/w/my-wallet/hotkeys/h");
        let variable = variable_of(path);
        assert_eq!(variable, "BT_PW__W_MY-WALLET_HOTKEYS_H");
        let found = |value: &str| {
            let mut given = Given::default();
            given.variables.insert(variable.clone(), value.to_owned());
            find(path, &PasswordSources::default(), &given).unwrap()
        };
        let candidates = |value: &str| {
            let Found { password, otherwise, .. } = found(value);
            let texts = [Some(password), otherwise].into_iter().flatten();
            texts.map(|password| password.0.to_string()).collect::<Vec<_>>()
        };
        for plain in ["123456!", "correct horse", "pa$$w0rd!", "abcd1234", "Zm9v", "line\n"] {
            assert!(candidates(plain).contains(&plain.trim_end().to_owned()), "{plain}");
        }
        // The form of the Python wallet comes first.
        assert_eq!(candidates(&scramble(&variable, "secret"))[0], "secret");
        assert!(found("Zm9v").source_name.contains("plain text"));
    }

    proptest! {
        #[test]
        fn every_password_comes_back_from_the_wallets_variable(password in ".{1,200}", path in "[a-z./]{1,60}") {
            let variable = variable_of(Path::new(&path));
            let back = unscramble(&variable, &scramble(&variable, &password)).unwrap();
            prop_assert_eq!(back.0.as_str(), password);
        }

        #[test]
        fn no_variable_makes_the_reader_panic(value: String) {
            let _ = unscramble("BT_PW_X", &value);
        }
    }
}
