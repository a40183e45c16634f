//! Models as safetensors: f32 tensors with the names and shapes of the shape table, and in the
//! metadata all that prediction needs besides. Other tools open the same file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use model::{Plan, Spec};
use protocol::limits::ELEMENTS_MAX;
use protocol::{Digest, TensorTable};
use safetensors::{Dtype, SafeTensors};

use super::StorageError;
use super::folder::{write_beside, write_whole};
use crate::data::Names;

/// Metadata key of the model's spec, as JSON.
const SPEC: &str = "herd.spec";
/// Metadata key of the classes' names, a JSON list.
const CLASSES: &str = "herd.classes";
/// Metadata key of the features' names, a JSON list.
const FEATURES: &str = "herd.features";
/// Metadata key of the words of features that are words, a JSON object of lists; left out when there
/// are none.
const CATEGORIES: &str = "herd.categories";
/// Metadata key of the name of the target's column, as it is.
const LABEL: &str = "herd.label";

/// The words of each column of words.
type Categories = BTreeMap<String, Vec<String>>;

/// Begins the names of the momentum's tensors in a checkpoint.
pub(super) const MOMENTUM: &str = "momentum/";

/// Longest model file: the largest model with momentum, and a header as long as safetensors allows.
const FILE_BYTES_MAX: u64 = 8 * ELEMENTS_MAX + 100_000_000;

/// A model as it is read from a file.
#[derive(Debug)]
pub struct ModelFile {
    /// Its checked spec.
    pub plan: Plan,
    /// Names of features, classes and label.
    pub names: Names,
    /// The values of all tensors in the order of the shape table.
    pub parameters: Vec<f32>,
}

/// Writes a model.
///
/// # Errors
/// When the file cannot be written, or the values are not those of the plan's tensors.
pub fn write_model(
    path: &Path,
    plan: &Plan,
    names: &Names,
    parameters: &[f32],
) -> Result<(), StorageError> {
    write_whole(path, model(path, plan, names, parameters)?.pieces())
}

/// Writes the first half of [`write_model`]: the model's file beside the one whose place it is to
/// take.
pub(super) fn write_model_beside(
    path: &Path,
    plan: &Plan,
    names: &Names,
    parameters: &[f32],
) -> Result<File, StorageError> {
    write_beside(path, model(path, plan, names, parameters)?.pieces())
}

/// The content of a model's file; `path` names it in messages.
///
/// # Errors
/// When the values are not those of the plan's tensors.
pub fn encode_model(
    path: &Path,
    plan: &Plan,
    names: &Names,
    parameters: &[f32],
) -> Result<Vec<u8>, StorageError> {
    Ok(model(path, plan, names, parameters)?.pieces().collect::<Vec<_>>().concat())
}

fn model<'a>(
    path: &Path,
    plan: &Plan,
    names: &Names,
    parameters: &'a [f32],
) -> Result<Content<'a>, StorageError> {
    let list = |names: &[String]| serde_json::json!(names).to_string();
    let mut metadata = vec![
        (SPEC, plan.spec().to_json()),
        (CLASSES, list(&names.classes)),
        (FEATURES, list(&names.features)),
        (LABEL, names.label.clone()),
    ];
    if !names.categories.is_empty() {
        metadata.push((CATEGORIES, serde_json::json!(names.categories).to_string()));
    }
    Content::new(path, plan.tensors(), vec![("", parameters)], &metadata)
}

// Values are written as they stand in memory.
const _: () = assert!(cfg!(target_endian = "little"), "safetensors are little-endian");

/// A file of tensors that is never in memory as a whole, as large models are there often enough.
/// Its header is in alphabetical order, so that equal models are equal files.
pub(super) struct Content<'a> {
    header: Vec<u8>,
    parts: Vec<&'a [f32]>,
}

