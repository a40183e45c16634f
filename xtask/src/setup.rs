//! What the commands need beside Rust, and how a Debian machine gets it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::page::route::Route;
use crate::workspace::{self, Workspace};

/// Mesa's lavapipe is a Vulkan device on any CPU.
const VULKAN: [&str; 2] = ["libvulkan1", "mesa-vulkan-drivers"];

/// `cargo xtask setup`: everything that any command needs. A C compiler is not in it: Rust itself
/// links with one, so without it this program would not exist.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    vulkan()?;
    proxies();
    node()?;
    chromium()?;
    println!("wasm32: {}", Route::find(workspace)?);
    println!("Everything that Herd's commands need is here.");
    Ok(())
}

/// What the tests of GPU training need: one Vulkan device.
pub(crate) fn vulkan() -> Result<()> {
    let present = || !cfg!(target_os = "linux") || (vulkan_loader() && vulkan_driver());
    if present() {
        return Ok(());
    }
    install("a Vulkan driver", &VULKAN)?;
    if !present() {
        bail!("there is still no Vulkan driver after installing {}", VULKAN.join(" "));
    }
    Ok(())
}

/// The proxies that the documents tell how to set up. Without one its test proves nothing, and says so.
pub(crate) fn proxies() {
    for (program, asked) in [("caddy", "version"), ("nginx", "-v")] {
        // Debian has programs of the system where users do not look.
        let present =
            || starts(program, &[asked]) || starts(format!("/usr/sbin/{program}"), &[asked]);
        if !present()
            && let Err(error) = install(program, &[program])
        {
            eprintln!("warning: the test of {program} is skipped: {error:#}");
        }
    }
}

/// What the page's libraries come with.
pub(crate) fn node() -> Result<()> {
    let present = || starts("node", &["--version"]) && starts("npm", &["--version"]);
    if !present() {
        install("Node.js with npm", &["nodejs", "npm"])?;
    }
    if !present() {
        bail!("Node.js and npm are installed, and do not start");
    }
    Ok(())
}

/// What Spark runs on, for the comparison with Elephas.
pub(crate) fn java() -> Result<()> {
    let present = || starts("java", &["-version"]);
    if !present() {
        install("Java", &["default-jre-headless"])?;
    }
    if !present() {
        bail!("Java is installed, and does not start");
    }
    Ok(())
}

/// The browser of the browser tests.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(path) = env::var_os("HERD_CHROMIUM") {
        return Ok(path.into());
    }
    let find = || {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let folders = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&folders)
            .flat_map(|folder| names.map(|name| folder.join(name)))
            .find(|path| path.is_file())
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    install("Chromium", &["chromium"])?;
    find().context("Chromium is installed, and not in PATH; HERD_CHROMIUM=PATH names another one")
}

/// Installs Debian packages where that is possible; otherwise the error says what to install.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let advice = format!("{what} is missing; on Debian: apt-get install {list}");
    if !is_root() || !starts("apt-get", &["--version"]) {
        bail!(advice);
    }
    eprintln!("{what} is missing: installing {list}");
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
        command
    };
    // A list that cannot be fetched need not be the one that these packages are in.
    if let Err(error) = workspace::run(apt().arg("update")) {
        eprintln!("warning: {error:#}");
    }
    workspace::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
        .context(advice)
}

fn is_root() -> bool {
    workspace::output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0")
}

/// Whether a program exists and runs.
pub(crate) fn starts(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    workspace::output(Command::new(program).args(arguments)).is_ok()
}

fn vulkan_loader() -> bool {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [multiarch.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"]
        .iter()
        .any(|folder| Path::new(folder).join("libvulkan.so.1").exists())
}

fn vulkan_driver() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]
        .iter()
        .filter_map(|folder| Path::new(folder).read_dir().ok())
        .any(|mut entries| entries.next().is_some())
}
