//! The tables of `docs/field.md` that tests generate.

use std::path::Path;

/// Compares a table with the one that the page has between `<!-- name -->` and `<!-- end -->`. With
/// `LEOMA_WRITE_DOCS` set, writes it there instead.
pub(crate) fn check(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/field.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap();
    let (found, after) = rest.split_once("\n<!-- end -->").unwrap();
    if std::env::var_os("LEOMA_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}\n<!-- end -->{after}")).unwrap();
    } else {
        assert!(found == table, "docs/field.md has another table `{name}` than:\n{table}");
    }
}
