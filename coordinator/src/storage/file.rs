//! Models as safetensors: f32 tensors with the names and shapes of the shape table, and in the
//! metadata all that prediction needs besides. Other tools open the same file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use model::{Plan, Spec};
use protocol::TensorTable;
use protocol::limits::ELEMENTS_MAX;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::StorageError;
use super::folder::write_whole;
use crate::data::Names;

/// Metadata key of the model's spec, as JSON.
const SPEC: &str = "herd.spec";
/// Metadata key of the classes' names, a JSON list.
const CLASSES: &str = "herd.classes";
/// Metadata key of the features' names, a JSON list.
const FEATURES: &str = "herd.features";
/// Metadata key of the name of the target's column, as it is.
const LABEL: &str = "herd.label";

/// Longest model file: the largest model, and a header as long as safetensors allows.
const FILE_BYTES_MAX: u64 = 4 * ELEMENTS_MAX + 100_000_000;

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
    write_whole(path, &encode_model(path, plan, names, parameters)?)
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
    let table = plan.tensors();
    if parameters.len() != table.elements() {
        let problem =
            format!("{} values are not the {} of the model", parameters.len(), table.elements());
        return Err(StorageError::model(path, problem));
    }
    let bytes: Vec<u8> = parameters.iter().flat_map(|value| value.to_le_bytes()).collect();
    let broken = |error: &dyn std::fmt::Display| StorageError::model(path, error.to_string());
    let mut views = Vec::with_capacity(table.tensors.len());
    for (tensor, range) in table.ranges() {
        let shape = tensor.shape.iter().map(|&side| side as usize).collect();
        let view = TensorView::new(Dtype::F32, shape, &bytes[4 * range.start..4 * range.end])
            .map_err(|error| broken(&error))?;
        views.push((tensor.name.as_str(), view));
    }
    let list = |names: &[String]| serde_json::json!(names).to_string();
    let metadata = HashMap::from([
        (SPEC.to_owned(), plan.spec().to_json()),
        (CLASSES.to_owned(), list(&names.classes)),
        (FEATURES.to_owned(), list(&names.features)),
        (LABEL.to_owned(), names.label.clone()),
    ]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| broken(&error))
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
        let spec = Spec::from_json(text(SPEC)?)
            .map_err(|error| StorageError::model(path, format!("metadata `{SPEC}`: {error}")))?;
        let plan = Plan::new(&spec)
            .map_err(|error| StorageError::model(path, format!("metadata `{SPEC}`: {error}")))?;
        let names = Names {
            features: list(FEATURES)?,
            classes: list(CLASSES)?,
            label: text(LABEL)?.clone(),
        };
        let parameters = decode_parameters(path, content, plan.tensors())?;
        Ok(Self { plan, names, parameters })
    }
}

/// Reads the values of the tensors in `table` from any safetensors file that holds exactly them.
///
/// # Errors
/// When the file is missing or damaged, or has other tensors.
pub fn read_parameters(path: &Path, table: &TensorTable) -> Result<Vec<f32>, StorageError> {
    decode_parameters(path, &load(path)?, table)
}

fn load(path: &Path) -> Result<Vec<u8>, StorageError> {
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
    let tensors = SafeTensors::deserialize(content).map_err(|error| damaged(path, &error))?;
    let fail = |tensor: &str, problem: String| StorageError::Tensor {
        path: path.to_owned(),
        tensor: tensor.to_owned(),
        problem,
    };
    let known = |name: &str| table.tensors.iter().any(|tensor| tensor.name == name);
    if let Some(stranger) = tensors.names().into_iter().filter(|name| !known(name)).min() {
        return Err(fail(stranger, "the model has no such tensor".to_owned()));
    }
    // No more than the file can hold, whatever the spec in it claims.
    let mut parameters = Vec::with_capacity(table.elements().min(content.len() / 4));
    for tensor in &table.tensors {
        let name = tensor.name.as_str();
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
