//! The examples in the documentation compile and do what they say.
//!
//! Cargo runs no documentation tests for a crate that is only a shared library, so the comments are handed to rustdoc as
//! one Markdown file, with the library that this program is linked to.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The source files below `folder`, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The documentation comments of a source file, without the slashes.
fn documentation(source: &str) -> String {
    let comment = |line: &str| {
        let text = line.trim_start();
        let text = text.strip_prefix("//!").or_else(|| text.strip_prefix("///"))?;
        Some(text.strip_prefix(' ').unwrap_or(text).to_owned())
    };
    // A line of code ends a comment; the empty line keeps the next one apart.
    source.lines().map(|line| comment(line).unwrap_or_default() + "\n").collect()
}

#[test]
fn every_example_in_the_documentation_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut markdown = String::new();
    for path in sources(&root.join("src")) {
        let name = path.strip_prefix(root).unwrap().display();
        write!(markdown, "\n\n# {name}\n\n{}", documentation(&std::fs::read_to_string(&path).unwrap())).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documentation.md");
    std::fs::write(&file, markdown).unwrap();
    let program = std::env::current_exe().unwrap();
    let dependencies = program.parent().unwrap();
    // target/<triple>/debug/deps holds the libraries, target/debug/deps the macros that they were compiled with.
    let macros = dependencies.join("../../../debug/deps");
    let library = dependencies.join(format!("libonramp{}", std::env::consts::DLL_SUFFIX));
    let output = Command::new("rustdoc")
        .current_dir(root)
        .args(["--test", "--edition", "2024", "-Cprefer-dynamic", "--extern"])
        .arg(format!("onramp={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .arg("-L")
        .arg(format!("dependency={}", macros.display()))
        .arg(&file)
        .output()
        .expect("rustdoc comes with rustc; check that it is on the PATH");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let passed = text.lines().filter(|line| line.starts_with("test ") && line.contains("... ok")).count();
    let written = text.lines().any(|line| line.contains("half_efficiency") && line.contains("... ok"));
    assert!(passed > 5 && written, "the examples were not found:\n{text}");
}