impl<'a> Content<'a> {
    /// All tensors of `table` once for each part, named with the part's prefix. `path` names the
    /// file in messages.
    pub(super) fn new(
        path: &Path,
        table: &TensorTable,
        parts: Vec<(&str, &'a [f32])>,
        metadata: &[(&str, String)],
    ) -> Result<Self, StorageError> {
        let mut header = serde_json::Map::new();
        let metadata: serde_json::Map<_, _> =
            metadata.iter().map(|(key, text)| ((*key).to_owned(), text.as_str().into())).collect();
        header.insert("__metadata__".to_owned(), metadata.into());
        for (index, (prefix, values)) in parts.iter().enumerate() {
            if values.len() != table.elements() {
                let (values, elements) = (values.len(), table.elements());
                let problem = format!("{values} values are not the {elements} of the model");
                return Err(StorageError::model(path, problem));
            }
            let before = index * table.elements();
            for (tensor, range) in table.ranges() {
                let entry = serde_json::json!({
                    "dtype": "F32",
                    "shape": tensor.shape,
                    "data_offsets": [4 * (before + range.start), 4 * (before + range.end)],
                });
                header.insert(format!("{prefix}{}", tensor.name), entry);
            }
        }
        let mut text = serde_json::Value::Object(header).to_string().into_bytes();
        // Readers that map a file want values at multiples of 8 bytes.
        text.resize(text.len().next_multiple_of(8), b' ');
        let header = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        Ok(Self { header, parts: parts.into_iter().map(|(_, values)| values).collect() })
    }

    /// Its bytes, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.iter().map(|values| bytemuck::must_cast_slice(values));
        std::iter::once(self.header.as_slice()).chain(parts)
    }

    /// BLAKE3 of all of them.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for piece in self.pieces() {
            hasher.update(piece);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

impl ModelFile {
    /// Reads a model that Herd wrote.
    ///
    /// # Errors
    /// When the file is missing or damaged, or lacks what Herd writes beside the tensors.
    pub fn read(path: &Path) -> Result<Self, StorageError> {
        Self::decode(path, &load(path)?)
    }

    /// Reads a model from the content of the file `path`.
    ///
    /// # Errors
    /// When the file is damaged, or lacks what Herd writes beside the tensors.
    pub fn decode(path: &Path, content: &[u8]) -> Result<Self, StorageError> {
        let (_, header) =
            SafeTensors::read_metadata(content).map_err(|error| damaged(path, &error))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let (plan, names) = described(path, &metadata)?;
        let parameters = parameters(path, content, plan.tensors(), "")?;
        Ok(Self { plan, names, parameters })
    }
}

/// The model that a file's metadata describe.
pub(super) fn described(
    path: &Path,
    metadata: &HashMap<String, String>,
) -> Result<(Plan, Names), StorageError> {
    let text = |key: &str| {
        metadata.get(key).ok_or_else(|| {
            let problem = format!("has no `{key}` in its metadata: it was not written by herd");
            StorageError::model(path, problem)
        })
    };
    let list = |key: &str| {
        serde_json::from_str::<Vec<String>>(text(key)?).map_err(|error| {
            StorageError::model(path, format!("metadata `{key}` is no list of names: {error}"))
        })
    };
    let wrong =
        |error: model::SpecError| StorageError::model(path, format!("metadata `{SPEC}`: {error}"));
    let spec = Spec::from_json(text(SPEC)?).map_err(wrong)?;
    let plan = Plan::new(&spec).map_err(wrong)?;
    let names = Names {
        features: list(FEATURES)?,
        categories: categories(path, metadata.get(CATEGORIES))?,
        classes: list(CLASSES)?,
        label: text(LABEL)?.clone(),
    };
    Ok((plan, names))
}

/// The words of columns, in which none may stand twice.
fn categories(path: &Path, text: Option<&String>) -> Result<Categories, StorageError> {
    let Some(text) = text else { return Ok(Categories::new()) };
    let fail = |problem: &str| {
        StorageError::model(
            path,
            format!("metadata `{CATEGORIES}` is no table of words: {problem}"),
        )
    };
    let read: Categories = serde_json::from_str(text).map_err(|error| fail(&error.to_string()))?;
    let is_twice = |words: &Vec<String>| words.iter().collect::<BTreeSet<_>>().len() < words.len();
    if read.values().any(is_twice) {
        return Err(fail("a word stands twice"));
    }
    Ok(read)
}

/// Reads the values of the tensors in `table` from any safetensors file that holds exactly them; in a
/// checkpoint, a momentum beside them is skipped.
///
/// # Errors
/// When the file is missing or damaged, or has other tensors.
pub fn read_parameters(path: &Path, table: &TensorTable) -> Result<Vec<f32>, StorageError> {
    parameters(path, &load(path)?, table, "")
}

/// Reads a checkpoint's file from its content: the parameters and the momentum, which may be empty.
///
/// # Errors
/// When the file is damaged or has other tensors.
pub fn decode_checkpoint(
    path: &Path,
    content: &[u8],
    table: &TensorTable,
) -> Result<(Vec<f32>, Vec<f32>), StorageError> {
    let values = parameters(path, content, table, "")?;
    let tensors = SafeTensors::deserialize(content).map_err(|error| damaged(path, &error))?;
    let has_momentum = tensors.names().into_iter().any(|name| name.starts_with(MOMENTUM));
    let momentum = has_momentum.then(|| parameters(path, content, table, MOMENTUM));
    Ok((values, momentum.transpose()?.unwrap_or_default()))
}

pub(super) fn load(path: &Path) -> Result<Vec<u8>, StorageError> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let problem = "there is no such model file; check the path".to_owned();
            return StorageError::Missing { path: path.to_owned(), problem };
        }
        StorageError::Read { path: path.to_owned(), error }
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        let problem = format!("{length} bytes are more than the {FILE_BYTES_MAX} of a model file");
        return Err(StorageError::model(path, problem));
    }
    let mut content = Vec::with_capacity(length as usize);
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content))
        .map_err(failed)?;
    Ok(content)
}

