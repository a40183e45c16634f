//! `cargo xtask wasm`: the pages for browsers, ready to be embedded in `herd`.
//!
//! - [`route`]: a compiler for wasm32
//! - [`bindgen`]: the worker's module, and the script that loads it
//! - [`bundle`]: the files under names that say their content, compressed
//!
//! All of it lies in `web/dist` then, which coordinator/build.rs takes in.

mod bindgen;
mod bundle;
pub(crate) mod route;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::{self, Workspace};
use bundle::Bundle;
use route::Route;

/// The pages, and the bundles that each one names: only who computes loads the module.
const PAGES: [(&str, &[&str]); 3] = [
    ("dashboard.html", &["page"]),
    ("join.html", &["page", "wasm"]),
    ("try.html", &["page", "wasm"]),
];

/// What the pages need of `web/`, beside the libraries.
const PAGE: [&str; 3] = [".css", ".js", ".svg"];

/// Where npm puts uPlot, and the names under which the page finds it.
const UPLOT: [(&str, &str); 2] = [("uPlot.esm.js", "uplot.js"), ("uPlot.min.css", "uplot.css")];

/// Largest module, as brotli: a phone on a slow network fetches it.
const WASM_BYTES_MAX: usize = 2_000_000;

/// Builds the page into `web/dist`.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let route = Route::find(workspace)?;
    eprintln!("wasm32 with {route}");
    let start = Instant::now();
    workspace::run(route.cargo(workspace, "build").args(["-p", "worker-wasm"]))?;
    let compiled = start.elapsed();
    let module = route.output(workspace, "worker_wasm.wasm");
    let cache = workspace.target.join("page-cache");
    let wasm = bindgen::bundle(&module, &cache)?;
    let size = wasm.brotli_bytes("worker_wasm_bg.wasm");
    let page = page(workspace, &cache)?;
    let dist = workspace.root.join("web/dist");
    write(workspace, &dist, &[&page, &wasm])?;
    bundle::prune(&cache, &[&page, &wasm])?;
    eprintln!(
        "page: compiled in {:.0} s, all in {:.0} s; the module has {:.2} MB as brotli",
        compiled.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        size as f64 / 1e6
    );
    if size > WASM_BYTES_MAX {
        bail!("the module has {size} bytes as brotli, the limit is {WASM_BYTES_MAX}");
    }
    Ok(())
}

/// Clippy on the crate that is empty for every other target.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    let route = Route::find(workspace)?;
    if !route.has_clippy() {
        eprintln!("skipped: clippy on worker-wasm, as {route} comes without clippy");
        return Ok(());
    }
    let mut clippy = route.cargo(workspace, "clippy");
    workspace::run(clippy.args(["-p", "worker-wasm", "--", "-D", "warnings"]))
}

/// The page's own files and its chart library.
fn page(workspace: &Workspace, cache: &Path) -> Result<Bundle> {
    let web = workspace.root.join("web");
    packages(workspace)?;
    let mut bundle = Bundle::new("page", cache);
    for entry in fs::read_dir(&web).with_context(|| format!("cannot read {}", web.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && PAGE.iter().any(|end| name.ends_with(end)) {
            bundle.add(name, &read(&path)?)?;
        }
    }
    for (library, name) in UPLOT {
        bundle.add(name, &read(&web.join("node_modules/uplot/dist").join(library))?)?;
    }
    Ok(bundle)
}

/// The packages of web/package-lock.json, installed when they are not or when the file has changed.
fn packages(workspace: &Workspace) -> Result<()> {
    let web = workspace.root.join("web");
    let lock = read(&web.join("package-lock.json"))?;
    let mark = web.join("node_modules/.herd-lock");
    if fs::read(&mark).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    setup::node()?;
    let mut npm = Command::new("npm");
    npm.current_dir(&web).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    workspace::run(&mut npm).context("the page's libraries come from npm")?;
    fs::write(&mark, lock).with_context(|| format!("cannot write {}", mark.display()))
}

/// Checks the types that the scripts claim in their comments.
pub(crate) fn check_types(workspace: &Workspace) -> Result<()> {
    packages(workspace)?;
    let mut tsc = Command::new("node");
    tsc.current_dir(workspace.root.join("web"));
    tsc.args(["node_modules/typescript/bin/tsc", "--project", "tsconfig.json"]);
    workspace::run(&mut tsc)
}

fn write(workspace: &Workspace, dist: &Path, bundles: &[&Bundle]) -> Result<()> {
    let mut pages = Vec::new();
    for (name, labels) in PAGES {
        pages.push((name, filled_in(workspace, name, labels, bundles)?));
    }
    let mut files: Vec<(PathBuf, &[u8])> =
        pages.iter().map(|(name, html)| (name.into(), html.as_bytes())).collect();
    for bundle in bundles {
        files.extend(bundle.files());
    }
    bundle::synchronise(dist, &files)
}

/// A page with the places of its bundles. A mark that is missing, or of no bundle, is a mistake.
fn filled_in(
    workspace: &Workspace,
    name: &str,
    labels: &[&str],
    bundles: &[&Bundle],
) -> Result<String> {
    let template = read(&workspace.root.join("web").join(name))?;
    let mut html = String::from_utf8(template).with_context(|| format!("{name} is no UTF-8"))?;
    for bundle in bundles.iter().filter(|bundle| labels.contains(&bundle.label())) {
        let (mark, place) = (format!("{{{{{}}}}}", bundle.label()), bundle.place());
        if !html.contains(&mark) {
            bail!("web/{name} does not contain {mark}");
        }
        html = html.replace(&mark, &format!("/{place}"));
    }
    if html.contains("{{") {
        bail!("web/{name} holds a mark that nothing fills in");
    }
    Ok(html)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
