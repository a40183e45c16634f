//! Rules for source files, line by line.

use super::{File, assert_none, files};

/// A file longer than this holds more than one thing.
const LINES_MAX: usize = 500;

fn is_source(file: &File) -> bool {
    [".rs", ".js", ".mjs", ".css", ".html"].iter().any(|end| file.path.ends_with(end))
}

/// `PATH:LINE: what was found` for each line with one of `words`.
fn lines_with(files: &[File], words: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{}:{}: {word}", file.path, index + 1));
            }
        }
    }
    findings
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let silent: Vec<String> = files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs") && !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert_none(&silent, "a Rust file starts with `//!` and a sentence");
}

#[test]
fn source_files_are_short() {
    let long: Vec<String> = files()
        .iter()
        .filter(|file| is_source(file) && file.text.lines().count() > LINES_MAX)
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    assert_none(&long, "a source file has at most 500 lines; split it by what it is about");
}

#[test]
fn nothing_is_unfinished_or_left_out() {
    // Written in two parts, so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
        concat!("#[", "should_panic]"),
    ];
    let sources: Vec<File> = files().into_iter().filter(is_source).collect();
    assert_none(
        &lines_with(&sources, &words),
        "source files are finished, and no test is left out",
    );
}

#[test]
fn no_line_ends_in_a_space() {
    let kept = [".rs", ".toml", ".js", ".mjs", ".css", ".html", ".md"];
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| kept.iter().any(|end| file.path.ends_with(end))) {
        let trailing = |line: &str| line.ends_with(' ') || line.ends_with('\t');
        if let Some(index) = file.text.lines().position(trailing) {
            findings.push(format!("{}:{}", file.path, index + 1));
        }
    }
    assert_none(&findings, "no line ends in a space");
}

#[test]
fn no_file_names_a_machine() {
    let folders = [
        concat!("/", "root/"),
        concat!("/", "home/"),
        concat!("/", "work/"),
        concat!("/", "farm/"),
        concat!("/", "Users/"),
    ];
    let mut findings = Vec::new();
    for file in &files() {
        for (index, line) in file.text.lines().enumerate() {
            if folders.iter().any(|folder| is_absolute(line, folder)) {
                findings.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    assert_none(&findings, "no file holds a path of one machine");
}

/// Whether `folder` stands in `line` at the start of a path, not within one.
fn is_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || "-_./}".contains(char))
    })
}

#[test]
fn paths_of_a_machine_are_told_from_others() {
    let folder = concat!("/", "work/");
    assert!(is_absolute(concat!("see /", "work/main"), folder));
    assert!(is_absolute(concat!("/", "work/main"), folder));
    assert!(!is_absolute("https://example.org/work/main", folder));
    assert!(!is_absolute("docs/work/main", folder));
}

#[test]
fn no_file_names_a_package_registry() {
    let hosts = [
        concat!("crates", ".io"),
        concat!("registry.npm", "js.org"),
        concat!("pypi", ".org"),
        concat!("static.rust-", "lang.org"),
    ];
    // Cargo itself writes the registry's name into the lock file.
    let files: Vec<File> = files().into_iter().filter(|file| file.path != "Cargo.lock").collect();
    assert_none(&lines_with(&files, &hosts), "cargo's own configuration says where packages are");
}
