//! Files under a folder named by their content, compressed once and kept: what a browser has
//! fetched it never asks for again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Brotli's slowest level: it is paid once, and saved by everybody who opens the page.
const BROTLI_QUALITY: i32 = 11;

/// Brotli's largest window that every browser takes, as a power of two.
const BROTLI_WINDOW: i32 = 24;

/// A group of files that change together.
pub(super) struct Bundle {
    label: &'static str,
    cache: PathBuf,
    hasher: blake3::Hasher,
    files: Vec<Packed>,
    /// What of the cache it is made of.
    used: Vec<PathBuf>,
}

struct Packed {
    name: String,
    brotli: Vec<u8>,
    gzip: Vec<u8>,
}

impl Bundle {
    pub(super) fn new(label: &'static str, cache: &Path) -> Self {
        let (cache, hasher) = (cache.to_owned(), blake3::Hasher::new());
        Self { label, cache, hasher, files: Vec::new(), used: Vec::new() }
    }

    /// What the page's template calls it.
    pub(super) fn label(&self) -> &'static str {
        self.label
    }

    /// Adds a file. Files of one folder are added in any order, and give one name.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let key = digest(bytes);
        let [br, gz] = ["br", "gz"].map(|end| self.cache.join(format!("{key}.{end}")));
        let brotli = cached(&br, || brotli(bytes))?;
        let gzip = cached(&gz, || gzip(bytes))?;
        self.used.extend([br, gz]);
        self.files.push(Packed { name: name.to_owned(), brotli, gzip });
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        self.hasher.reset();
        for file in &self.files {
            self.hasher.update(file.name.as_bytes()).update(digest(&file.gzip).as_bytes());
        }
        Ok(())
    }

    /// Where its files are served, without the slash before it.
    pub(super) fn place(&self) -> String {
        let digest = self.hasher.finalize().to_hex();
        format!("assets/{}-{}", self.label, &digest[..16])
    }

    /// Its files with their places.
    pub(super) fn files(&self) -> Vec<(PathBuf, &[u8])> {
        let place = PathBuf::from(self.place());
        let at = |name: &str, end: &str| place.join(format!("{name}.{end}"));
        let mut files = Vec::new();
        for file in &self.files {
            files.push((at(&file.name, "br"), file.brotli.as_slice()));
            files.push((at(&file.name, "gz"), file.gzip.as_slice()));
        }
        files
    }

    /// Something else of the cache that it is made of.
    pub(super) fn uses(&mut self, path: PathBuf) {
        self.used.push(path);
    }

    /// Compressed size of a file.
    pub(super) fn brotli_bytes(&self, name: &str) -> usize {
        self.files.iter().find(|file| file.name == name).map_or(0, |file| file.brotli.len())
    }
}

/// Removes from the cache what none of the bundles is made of: each change leaves megabytes behind.
pub(super) fn prune(cache: &Path, bundles: &[&Bundle]) -> Result<()> {
    let used = |path: &PathBuf| bundles.iter().any(|bundle| bundle.used.contains(path));
    for entry in fs::read_dir(cache).with_context(|| format!("cannot read {}", cache.display()))? {
        let path = entry?.path();
        if !used(&path) {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// A short name for content.
pub(super) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// What `make` makes, unless the file has it already.
fn cached(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Ok(bytes) = fs::read(path) {
        return Ok(bytes);
    }
    let bytes = make()?;
    let partial = path.with_extension("partial");
    let folder = path.parent().context("a cached file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&partial, &bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(bytes)
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &params).context("brotli")?;
    Ok(packed)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).context("gzip")
}

/// Makes a folder hold exactly these files. What is there already is not written again, so that
/// nothing is rebuilt that depends on it.
pub(super) fn synchronise(folder: &Path, files: &[(PathBuf, &[u8])]) -> Result<()> {
    let assets = folder.join("assets");
    let wanted = |path: &Path| files.iter().any(|(file, _)| folder.join(file).starts_with(path));
    if let Ok(entries) = fs::read_dir(&assets) {
        for entry in entries {
            let path = entry?.path();
            if !wanted(&path) {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    for (file, bytes) in files {
        let path = folder.join(file);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        let parent = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
