//! The list of cases at the end of `docs/field.md`.

use std::collections::BTreeSet;
use std::path::Path;

/// Collects the names of functions in all Rust sources below `folder`.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let named = source.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            names.extend(named.map(str::to_owned));
        }
    }
}

#[test]
fn every_case_of_the_field_page_names_tests_that_exist_or_a_line_of_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeSet::new();
    for folder in ["node", "protocol", "scoring", "storage", "testnet"] {
        functions(&root.join(folder), &mut names);
    }
    let page = std::fs::read_to_string(root.join("docs/field.md")).unwrap();
    let (text, cases) = page.split_once("\n## Every case\n").unwrap();
    let rows: Vec<_> = cases.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 70, "{} cases", rows.len());
    for row in rows {
        let (case, tests) = row[2..].split_once(" | ").unwrap();
        let mut named = tests.split('`').skip(1).step_by(2).peekable();
        assert!(
            named.peek().is_some() || text.contains(case),
            "{case} has neither a test nor a line"
        );
        for test in named {
            assert!(names.contains(test), "{case}: there is no test {test}");
        }
    }
}
