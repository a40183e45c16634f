//! Which compiler builds for wasm32.
//!
//! The target's standard library comes from the first of these that works:
//! - it is installed for the toolchain in use;
//! - Debian's rustc-web is installed, and builds the library from its sources;
//! - rustup downloads it;
//! - apt-get installs Debian's rustc-web.
//!
//! `HERD_WASM_ROUTE=installed|rustup|debian` forces one.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::{self, Workspace};

const TARGET: &str = "wasm32-unknown-unknown";

/// The one profile of what runs in browsers; Cargo.toml says what is in it.
const PROFILE: &str = "wasm";

/// Where the network answers, the download takes seconds; where it does not, waiting is no use.
const DOWNLOAD_SECONDS: &str = "120";

/// Debian's compiler with the standard library's sources. lld links what it builds.
const PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];

/// Debian's compiler, also where rustup's stands before it in PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Which compiler has a standard library for wasm32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The toolchain in use has it.
    Installed,
    /// Debian's rustc-web builds it.
    Debian,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Installed => "the toolchain's own standard library",
            Self::Debian => "Debian's rustc-web, standard library from its sources",
        })
    }
}

impl Route {
    /// Finds a compiler, or installs one.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        match env::var("HERD_WASM_ROUTE").as_deref() {
            Err(_) => Self::find_any(workspace),
            Ok("installed") if has_target(workspace) => Ok(Self::Installed),
            Ok("installed") => bail!("the toolchain in use has no standard library for {TARGET}"),
            Ok("rustup") => download(workspace).map(|()| Self::Installed),
            Ok("debian") => install().map(|()| Self::Debian),
            Ok(other) => bail!("HERD_WASM_ROUTE is {other:?}: use installed, rustup or debian"),
        }
    }

    fn find_any(workspace: &Workspace) -> Result<Self> {
        if has_target(workspace) {
            return Ok(Self::Installed);
        }
        if has_debian() {
            return Ok(Self::Debian);
        }
        let Err(rustup) = download(workspace) else { return Ok(Self::Installed) };
        let Err(debian) = install() else { return Ok(Self::Debian) };
        bail!(
            "no compiler here has a standard library for {TARGET}. \
             Run `rustup target add {TARGET}`, or on Debian `apt-get install {}`.\n\
             rustup: {rustup:#}\napt-get: {debian:#}",
            PACKAGES.join(" ")
        )
    }

    /// Whether clippy belongs to it.
    pub(super) fn has_clippy(self) -> bool {
        self == Self::Installed
    }

    /// Where this compiler builds. Not where the native one does: another compiler and other
    /// features must not disturb each other.
    fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(match self {
            Self::Installed => "wasm",
            Self::Debian => "wasm-debian",
        })
    }

    /// Where it leaves a file that it built.
    pub(super) fn output(self, workspace: &Workspace, file: &str) -> PathBuf {
        self.folder(workspace).join(TARGET).join(PROFILE).join(file)
    }

    /// A cargo command for the wasm32 target.
    pub(super) fn cargo(self, workspace: &Workspace, command: &str) -> Command {
        let mut cargo = match self {
            Self::Installed => workspace.cargo(),
            Self::Debian => {
                let mut cargo = Command::new(DEBIAN_CARGO);
                cargo.current_dir(&workspace.root);
                // What rustup's cargo left in the environment would lead back to rustup's rustc.
                cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        };
        // Browsers have had 128-bit SIMD since 2021 (Safari since 2023); Burn's kernels need it.
        cargo.env("RUSTFLAGS", "-C target-feature=+simd128");
        cargo.args([command, "--profile", PROFILE, "--locked", "--target", TARGET, "--target-dir"]);
        cargo.arg(self.folder(workspace));
        if self == Self::Debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }
}

fn has_target(workspace: &Workspace) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.current_dir(&workspace.root).args(["--print", "target-libdir", "--target", TARGET]);
    workspace::output(&mut command).is_ok_and(|folder| Path::new(folder.trim()).exists())
}

fn download(workspace: &Workspace) -> Result<()> {
    if !setup::starts("rustup", &["--version"]) {
        bail!("rustup is not installed");
    }
    let mut command = Command::new("timeout");
    command.current_dir(&workspace.root);
    command.args([DOWNLOAD_SECONDS, "rustup", "target", "add", TARGET]);
    workspace::output(&mut command)?;
    if !has_target(workspace) {
        bail!("rustup added {TARGET} to another toolchain than the one in use");
    }
    Ok(())
}

fn has_debian() -> bool {
    let Ok(sysroot) = workspace::output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))
    else {
        return false;
    };
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    Path::new(DEBIAN_CARGO).exists() && sources.exists()
}

fn install() -> Result<()> {
    if has_debian() {
        return Ok(());
    }
    setup::install("a compiler for wasm32", &PACKAGES)?;
    has_debian().then_some(()).context("rustc-web is installed, but its sources are not there")
}
