//! wasm-bindgen's generator, as a library: nothing to install, and of the version that Cargo.lock
//! names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wasm_bindgen_cli_support::Bindgen;

use super::bundle::{self, Bundle};
use super::read;

/// The module that cargo built, with its script, as a bundle.
pub(super) fn bundle(module: &Path, cache: &Path) -> Result<Bundle> {
    let raw = read(module)?;
    let folder = cache.join(format!("bindgen-{}", bundle::digest(&raw)));
    if !folder.join("worker_wasm_bg.wasm").exists() {
        generate(module, &folder)?;
    }
    let mut bundle = Bundle::new("wasm", cache);
    for name in ["worker_wasm.js", "worker_wasm_bg.wasm"] {
        bundle.add(name, &read(&folder.join(name))?)?;
    }
    bundle.uses(folder);
    Ok(bundle)
}

fn generate(module: &Path, folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true).map_err(|error| anyhow!("{error}"))?;
    // Names are a third of the module; cargo's own `strip` would take away a section that the
    // generator needs.
    bindgen.remove_name_section(true).remove_producers_section(true).typescript(false);
    bindgen.generate(&partial).map_err(|error| anyhow!("wasm-bindgen: {error}"))?;
    fs::rename(&partial, folder).with_context(|| format!("cannot make {}", folder.display()))
}
