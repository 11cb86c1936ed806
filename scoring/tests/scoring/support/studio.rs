//! Real MP4s made by ffmpeg.

use leoma_scoring::media::Ffmpeg;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of videos that goes with the test.
#[derive(Debug)]
pub struct Studio {
    folder: tempfile::TempDir,
}

/// The installed ffmpeg, or a printed reason for skipping the test.
pub fn ffmpeg() -> Option<Ffmpeg> {
    Ffmpeg::find().map_err(|missing| println!("skipped: {missing}")).ok()
}

impl Studio {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs ffmpeg with words split at spaces; `{}` stands for this folder. Returns the file's
    /// bytes.
    pub fn make(&self, name: &str, input: &str, output: &str) -> Vec<u8> {
        let folder = self.folder.path().display().to_string();
        let words = |text: &str| {
            text.split_whitespace().map(|word| word.replace("{}", &folder)).collect::<Vec<_>>()
        };
        let status = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-threads", "2"])
            .args(words(input))
            .args(words(output))
            .arg(self.path(name))
            .status()
            .unwrap();
        assert!(status.success(), "ffmpeg {input} {output}");
        std::fs::read(self.path(name)).unwrap()
    }

    /// A moving, textured scene of 81 frames of 832x480 at 16 per second.
    pub fn scene(&self, name: &str) -> Vec<u8> {
        let picture = self.path("picture.png");
        if !Path::new(&picture).exists() {
            let luma = "128+50*sin(X/37+3*sin(Y/53))+30*sin(Y/29)";
            let chroma = "cb='128+40*sin(X/90)':cr='128+40*cos(Y/80)'";
            let filter =
                format!("nullsrc=s=1200x640:r=16,geq=lum='{luma}':{chroma},noise=alls=40,gblur=1");
            self.make("picture.png", &format!("-f lavfi -i {filter}"), "-frames:v 1");
        }
        let pan = "-vf crop=832:480:x='60+n*3':y='80+20*sin(n/12)'";
        let encode = "-frames:v 81 -c:v libx264 -crf 14 -preset veryfast -pix_fmt yuv420p";
        self.make(name, "-loop 1 -r 16 -i {}/picture.png", &format!("{pan} {encode}"))
    }

    /// A copy of `source` through `filter`.
    pub fn copy(&self, name: &str, source: &str, filter: &str) -> Vec<u8> {
        let output = format!(
            "-vf {filter} -frames:v 81 -c:v libx264 -crf 23 -preset veryfast -pix_fmt yuv420p"
        );
        self.make(name, &format!("-i {{}}/{source}"), &output)
    }
}
