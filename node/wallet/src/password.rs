//! Where the password of an encrypted key file comes from: the Python wallet's variable, a setting,
//! a file, or a prompt.

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
    /// The password that `text` is.
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

    /// As it was before the question that waits; `None` where none does.
    static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

    /// What is typed is hidden from the question's first letter on, and by nobody but this module:
    /// another that put the terminal back could do so after the program's end has.
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
            let again = ask("the same again: ", surroundings)?.ok_or_else(needed)?;
            if first.password.as_bytes() != again.password.as_bytes() {
                return Err(unusable(&first.source_name, "the two differ"));
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
    let (password, source_name) =
        if let Some(value) = surroundings.variable(&variable).filter(|text| !text.is_empty()) {
            (unscramble(&variable, &Zeroizing::new(value))?, variable)
        } else if let Some(value) = &sources.value {
            (value.clone(), "WALLET_PASSWORD".to_owned())
        } else if let Some(file) = &sources.file {
            let source_name = format!("{} ({})", sources.kind.file_setting(), file.display());
            (read_file(file, &source_name)?, source_name)
        } else {
            return Ok(None);
        };
    Ok(Some(Found { password, source_name }))
}

fn ask(question: &str, surroundings: &dyn Surroundings) -> Result<Option<Found>, WalletError> {
    let source_name = "the terminal".to_owned();
    match surroundings.ask(question) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(Found { password: Password::new(text), source_name })),
        Some(Err(error)) => Err(unusable(&source_name, error.to_string())),
    }
}

/// The Python wallet's variables hold base64 of the password, XORed with the variable's own name
/// over and over: no protection, only something that is not read over a shoulder.
fn unscramble(variable: &str, value: &str) -> Result<Password, WalletError> {
    let malformed = || {
        unusable(
            variable,
            "it is not what the Python wallet saves there (base64 of a scrambled text)",
        )
    };
    let mut bytes = Zeroizing::new(STANDARD.decode(value.trim()).map_err(|_| malformed())?);
    bytes.iter_mut().zip(variable.bytes().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    Ok(Password::new(text))
}

fn read_file(path: &Path, source_name: &str) -> Result<Password, WalletError> {
    let opened = file::read_plain(path, MAX_PASSWORD_BYTES);
    let opened = opened.map_err(|error| unusable(source_name, error.to_string()))?;
    file::warn_if_open(path, opened.mode);
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
        assert_eq!(
            text(find(path, &sources, &given)),
            ("from variable, with an ö".to_owned(), variable)
        );
        given.variables.clear();
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
        let mut given = Given::default();
        given.variables.insert("BT_PW_W".to_owned(), "planted secret".to_owned());
        let error = find(path, &PasswordSources::default(), &given).err().unwrap().to_string();
        assert!(error.contains("BT_PW_W") && !error.contains("planted"), "{error}");
        assert_eq!(format!("{:?}", Password::new("planted")), "***");
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
