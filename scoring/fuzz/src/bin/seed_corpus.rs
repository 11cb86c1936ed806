//! Writes good inputs for the targets, so that fuzzing starts from depth: `cargo run --release
//! --bin seed_corpus` in this folder.

use std::path::Path;
use std::process::{Command, Stdio};

fn main() -> std::io::Result<()> {
    let folder = Path::new("corpus");
    let (containers, prints) = (folder.join("container"), folder.join("printed"));
    std::fs::create_dir_all(&containers)?;
    std::fs::create_dir_all(&prints)?;
    for (name, options) in [
        ("h264", "-frames:v 3 -c:v libx264"),
        ("odd", "-frames:v 3 -vf scale=63:47 -c:v libx264 -pix_fmt yuv444p"),
        ("fragmented", "-frames:v 4 -c:v libx264 -g 1 -movflags frag_keyframe+empty_moov"),
        ("first", "-frames:v 3 -c:v libx264 -movflags +faststart -metadata title=first"),
        ("turned", "-frames:v 3 -c:v mpeg4 -display_rotation 90"),
        ("vp9", "-frames:v 3 -c:v libvpx-vp9 -b:v 100k"),
        ("hevc", "-frames:v 3 -c:v libx265 -x265-params log-level=error"),
        ("long", "-frames:v 12 -c:v libx264"),
        ("large", "-frames:v 1 -vf scale=640:480 -c:v libx264"),
    ] {
        let path = containers.join(format!("{name}.mp4"));
        // A rotation is an option of the input.
        let (before, after) = match options.split_once(" -display_rotation ") {
            Some((after, turn)) => (vec!["-display_rotation", turn], after),
            None => (Vec::new(), options),
        };
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]).args(&before);
        command.args(["-f", "lavfi", "-i", "testsrc2=s=64x48:r=16"]).args(after.split(' ')).arg(&path);
        if !command.stdin(Stdio::null()).status()?.success() {
            // An encoder may be missing, and a version may not know an option.
            eprintln!("no seed {name}");
            let _ = std::fs::remove_file(&path);
        }
    }
    let stream = r#"{"codec_name": "h264", "width": 64, "height": 48, "avg_frame_rate": "16/1",
        "duration": "5.062500", "nb_frames": "81", "color_space": "bt709"}"#;
    std::fs::write(prints.join("claims"), format!("\u{0}{{\"streams\": [{stream}]}}"))?;
    std::fs::write(prints.join("nothing"), "\u{0}{\"programs\": [], \"streams\": []}")?;
    let frame = [b"FRAME\n".as_slice(), &[7; 4 * 2 * 3 / 2]].concat();
    let skeletons = folder.join("motion");
    std::fs::create_dir_all(&skeletons)?;
    for name in ["ref", "bent", "same"] {
        let file = format!("{name}.bvh");
        std::fs::copy(Path::new("../../vectors/motion").join(&file), skeletons.join(&file))?;
    }
    let stream = [b"\x0bYUV4MPEG2 W4 H2 F16:1 Ip A1:1 C420jpeg\n".as_slice(), &frame, &frame].concat();
    std::fs::write(prints.join("frames"), stream)
}
