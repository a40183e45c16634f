//! A model's file as a stream: its values lie in the order of the shape table, so that whoever wants
//! them needs no copy of the model in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use model::Plan;
use protocol::Digest;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::StorageError;
use super::file::described;
use crate::data::Names;

/// Longest header: spec, names and a thousand tensors fit into a fraction of it.
const HEADER_BYTES_MAX: u64 = 64 << 20;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 16;

/// An open model file that Herd wrote. It stays what it is when another one takes its name.
#[derive(Debug)]
pub struct ModelValues {
    /// Its checked spec.
    pub plan: Plan,
    /// Names of features, classes and label.
    pub names: Names,
    file: File,
    start: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl ModelValues {
    /// Opens a model's file and reads its header. None if there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or its values do not lie as Herd writes them.
    pub fn open(path: &Path) -> Result<Option<Self>, StorageError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        let metadata = file.metadata().map_err(|error| failed(path, error))?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| failed(path, error))?;
        let length = u64::from_le_bytes(length);
        let start = length.saturating_add(8);
        if length > HEADER_BYTES_MAX || start > metadata.len() {
            return Err(StorageError::model(path, "is damaged or no safetensors file"));
        }
        let mut header = Vec::with_capacity(length as usize);
        (&file).take(length).read_to_end(&mut header).map_err(|error| failed(path, error))?;
        let (plan, names) = checked(path, &header)?;
        let length = metadata.len() - start;
        if length != 4 * plan.tensors().elements() as u64 {
            return Err(StorageError::model(path, "is damaged: it has other values than its spec"));
        }
        Ok(Some(Self { plan, names, file, start, length, modified: metadata.modified().ok() }))
    }

    /// Length of the values, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// When the file was written.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// BLAKE3 of the values.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest(&mut self) -> io::Result<Digest> {
        self.file.seek(SeekFrom::Start(self.start))?;
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.file.read(&mut piece)? {
                0 => return Ok(Digest(*hasher.finalize().as_bytes())),
                count => hasher.update(&piece[..count]),
            };
        }
    }

    /// The file, to be read from its first value on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn into_file(mut self) -> io::Result<File> {
        self.file.seek(SeekFrom::Start(self.start))?;
        Ok(self.file)
    }
}

fn failed(path: &Path, error: io::Error) -> StorageError {
    StorageError::Read { path: path.to_owned(), error }
}

/// The model that a header describes, whose tensors must lie one after the other.
fn checked(path: &Path, header: &[u8]) -> Result<(Plan, Names), StorageError> {
    let damaged =
        |error: serde_json::Error| StorageError::model(path, format!("is damaged: {error}"));
    let header: Metadata = serde_json::from_slice(header).map_err(damaged)?;
    let (plan, names) = described(path, &header.metadata().clone().unwrap_or_default())?;
    for (tensor, range) in plan.tensors().ranges() {
        let place = (4 * range.start, 4 * range.end);
        let lies_there = header.info(&tensor.name).is_some_and(|said| {
            let shape = tensor.shape.iter().map(|length| *length as usize);
            said.dtype == Dtype::F32
                && said.data_offsets == place
                && shape.eq(said.shape.iter().copied())
        });
        if !lies_there {
            let problem = "lies elsewhere than herd writes it".to_owned();
            let (path, tensor) = (path.to_owned(), tensor.name.clone());
            return Err(StorageError::Tensor { path, tensor, problem });
        }
    }
    Ok((plan, names))
}

#[cfg(test)]
mod tests {
    use model::Spec;

    use super::*;
    use crate::storage::write_model;

    #[test]
    fn values_come_in_the_order_of_the_table_with_their_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        assert!(ModelValues::open(&path).unwrap().is_none());
        let text = "input = [2]\nloss = \"mse\"\noptimizer = \"sgd\"\n\
                    layers = [{ type = \"dense\", units = 3 }, { type = \"dense\", units = 1 }]";
        let plan = Plan::new(&Spec::from_toml(text).unwrap()).unwrap();
        let values: Vec<f32> = (0..plan.tensors().elements()).map(|value| value as f32).collect();
        let names = Names { label: "price".into(), ..Names::default() };
        write_model(&path, &plan, &names, &values).unwrap();
        let mut open = ModelValues::open(&path).unwrap().unwrap();
        assert_eq!((open.plan.tensors(), &open.names), (plan.tensors(), &names));
        let bytes: &[u8] = bytemuck::must_cast_slice(&values);
        assert_eq!(open.digest().unwrap(), Digest::of(bytes));
        assert_eq!(open.length(), bytes.len() as u64);
        // Another model takes its name meanwhile.
        write_model(&path, &plan, &names, &vec![0.5; values.len()]).unwrap();
        let mut read = Vec::new();
        open.into_file().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }

    #[test]
    fn what_is_no_model_is_named_and_nothing_is_read_beyond_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        for content in
            [&b""[..], b"12345678", &long, b"\x02\0\0\0\0\0\0\0{}", b"\x01\0\0\0\0\0\0\0{"]
        {
            std::fs::write(&path, content).unwrap();
            let error = ModelValues::open(&path).unwrap_err();
            assert!(error.to_string().contains("m.safetensors"), "{error}");
        }
    }
}
