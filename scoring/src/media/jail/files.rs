//! The wall around files: Landlock, which needs no privilege (Linux 5.13 and later).

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};
use std::path::{Path, PathBuf};

/// The newest rules that are asked for. An older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V6;
/// Where systems keep shared libraries and the loader.
const LIBRARIES: [&str; 8] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
];
/// The loader's own files, and how many processors there are.
const FACTS: [&str; 4] =
    ["/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/sys/devices/system/cpu"];

/// Rules by which `program` and shared libraries can be read and run, and nothing else can be
/// opened. Files that are open already stay so. TCP is refused, and so are signals and abstract
/// sockets to processes outside, where the kernel can.
pub(super) fn rules(program: &Path) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let run = read | AccessFs::Execute;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for folder in LIBRARIES.iter().map(PathBuf::from).chain(own_libraries(program)) {
        ruleset = allow(ruleset, &folder, run)?;
    }
    for file in FACTS {
        ruleset = allow(ruleset, Path::new(file), read)?;
    }
    allow(ruleset, program, AccessFs::ReadFile | AccessFs::Execute)
}

/// A path that does not exist needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}

/// The libraries of a program that is installed in a folder of its own: `lib` beside its `bin`.
fn own_libraries(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().ok()?;
    let folder = program.parent().filter(|folder| folder.ends_with("bin"))?;
    Some(folder.parent()?.join("lib")).filter(|libraries| libraries.is_dir())
}
