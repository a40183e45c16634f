//! The presets inside the binary: job files under `presets/`, each named by its file.

use include_dir::{Dir, include_dir};

static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/presets");

/// Names of the presets, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> =
        FOLDER.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
    names.sort_unstable();
    names
}

/// The text of the preset `name`.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FOLDER.get_file(format!("{name}.toml"))?.contents_utf8()
}
