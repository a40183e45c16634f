//! Documents that say what the programs do: no flag is missing, no command is invented.

use std::collections::BTreeSet;

use super::{File, assert_none, files, help, root};

fn documents() -> Vec<File> {
    let is_document =
        |file: &File| file.path == "README.md" || file.path.starts_with("docs/") && is_prose(file);
    let documents: Vec<File> = files().into_iter().filter(is_document).collect();
    assert!(documents.iter().any(|file| file.path == "README.md"), "README.md is missing");
    documents
}

fn is_prose(file: &File) -> bool {
    file.path.ends_with(".md")
}

/// The flags that a help text lists: `--name` at the start of a line, perhaps after `-n, `.
fn flags(help: &str) -> BTreeSet<String> {
    help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(flags_in).collect()
}

/// Each `--name` of a line, in the order of the line.
fn flags_in(line: &str) -> Vec<String> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-';
    line.split(|char: char| !is_name(char))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

/// Command lines in the `sh` blocks of the documents that start with `program `, each with the file that it is in.
/// A line that ends with a backslash goes on with the next one.
fn commands(program: &str) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for file in documents() {
        let joined = file.text.replace("\\\n", " ");
        let mut is_shell = false;
        for line in joined.lines().map(str::trim_start) {
            if line.starts_with("```") {
                is_shell = line == "```sh";
            } else if is_shell && line.starts_with(&format!("{program} ")) {
                let command = line.split(" #").next().unwrap_or(line).trim_end();
                commands.push((file.path.clone(), command.to_owned()));
            }
        }
    }
    commands
}

#[test]
fn every_flag_of_train_is_documented() {
    let text: String = documents().into_iter().map(|file| file.text).collect();
    let documented: BTreeSet<String> = text.lines().flat_map(flags_in).collect();
    let mut train = flags(&help("herd", &["train"]));
    train.remove("--help");
    assert!(train.len() > 10, "the help of `herd train` lists only {train:?}");
    let missing: Vec<String> = train.difference(&documented).cloned().collect();
    assert_none(&missing, "README.md or a file of docs/ explains each flag of `herd train`");
}

#[test]
fn documented_commands_have_the_flags_they_are_shown_with() {
    let mut findings = Vec::new();
    let mut seen = 0;
    for (path, command) in commands("herd") {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let verb = match words[..] {
            [group @ ("runs" | "model" | "data" | "token"), verb, ..] => vec![group, verb],
            [verb, ..] => vec![verb],
            [] => continue,
        };
        let known = flags(&help("herd", &verb));
        findings.extend(unknown(&path, &command, &known));
        seen += 1;
    }
    let worker = flags(&help("herd-worker", &[]));
    for (path, command) in commands("herd-worker") {
        findings.extend(unknown(&path, &command, &worker));
        seen += 1;
    }
    assert!(seen >= 3, "the documents show only {seen} commands of Herd");
    assert_none(&findings, "a command in a document works as it stands");
}

fn unknown(path: &str, command: &str, known: &BTreeSet<String>) -> Option<String> {
    let flag = flags_in(command).into_iter().find(|flag| !known.contains(flag))?;
    Some(format!("{path}: `{command}`: no flag {flag}"))
}

#[test]
fn documented_xtask_commands_exist() {
    let text = help("xtask", &[]);
    let list = text.split("Commands:").nth(1).expect("the help of xtask lists its commands");
    let known: BTreeSet<&str> =
        list.lines().take_while(|line| !line.contains("Options:")).filter_map(first_word).collect();
    assert!(known.contains("test"), "the help of xtask lists {known:?}");
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let mut files = documents();
    files.extend(super::files().into_iter().filter(|file| file.path == ".ci/run"));
    for file in files {
        for shown in file.text.split("cargo xtask ").skip(1).filter_map(first_word) {
            let name = shown.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
            if !name.is_empty() && name.chars().all(|char| char.is_ascii_lowercase()) {
                seen.insert(name.to_owned());
                if !known.contains(name) {
                    findings.push(format!("{}: cargo xtask {name}", file.path));
                }
            }
        }
    }
    assert!(seen.contains("demo") && seen.contains("test"), "README.md names the two commands");
    assert_none(&findings, "`cargo xtask --help` lists what the documents show");
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

#[test]
fn licences_are_there_in_full() {
    for (name, first, last) in [
        ("LICENSE-MIT", "MIT License", "SOFTWARE."),
        ("LICENSE-APACHE", "Apache License", "limitations under the License."),
    ] {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.trim_start().starts_with(first), "{name} starts with {first:?}");
        assert!(text.trim_end().ends_with(last), "{name} ends with {last:?}");
    }
}
