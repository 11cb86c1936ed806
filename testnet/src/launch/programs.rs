//! Where the programs of this workspace lie.

use std::path::{Path, PathBuf};

use super::{LaunchError, Result};

/// The two programs of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The validator.
    pub leoma: PathBuf,
    /// Everything else.
    pub testnet: PathBuf,
}

impl Programs {
    /// Looks in the folder that `LEOMA_BIN_DIR` names, else beside this program and one folder
    /// above (a test lies in `deps/` below its programs).
    ///
    /// # Errors
    /// [`LaunchError::NoProgram`] with the command that builds it.
    pub fn find() -> Result<Self> {
        let named = std::env::var_os("LEOMA_BIN_DIR").map(PathBuf::from);
        let folders = match named {
            Some(folder) => vec![folder],
            None => {
                let own = std::env::current_exe()
                    .map_err(|source| LaunchError::Io { path: "this program".into(), source })?;
                own.ancestors().skip(1).take(2).map(Path::to_path_buf).collect()
            }
        };
        Ok(Self { leoma: find("leoma", &folders)?, testnet: find("leoma-testnet", &folders)? })
    }
}

fn find(name: &'static str, folders: &[PathBuf]) -> Result<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        LaunchError::NoProgram { name, folders: folders.join(" or ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = find("leoma", &[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("`leoma`")
                && error.contains("cargo build --bins -p leoma -p leoma-testnet"),
            "{error}"
        );
        std::fs::write(folder.path().join("leoma"), "").unwrap();
        assert_eq!(
            find("leoma", &[folder.path().to_owned()]).unwrap(),
            folder.path().join("leoma")
        );
    }
}
