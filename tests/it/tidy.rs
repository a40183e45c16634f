//! The tree itself: what every source file, every dependency and the documents must keep to.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

mod documents;
mod packages;
mod sources;

/// The project's folder.
fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("tests run under cargo");
    Path::new(&manifest).parent().expect("tests/ has a parent").to_owned()
}

/// What a command prints, run in the project's folder.
fn output(command: &mut Command) -> String {
    let output = command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// A file of the project.
struct File {
    /// Relative to the project's folder.
    path: String,
    text: String,
}

/// All text files that git tracks or would add.
fn files() -> Vec<File> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = output(&mut git);
    let read = |path: &str| {
        // A file may be tracked and deleted, or no text: neither is of interest here.
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    let files: Vec<File> = list.split_terminator('\0').filter_map(read).collect();
    assert!(files.len() > 20, "git lists only {} files of the project", files.len());
    files
}

/// What `program ARGUMENTS --help` prints. The program is the one built beside this test.
fn help(program: &str, arguments: &[&str]) -> String {
    let test = env::current_exe().expect("a test knows its own path");
    let release = test.parent().and_then(Path::parent).expect("tests lie in release/deps");
    let path = release.join(format!("{program}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{program} is not built: run `cargo build --release --workspace --all-targets` first"
    );
    // Wide, so that no line of the help is broken.
    output(Command::new(path).args(arguments).arg("--help").env("COLUMNS", "1000"))
}

/// Fails with one line for each finding.
#[track_caller]
fn assert_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
