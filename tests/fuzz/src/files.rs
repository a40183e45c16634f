//! What is read from files: data sets, specs, jobs, models.

use std::io::Read;
use std::path::Path;

use coordinator::config;
use coordinator::data::idx::{self, Array};
use coordinator::data::table::{self, Features};
use coordinator::data::{Columns, Inputs, LabelKind};
use coordinator::storage::{self, ModelFile};
use model::{Plan, Spec, Targets};
use protocol::{Role, TensorInfo, TensorTable};

/// Larger models are checked, but no values are made for them.
const VALUES_MAX: usize = 1 << 16;

/// An IDX file has the values that its header says, and goes with as many labels.
pub(crate) fn idx(data: &[u8]) {
    let Ok(array) = idx::parse("f", data) else { return };
    let size: u64 = array.shape.iter().map(|&side| u64::from(side)).product();
    assert_eq!(array.values.len() as u64, size);
    let rows = array.shape[0];
    let classes = array.values.iter().copied().cycle().take(rows as usize).collect();
    let labels = Array { shape: vec![rows], values: classes };
    if let Ok(dataset) = idx::combine(("f", array.clone()), ("g", labels), None) {
        assert_eq!(dataset.rows() * dataset.elements(), array.values.len());
    }
    let _ = idx::combine(("f", array.clone()), ("g", array), None);
}

/// A CSV file, read for training by class and by number, for testing and for prediction.
pub(crate) fn csv(data: &[u8]) {
    for kind in [LabelKind::Class, LabelKind::Number] {
        let Ok(dataset) = table::parse("f", data, Columns::numbers("y"), kind, None) else {
            continue;
        };
        let Inputs::Floats(inputs) = &dataset.inputs else { panic!("CSV gives numbers") };
        assert!(inputs.iter().all(|value| value.is_finite()));
        assert_eq!(inputs.len(), dataset.rows() * dataset.elements());
        if let Targets::Classes(classes) = &dataset.targets {
            let known = dataset.names.classes.len() as i32;
            assert!(classes.iter().all(|class| (0..known).contains(class)));
        }
        let again = table::parse("f", data, Columns::numbers("y"), kind, Some(&dataset.names));
        assert_eq!(again.expect("the rows fit their own names"), dataset);
        let names = &dataset.names;
        let mut features = Features::new(data, "f", names).expect("the columns are there");
        let rows = features.next_rows(dataset.rows() + 1).expect("the rows were read before");
        assert_eq!(&rows, inputs);
    }
    // A reader that gives a few bytes at a time changes nothing.
    let slow = table::parse("f", Slow(data), Columns::numbers("y"), LabelKind::Class, None);
    let fast = table::parse("f", data, Columns::numbers("y"), LabelKind::Class, None);
    assert_eq!(slow.map_err(|error| error.to_string()), fast.map_err(|error| error.to_string()));
}

/// Gives five bytes at each call: a byte order mark is only seen when it comes whole.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(5);
        self.0.read(&mut buffer[..count])
    }
}

/// A spec in TOML.
pub(crate) fn spec_toml(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(spec) = Spec::from_toml(text)
    {
        check_spec(&spec);
    }
}

/// A spec in JSON, as it comes over the wire.
pub(crate) fn spec_json(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(spec) = Spec::from_json(text)
    {
        check_spec(&spec);
    }
}

/// A spec survives its own JSON, and a plan of it is consistent.
fn check_spec(spec: &Spec) {
    let json = spec.to_json();
    let again = Spec::from_json(&json).expect("its own JSON is a spec");
    assert_alike(&again, spec);
    let Ok(plan) = Plan::new(spec) else { return };
    plan.tensors().check().expect("a plan is within the wire's limits");
    assert!(plan.parameters() > 0 && !plan.summary().is_empty());
    let elements = plan.tensors().elements();
    if elements <= VALUES_MAX {
        let values = plan.initial(1);
        assert_eq!(values.len(), elements);
        assert!(values.iter().all(|value| value.is_finite()));
    }
}

/// Fails unless two specs are equal but for the last place of their numbers, which serde_json reads
/// by a fast method.
fn assert_alike(left: &Spec, right: &Spec) {
    let words = |spec: &Spec| -> Vec<String> {
        let is_word = |char: char| char.is_alphanumeric() || "_.+-".contains(char);
        format!("{spec:?}").split(|char| !is_word(char)).map(str::to_owned).collect()
    };
    let (lefts, rights) = (words(left), words(right));
    let is_alike = |(left, right): (&String, &String)| {
        let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
        left == right || numbers.is_some_and(|(a, b)| (a - b).abs() <= 4e-16 * a.abs())
    };
    let alike = lefts.len() == rights.len() && lefts.iter().zip(&rights).all(is_alike);
    assert!(alike, "{left:?}\n{right:?}");
}

/// A job file; what is resolved is written as a job file that gives an equal job.
pub(crate) fn job(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // Relative paths lead nowhere: no file is read.
    let path = Path::new("/nowhere/job.toml");
    let Ok(job) = config::resolve_text(Some((path, text)), &[], &[]) else { return };
    let written = job.to_toml();
    let again = config::resolve_text(Some((path, &written)), &[], &[])
        .unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(again, job, "{written}");
}

/// A model file, as a model of Herd's and as anybody's tensors.
pub(crate) fn safetensors(data: &[u8]) {
    let path = Path::new("m");
    if let Ok(file) = ModelFile::decode(path, data) {
        assert_eq!(file.parameters.len(), file.plan.tensors().elements());
        assert!(file.parameters.iter().all(|value| value.is_finite()));
        let written = storage::encode_model(path, &file.plan, &file.names, &file.parameters)
            .expect("what was read can be written");
        let again = ModelFile::decode(path, &written).expect("what was written can be read");
        assert_eq!((again.parameters, again.names), (file.parameters, file.names));
        assert_alike(again.plan.spec(), file.plan.spec());
    }
    let tensor = |name: &str, shape: &[u32]| TensorInfo {
        name: name.to_owned(),
        shape: shape.to_vec(),
        role: Role::Parameter,
    };
    let tensors = vec![tensor("dense.kernel", &[2, 3]), tensor("dense.bias", &[3])];
    if let Ok(values) = storage::decode_parameters(path, data, &TensorTable { tensors }) {
        assert!(values.len() == 9 && values.iter().all(|value| value.is_finite()));
    }
}
