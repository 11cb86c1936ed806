//! Where the password of an encrypted key file comes from: the Python wallet's variable, a setting, a file, or a prompt.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leoma_storage::Secret;
use zeroize::Zeroizing;

use super::WalletError;

/// A password's file holds one line; anything longer is another file.
const MAX_PASSWORD_BYTES: u64 = 4096;
/// Fewer characters are guessed too soon, even at the wallet's half second a guess.
const MIN_NEW_CHARACTERS: usize = 8;

/// Where a password may be found besides the variable that belongs to the key file.
#[derive(Clone, Debug, Default)]
pub struct PasswordSources {
    /// `WALLET_PASSWORD`.
    pub value: Option<Secret>,
    /// `WALLET_PASSWORD_FILE`.
    pub file: Option<PathBuf>,
}

/// A password: wiped when dropped, never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
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

/// What a password is looked for in: the process's own surroundings, or a test's.
pub(super) trait Surroundings {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Asks a person; `None` where there is none.
    fn ask(&self, question: &str) -> Option<std::io::Result<String>>;
}

/// The process's environment and terminal.
pub(super) struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn ask(&self, question: &str) -> Option<std::io::Result<String>> {
        std::io::stdin().is_terminal().then(|| rpassword::prompt_password(question))
    }
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
    let needed = || WalletError::NeedsPassword { path: path.to_owned(), variable: variable_of(path) };
    ask(&question, surroundings)?.ok_or_else(needed)
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
            let needed = || WalletError::NeedsPassword { path: path.to_owned(), variable: variable_of(path) };
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
    let (password, source_name) = if let Some(value) = surroundings.variable(&variable).filter(|text| !text.is_empty())
    {
        (unscramble(&variable, &Zeroizing::new(value))?, variable)
    } else if let Some(value) = &sources.value {
        (Password::new(value.expose()), "WALLET_PASSWORD".to_owned())
    } else if let Some(file) = &sources.file {
        (read_file(file)?, format!("WALLET_PASSWORD_FILE ({})", file.display()))
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

/// The Python wallet's variables hold base64 of the password, XORed with the variable's own name over and over: no
/// protection, only something that is not read over a shoulder.
fn unscramble(variable: &str, value: &str) -> Result<Password, WalletError> {
    let malformed = || unusable(variable, "it is not what the Python wallet saves there (base64 of a scrambled text)");
    let mut bytes = Zeroizing::new(STANDARD.decode(value.trim()).map_err(|_| malformed())?);
    bytes.iter_mut().zip(variable.bytes().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    Ok(Password::new(text))
}

fn read_file(path: &Path) -> Result<Password, WalletError> {
    let source_name = format!("WALLET_PASSWORD_FILE ({})", path.display());
    let failed = |error: std::io::Error| unusable(&source_name, error.to_string());
    // Looked at before it is opened: to open a pipe would be to wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unusable(&source_name, "it is not a plain file"));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    super::file::warn_if_open(path, super::file::mode_of(&file.metadata().map_err(failed)?));
    let mut text = Zeroizing::new(String::with_capacity(MAX_PASSWORD_BYTES as usize + 1));
    file.take(MAX_PASSWORD_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(unusable(&source_name, "it is too long for a password"));
    }
    // Editors end a file with a line break, which nobody means.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(unusable(&source_name, "it is empty"));
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
        STANDARD.encode(password.bytes().zip(variable.bytes().cycle()).map(|(a, b)| a ^ b).collect::<Vec<_>>())
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
        let mut sources = PasswordSources { value: Some(Secret::new("from setting")), file: Some(file.clone()) };
        let mut given = Given::default();
        given.answers.borrow_mut().push("from prompt".to_owned());
        given.variables.insert(variable.clone(), scramble(&variable, "from variable, with an ö"));
        assert_eq!(text(find(path, &sources, &given)), ("from variable, with an ö".to_owned(), variable));
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
    fn a_new_password_is_asked_for_twice_and_not_short() {
        let path = Path::new("w");
        let sources = PasswordSources::default();
        let answers = |answers: &[&str]| Given {
            answers: RefCell::new(answers.iter().map(|text| (*text).to_owned()).collect()),
            ..Given::default()
        };
        assert_eq!(text(choose(path, &sources, &answers(&["long enough", "long enough"]))).0, "long enough");
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
            let sources = PasswordSources { file: Some(file.clone()), ..PasswordSources::default() };
            let error = find(path, &sources, &Given::default()).err().unwrap().to_string();
            assert!(error.contains(&file.display().to_string()) && !error.contains("planted"), "{error}");
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
