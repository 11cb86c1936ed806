//! Writes one good input for each thing that the targets read, so that fuzzing starts from depth:
//! `cargo run --release --bin seed_corpus` in this folder.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new("corpus");
    for (target, name, bytes) in leoma_fuzz::seeds() {
        let folder = root.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
