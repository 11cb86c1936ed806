//! The folder of a task that is not published yet. What is done of the task is on disk at every
//! moment, so that neither another try nor a restart asks a miner again. The mechanism decides what
//! is in it; what is published has a name by which it is known here:
//!
//! | file | object | of |
//! |---|---|---|
//! | `metadata.json` | `metadata.json` | every mechanism |
//! | `original_clip.mp4`, `first_frame.png` | the same | video, whose folder has `videos/` |
//! | `videos/{hotkey}.mp4` | `generated_videos/{hotkey}.mp4` | video |
//! | `challenge.*`, `reference.*` | the same | mechanisms without `videos/` |
//! | `answers/{hotkey}.*` | the same | mechanisms without `videos/` |

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use leoma_protocol::{Hotkey, TaskId};
use leoma_storage::{TaskKey, TaskObject};

/// The folder of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskFolder {
    path: PathBuf,
    task_id: TaskId,
}

impl TaskFolder {
    pub(crate) fn new(spool: &Path, task_id: TaskId) -> Self {
        Self { path: spool.join(task_id.to_string()), task_id }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files of all kept videos.
    pub(crate) fn videos(&self) -> io::Result<Vec<PathBuf>> {
        files(&self.path.join("videos"))
    }

    /// What a task of this kind begins with, beside its metadata.
    pub(crate) fn begun_objects(&self) -> io::Result<Vec<(TaskObject, PathBuf)>> {
        if self.is_of_video() {
            return Ok(vec![
                (TaskObject::OriginalClip, self.path.join("original_clip.mp4")),
                (TaskObject::FirstFrame, self.path.join("first_frame.png")),
            ]);
        }
        let is_begun = |object: &TaskObject| {
            matches!(object, TaskObject::Challenge(_) | TaskObject::Reference(_))
        };
        let files = files(&self.path)?.into_iter();
        let named = files.filter_map(|path| Some((self.object_of("", &path)?, path)));
        Ok(named.filter(|(object, _)| is_begun(object)).collect())
    }

    /// The miners' answers.
    pub(crate) fn answer_objects(&self) -> io::Result<Vec<(TaskObject, PathBuf)>> {
        if self.is_of_video() {
            let videos = self.videos()?.into_iter();
            let of_miner =
                |path: PathBuf| Some((TaskObject::GeneratedVideo(miner_of(&path)?), path));
            return Ok(videos.filter_map(of_miner).collect());
        }
        let answers = match files(&self.path.join("answers")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            answers => answers?,
        };
        let named = answers.into_iter();
        Ok(named.filter_map(|path| Some((self.object_of("answers/", &path)?, path))).collect())
    }

    fn is_of_video(&self) -> bool {
        self.path.join("videos").is_dir()
    }

    /// The object that a file is, by its name.
    fn object_of(&self, folder: &str, path: &Path) -> Option<TaskObject> {
        let name = path.file_name()?.to_str()?;
        let key: TaskKey = format!("{}/{folder}{name}", self.task_id).parse().ok()?;
        Some(key.object)
    }

    /// Removes the folder, if it is there.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What is in a folder, sorted.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// Writes a file so that it exists whole or not at all, after a loss of power too: what is signed
/// next may name it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = path.with_extension("half");
    let mut file = File::create(&half)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(half, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Has the names in a folder on the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The miner whose video a file is, by its name.
pub(crate) fn miner_of(video: &Path) -> Option<Hotkey> {
    video.file_stem()?.to_str()?.parse().ok()
}

/// Removes the folders of tasks that are neither in `needed` nor signed and unpublished: of turns
/// that were given up.
pub(crate) fn tidy(spool: &Path, needed: &[TaskId]) -> io::Result<()> {
    let entries = match std::fs::read_dir(spool) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let task: Option<u64> =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if task.is_some_and(|task| !needed.contains(&TaskId(task))) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_known_by_its_name_and_nothing_else_is() {
        let spool = tempfile::tempdir().unwrap();
        let folder = TaskFolder::new(spool.path(), TaskId(7));
        let miner = Hotkey::from_bytes([9; 32]);
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in ["begun.json", "challenge.wav", "reference.bvh", "metadata.json", "notes.txt"] {
            write(name);
        }
        let objects = |found: Vec<(TaskObject, PathBuf)>| -> Vec<String> {
            let key = |object| TaskKey::new(TaskId(7), object).to_string();
            found.into_iter().map(|(object, _)| key(object)).collect()
        };
        assert_eq!(
            objects(folder.begun_objects().unwrap()),
            ["7/challenge.wav", "7/reference.bvh"]
        );
        assert!(folder.answer_objects().unwrap().is_empty(), "nobody has answered");
        write(&format!("answers/{miner}.bvh"));
        write(&format!("answers/{miner}.half"));
        write(&format!("kept/{miner}.json"));
        let answer = format!("7/answers/{miner}.bvh");
        assert_eq!(objects(folder.answer_objects().unwrap()), [answer]);
        // Video's notes beside its videos are nobody's answers.
        write(&format!("answers/{miner}.json"));
        write(&format!("videos/{miner}.mp4"));
        let video = format!("7/generated_videos/{miner}.mp4");
        assert_eq!(objects(folder.answer_objects().unwrap()), [video]);
        let begun = ["7/original_clip.mp4", "7/first_frame.png"];
        assert_eq!(objects(folder.begun_objects().unwrap()), begun);
    }

    #[test]
    fn folders_of_given_up_turns_do_not_stay() {
        let spool = tempfile::tempdir().unwrap();
        tidy(&spool.path().join("none yet"), &[]).unwrap();
        for name in ["7", "8", "notes"] {
            std::fs::create_dir(spool.path().join(name)).unwrap();
        }
        tidy(spool.path(), &[TaskId(8)]).unwrap();
        let left = ["7", "8", "notes"].map(|name| spool.path().join(name).exists());
        assert_eq!(left, [false, true, true]);
    }
}