fn damaged(path: &Path, error: &safetensors::SafeTensorError) -> StorageError {
    StorageError::model(path, format!("is damaged or no safetensors file: {error}"))
}

/// [`read_parameters`] for the content of the file `path`.
///
/// # Errors
/// When the file is damaged or has other tensors.
pub fn decode_parameters(
    path: &Path,
    content: &[u8],
    table: &TensorTable,
) -> Result<Vec<f32>, StorageError> {
    parameters(path, content, table, "")
}

/// The tensors of `table` whose names begin with `prefix`.
fn parameters(
    path: &Path,
    content: &[u8],
    table: &TensorTable,
    prefix: &str,
) -> Result<Vec<f32>, StorageError> {
    let tensors = SafeTensors::deserialize(content).map_err(|error| damaged(path, &error))?;
    let fail = |tensor: &str, problem: String| StorageError::Tensor {
        path: path.to_owned(),
        tensor: tensor.to_owned(),
        problem,
    };
    let known = |name: &str| {
        let name = name.strip_prefix(MOMENTUM).unwrap_or(name);
        table.tensors.iter().any(|tensor| tensor.name == name)
    };
    if let Some(stranger) = tensors.names().into_iter().filter(|name| !known(name)).min() {
        return Err(fail(stranger, "the model has no such tensor".to_owned()));
    }
    // No more than the file can hold, whatever the spec in it claims.
    let mut parameters = Vec::with_capacity(table.elements().min(content.len() / 4));
    for tensor in &table.tensors {
        let name = &format!("{prefix}{}", tensor.name);
        let view =
            tensors.tensor(name).map_err(|_| fail(name, "is missing in the file".to_owned()))?;
        if view.dtype() != Dtype::F32 {
            return Err(fail(name, format!("holds {:?}, not F32", view.dtype())));
        }
        let expected: Vec<usize> = tensor.shape.iter().map(|&side| side as usize).collect();
        if view.shape() != expected {
            let problem = format!("has shape {:?}, the model needs {expected:?}", view.shape());
            return Err(fail(name, problem));
        }
        let start = parameters.len();
        let words = view.data().as_chunks::<4>().0;
        parameters.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        if parameters[start..].iter().any(|value| !value.is_finite()) {
            return Err(fail(name, "holds a value that is not finite".to_owned()));
        }
    }
    Ok(parameters)
}
