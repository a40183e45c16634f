//! IDX files, the format of MNIST: a type, the sizes of the dimensions (big-endian), raw bytes.
//!
//! Plain or gzipped, told apart by their first bytes. Sizes are checked against the file's length
//! before memory is taken, and a file must end exactly where its header says.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use model::Targets;

use super::{DataError, Dataset, Inputs, Names};

/// Longest file, and longest content of a gzipped one: 2 GiB, all in memory at once.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Deflate turns at most 1,032 bytes into one: a header that claims more lies.
const DEFLATE_RATIO_MAX: u64 = 1032;

/// The two bytes that begin every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The type code of unsigned bytes.
const TYPE_U8: u8 = 0x08;

/// Content of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Sizes of the dimensions.
    pub shape: Vec<u32>,
    /// The values, the last dimension varying fastest.
    pub values: Vec<u8>,
}

/// Reads samples and their classes from two files.
///
/// # Errors
/// When a file is missing or damaged, or the two do not belong together.
pub fn read(images: &Path, labels: &Path, names: Option<&Names>) -> Result<Dataset, DataError> {
    let origin = images.display().to_string();
    let label_origin = labels.display().to_string();
    let images = parse(&origin, &load(images)?)?;
    let labels = parse(&label_origin, &load(labels)?)?;
    combine((&origin, images), (&label_origin, labels), names)
}

/// Reads samples alone.
///
/// # Errors
/// When the file is missing or damaged.
pub fn read_images(path: &Path) -> Result<Array, DataError> {
    let origin = path.display().to_string();
    let array = parse(&origin, &load(path)?)?;
    check_images(&origin, &array)?;
    Ok(array)
}

/// Whether a file begins as an IDX file does, plain or gzipped. Its first bytes are never text.
#[must_use]
pub fn looks_like(start: &[u8]) -> bool {
    start.starts_with(&GZIP_MAGIC) || start.starts_with(&[0, 0, TYPE_U8])
}

fn load(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |error| DataError::io(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        let problem = format!("{length} bytes are more than the {FILE_BYTES_MAX} of one file");
        return Err(DataError::content(path.display().to_string(), problem));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads the content of an IDX file, plain or gzipped.
///
/// # Errors
/// When the bytes are not exactly one IDX file of unsigned bytes.
pub fn parse(origin: &str, bytes: &[u8]) -> Result<Array, DataError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return parse_content(origin, bytes, bytes.len() as u64);
    }
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let available = (bytes.len() as u64).saturating_mul(DEFLATE_RATIO_MAX);
    let array = parse_content(origin, &mut decoder, available)?;
    if decoder.into_inner().is_empty() {
        Ok(array)
    } else {
        Err(DataError::content(origin, "there are bytes after the end of the gzip data"))
    }
}

fn parse_content(origin: &str, mut reader: impl Read, available: u64) -> Result<Array, DataError> {
    let fail = |problem: String| DataError::content(origin, problem);
    let mut magic = [0; 4];
    read_header(origin, &mut reader, &mut magic)?;
    let [0, 0, type_code, rank @ 1..=8] = magic else {
        return Err(fail(format!(
            "is not an IDX file: it begins with {magic:02x?}, not with 00 00, a type and 1 to 8 dimensions"
        )));
    };
    if type_code != TYPE_U8 {
        return Err(fail(format!(
            "holds values of type 0x{type_code:02x}; only unsigned bytes (0x08) are read"
        )));
    }
    let mut shape = Vec::with_capacity(usize::from(rank));
    for _ in 0..rank {
        let mut side = [0; 4];
        read_header(origin, &mut reader, &mut side)?;
        shape.push(u32::from_be_bytes(side));
    }
    let size = shape
        .iter()
        .try_fold(1_u64, |product, &side| product.checked_mul(u64::from(side)))
        .filter(|&size| size <= FILE_BYTES_MAX.min(available))
        .ok_or_else(|| fail(format!("its header says {shape:?}, more than the file can hold")))?;
    // The buffer grows with what is really there, whatever the header claims.
    let mut values = Vec::new();
    let damaged = |error: std::io::Error| fail(format!("is damaged: {error}"));
    reader.by_ref().take(size).read_to_end(&mut values).map_err(damaged)?;
    if (values.len() as u64) < size {
        return Err(fail(format!("ends after {} of {size} values", values.len())));
    }
    // Reading on to the end also checks the checksum of gzip.
    if reader.read(&mut [0; 1]).map_err(damaged)? > 0 {
        return Err(fail(format!("goes on after the {size} values that its header says")));
    }
    Ok(Array { shape, values })
}

fn read_header(origin: &str, reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), DataError> {
    reader
        .read_exact(bytes)
        .map_err(|error| DataError::content(origin, format!("its header cannot be read: {error}")))
}

fn check_images(origin: &str, images: &Array) -> Result<(), DataError> {
    if images.shape.len() < 2 || images.shape.contains(&0) {
        let problem = format!("holds {:?}, not samples of at least one value", images.shape);
        return Err(DataError::content(origin, problem));
    }
    Ok(())
}

/// Puts samples and classes together, each with the file that it came from.
///
/// # Errors
/// When the two do not belong together, or a class is none of `names`.
pub fn combine(
    (origin, images): (&str, Array),
    (label_origin, labels): (&str, Array),
    names: Option<&Names>,
) -> Result<Dataset, DataError> {
    check_images(origin, &images)?;
    if labels.shape.len() != 1 {
        let problem = format!("holds {:?}, not one class a sample", labels.shape);
        return Err(DataError::content(label_origin, problem));
    }
    if labels.shape[0] != images.shape[0] {
        let problem = format!(
            "holds {} labels for the {} samples of {origin}",
            labels.shape[0], images.shape[0]
        );
        return Err(DataError::content(label_origin, problem));
    }
    let highest = labels.values.iter().copied().max().unwrap_or(0);
    let classes = match names {
        Some(names) => names.classes.clone(),
        None => (0..=highest).map(|class| class.to_string()).collect(),
    };
    if usize::from(highest) >= classes.len() {
        let problem =
            format!("holds class {highest}; the training data has {} classes", classes.len());
        return Err(DataError::content(label_origin, problem));
    }
    Ok(Dataset {
        inputs: Inputs::Bytes(images.values),
        shape: images.shape[1..].to_vec(),
        targets: Targets::Classes(labels.values.into_iter().map(i32::from).collect()),
        names: Names { classes, ..Names::default() },
        origin: origin.to_owned(),
    })
}
