//! Rules for dependencies: who may use whom, licences, packages that are not wanted.
//!
//! All questions go to `cargo tree`: it counts what is really built, while `cargo metadata` and the
//! lock file also name optional packages that no feature turns on.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use super::{assert_none, files, output};

/// Each crate of the workspace, and the others that it may use.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("protocol", &[]),
    ("model", &["protocol"]),
    ("engine", &["protocol"]),
    ("worker-core", &["model", "protocol"]),
    ("worker-native", &["model", "protocol", "worker-core"]),
    ("worker-wasm", &["model", "protocol", "worker-core"]),
    ("coordinator", &["engine", "model", "protocol", "worker-native"]),
    ("tests", &["coordinator", "engine", "model", "protocol", "worker-core", "worker-native"]),
    ("simulation", &["engine", "protocol"]),
    ("fuzz", &["coordinator", "engine", "model", "protocol", "worker-core"]),
    ("xtask", &[]),
];

/// Crates that only compute: whoever drives them reads, writes, waits and knows the time.
const PURE: [&str; 4] = ["protocol", "model", "engine", "worker-core"];

/// Packages of IO, by the start of their names.
const IO: [&str; 10] =
    ["async-std", "axum", "hyper", "mio", "reqwest", "rusqlite", "smol", "sqlx", "tokio", "ureq"];

/// Licences that a binary of Herd may contain. All are permissive except MPL-2.0, whose terms end
/// at the borders of its own files.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// TLS through a C library: it would have to be installed, and patched, beside Herd.
const BANNED: [&str; 4] = ["native-tls", "openssl", "openssl-src", "openssl-sys"];

const WASM: &str = "wasm32-unknown-unknown";

/// A package that is built, and its licence.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    licence: String,
}

/// What `cargo tree` lists for these arguments, the asked crates themselves among them.
fn tree(arguments: &[&str]) -> BTreeSet<Package> {
    let mut cargo = Command::new(env::var_os("CARGO").expect("tests run under cargo"));
    cargo.args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{l}"]).args(arguments);
    let packages: BTreeSet<Package> = output(&mut cargo).lines().filter_map(package).collect();
    assert!(!packages.is_empty(), "{cargo:?} lists nothing");
    packages
}

/// `name v1.2.3 (path)|licence (*)`; `None` for headings and empty lines.
fn package(line: &str) -> Option<Package> {
    let (package, licence) = line.split_once('|')?;
    let name = package.split(' ').next()?.to_owned();
    let licence = licence.strip_suffix(" (*)").unwrap_or(licence).trim().to_owned();
    Some(Package { name, licence })
}

fn names(arguments: &[&str]) -> BTreeSet<String> {
    tree(arguments).into_iter().map(|package| package.name).collect()
}

#[test]
fn crates_use_only_what_the_dependency_rule_allows() {
    let crates: BTreeSet<String> = names(&["--workspace", "--depth", "0"]);
    let listed: BTreeSet<String> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(crates, listed, "every crate of the workspace has a line in the dependency rule");
    let mut findings = Vec::new();
    for (name, allowed) in MAY_USE {
        let direct = names(&["--package", name, "--depth", "1", "--target", "all"]);
        findings.extend(
            direct
                .intersection(&crates)
                .filter(|used| *used != name && !allowed.contains(&used.as_str()))
                .map(|used| format!("{name} uses {used}")),
        );
    }
    assert_none(&findings, "docs/ARCHITECTURE.md says which crate may use which");
}

#[test]
fn only_shells_do_io() {
    let mut findings = Vec::new();
    for name in PURE {
        findings.extend(
            names(&["--package", name, "--depth", "1"])
                .iter()
                .filter(|used| starts_with_any(used, &IO))
                .map(|used| format!("{name} uses {used}")),
        );
    }
    assert_none(&findings, "only coordinator, worker-native and worker-wasm do IO");
}

#[test]
fn protocol_and_engine_are_small_to_the_bottom() {
    let mut findings = Vec::new();
    for name in ["protocol", "engine"] {
        let unwanted = ["burn", "cubecl", "wgpu"];
        findings.extend(
            names(&["--package", name, "--edges", "normal,build"])
                .iter()
                .filter(|used| starts_with_any(used, &IO) || starts_with_any(used, &unwanted))
                .map(|used| format!("{name} brings {used}")),
        );
    }
    assert_none(&findings, "protocol and engine know neither Burn nor IO");
}

fn starts_with_any(name: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| name.starts_with(start))
}

/// Everything that a binary of Herd is built from, native and wasm32.
fn built() -> BTreeSet<Package> {
    let mut packages = tree(&["--workspace", "--edges", "normal,build"]);
    packages.extend(tree(&[
        "--package",
        "worker-wasm",
        "--edges",
        "normal,build",
        "--target",
        WASM,
    ]));
    packages
}

#[test]
fn licences_are_known_and_permissive() {
    let findings: Vec<String> = built()
        .iter()
        .filter(|package| !is_allowed(&package.licence))
        .map(|package| format!("{}: {:?}", package.name, package.licence))
        .collect();
    assert_none(&findings, "each package's licence is on the list of this test");
}

#[test]
fn banned_packages_are_absent() {
    let findings: Vec<String> = built()
        .into_iter()
        .map(|package| package.name)
        .filter(|name| BANNED.contains(&name.as_str()))
        .collect();
    assert_none(&findings, "TLS comes from Rust, not from a C library");
}

#[test]
fn packages_come_from_the_registry() {
    let lock = files().into_iter().find(|file| file.path == "Cargo.lock").expect("a lock file");
    let findings: Vec<String> = lock
        .text
        .lines()
        .filter(|line| line.starts_with("source = ") && !line.contains("\"registry+"))
        .map(str::to_owned)
        .collect();
    assert_none(&findings, "no package comes from a repository or another place");
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    let findings: Vec<String> = files()
        .into_iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .filter(|file| !file.text.contains("[lints]\nworkspace = true"))
        .map(|file| file.path)
        .collect();
    assert_none(&findings, "a manifest has `[lints] workspace = true`");
}

/// Whether an SPDX expression lets us choose only licences of the list. AND binds tighter than OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest).is_some_and(|allowed| allowed && rest.is_empty())
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = all_of(rest)?;
    while let ["OR", after @ ..] = rest {
        *rest = after;
        allowed |= all_of(rest)?;
    }
    Some(allowed)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = licence(rest)?;
    while let ["AND", after @ ..] = rest {
        *rest = after;
        allowed &= licence(rest)?;
    }
    Some(allowed)
}

fn licence(rest: &mut &[&str]) -> Option<bool> {
    if let ["(", after @ ..] = rest {
        *rest = after;
        let allowed = any_of(rest)?;
        let [")", after @ ..] = rest else { return None };
        *rest = after;
        return Some(allowed);
    }
    let (name, after) = match rest {
        [name, "WITH", exception, after @ ..] => (format!("{name} WITH {exception}"), after),
        [name, after @ ..] => ((*name).to_owned(), after),
        [] => return None,
    };
    *rest = after;
    Some(LICENCES.contains(&name.as_str()))
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for allowed in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(GPL-3.0 OR MIT) AND Unicode-3.0"] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0", "GPL-3.0 AND MIT", "MIT AND (GPL-3.0 OR SSPL-1.0)", "MIT OR", "(MIT"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}
