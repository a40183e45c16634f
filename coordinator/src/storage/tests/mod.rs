//! Tests of run folders and model files.

pub(crate) mod course;
mod damage;
mod store;
mod tokens;

use std::fs;
use std::path::Path;

use model::{Plan, Spec};
use safetensors::SafeTensors;

use super::*;
use crate::config::{Job, Setting, resolve};
use crate::data::Names;

fn job(flags: &[(&str, &str)]) -> Job {
    let setting = |(key, text): &(&str, &str)| Setting {
        flag: format!("--{key}"),
        key: (*key).to_owned(),
        text: (*text).to_owned(),
    };
    resolve(None, &[], &flags.iter().map(setting).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn plan(units: u32) -> Plan {
    let text = format!(
        "input = [2]\nloss = \"mse\"\noptimizer = \"sgd\"\n\
         layers = [{{ type = \"dense\", units = {units} }}, {{ type = \"batch_normalization\" }}]"
    );
    Plan::new(&Spec::from_toml(&text).unwrap()).unwrap()
}

fn names() -> Names {
    Names {
        features: vec!["length, cm".into(), "größe".into()],
        categories: [("größe".to_owned(), vec!["M".to_owned(), "\"S\"".to_owned()])].into(),
        classes: vec!["a\"b".into()],
        label: "kind".into(),
    }
}

#[test]
fn a_model_file_holds_all_that_prediction_needs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let plan = plan(3);
    let parameters = plan.initial(7);
    write_model(&path, &plan, &names(), &parameters).unwrap();
    let read = ModelFile::read(&path).unwrap();
    assert_eq!(read.parameters, parameters);
    assert_eq!(read.names, names());
    assert_eq!(read.plan.spec(), plan.spec());
    assert_eq!(read_parameters(&path, plan.tensors()).unwrap(), parameters);

    let content = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&content).unwrap();
    assert_eq!(tensors.tensor("dense.kernel").unwrap().shape(), [2, 3], "Keras's layout");
    assert_eq!(tensors.len(), plan.tensors().tensors.len());
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "no temporary file is left");
}

#[test]
fn damaged_model_files_are_errors_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let plan = plan(2);
    write_model(&path, &plan, &names(), &plan.initial(1)).unwrap();
    let content = fs::read(&path).unwrap();
    for end in 0..content.len() {
        assert!(ModelFile::decode(&path, &content[..end]).is_err(), "cut to {end} bytes");
    }
    for place in 0..content.len() {
        let mut flipped = content.clone();
        flipped[place] ^= 0x40;
        // A flip inside values or names makes another valid file; what is read is finite.
        if let Ok(model) = ModelFile::decode(&path, &flipped) {
            assert!(model.parameters.iter().all(|value| value.is_finite()), "flip at {place}");
        }
    }
}

#[test]
fn a_spec_that_claims_a_huge_model_takes_no_memory() {
    let path = Path::new("m");
    let plan = plan(2);
    let content = encode_model(path, &plan, &names(), &plan.initial(1)).unwrap();
    // As many values as a model may have, in a file of some hundred bytes.
    let (name, units) = ("\\\"units\\\":2", "\\\"units\\\":30000000");
    let (header, values) = content[8..].split_at(content.len() - 8 - 4 * plan.tensors().elements());
    let header = str::from_utf8(header).unwrap().trim_end().replacen(name, units, 1);
    let length = (header.len() as u64).to_le_bytes();
    let content = [&length, header.as_bytes(), values].concat();
    let message = ModelFile::decode(path, &content).unwrap_err().to_string();
    assert!(message.contains("the model needs [2, 30000000]"), "{message}");
}

#[test]
fn a_model_of_another_shape_is_named_with_its_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let (small, large) = (plan(2), plan(3));
    write_model(&path, &small, &names(), &small.initial(1)).unwrap();
    let message = |plan: &Plan| {
        let error = read_parameters(&path, plan.tensors()).unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        message(&large),
        "m.safetensors, tensor `dense.kernel`: has shape [2, 2], the model needs [2, 3]"
    );
    let spec = "input = [2]\nloss = \"mse\"\noptimizer = \"sgd\"\nlayers = [{ type = \"dense\", units = 2 }]";
    let other = Plan::new(&Spec::from_toml(spec).unwrap()).unwrap();
    assert!(message(&other).ends_with("the model has no such tensor"), "{}", message(&other));
    write_model(&path, &other, &names(), &other.initial(1)).unwrap();
    assert!(message(&small).ends_with("is missing in the file"), "{}", message(&small));

    let mut values = small.initial(1);
    values[1] = f32::NAN;
    write_model(&path, &small, &names(), &values).unwrap();
    assert_eq!(
        message(&small),
        "m.safetensors, tensor `dense.kernel`: holds a value that is not finite"
    );
    assert!(write_model(&path, &small, &names(), &values[1..]).is_err());
}

#[test]
fn files_of_other_tools_serve_for_init_but_not_for_predict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let plan = plan(1);
    let zero = [0_u8; 8];
    let views = plan.tensors().tensors.iter().map(|tensor| {
        let shape: Vec<usize> = tensor.shape.iter().map(|&side| side as usize).collect();
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            shape,
            &zero[..4 * tensor.elements()],
        );
        (tensor.name.as_str(), view.unwrap())
    });
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let parameters = read_parameters(&path, plan.tensors()).unwrap();
    assert_eq!(parameters, vec![0.0; plan.tensors().elements()]);
    let message = ModelFile::read(&path).unwrap_err().to_string();
    assert!(message.ends_with("has no `herd.spec` in its metadata: it was not written by herd"));
}

#[test]
fn a_run_folder_can_be_repeated_but_not_taken_twice() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("mine");
    let job = job(&[("run_dir", path.to_str().unwrap()), ("epochs", "3")]);
    let mut folder = RunFolder::create(&job).unwrap();
    folder.append_metrics(&serde_json::json!({ "epoch": 1 })).unwrap();
    folder.append_metrics(&serde_json::json!({ "epoch": 2 })).unwrap();
    let lines = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(lines, "{\"epoch\":1}\n{\"epoch\":2}\n");
    let spec = fs::read_to_string(path.join("spec.json")).unwrap();
    assert_eq!(Spec::from_json(&spec).unwrap(), job.model);
    let again = resolve(Some(&path.join(CONFIG)), &[], &[]).unwrap();
    assert_eq!(again, Job { run_dir: None, ..job.clone() });
    assert_eq!(
        RunFolder::create(&job).unwrap_err().to_string(),
        format!(
            "{}: there is a run in this folder already; choose another one with --run-dir, or go on \
             with it with --resume",
            path.display()
        )
    );
}

#[test]
fn runs_of_one_second_get_folders_of_their_own() {
    let parent = tempfile::tempdir().unwrap();
    let runs = parent.path().join("runs");
    let job = job(&[("name", "twin")]);
    let [first, second] = [1, 2].map(|_| RunFolder::create_in(&runs, &job).unwrap());
    assert_ne!(first.path(), second.path());
    let name = first.path().file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("_twin") && name.len() == "2026-11-22T08-24-31_twin".len(), "{name}");
    let latest = fs::canonicalize(runs.join("latest")).unwrap();
    assert_eq!(latest, fs::canonicalize(second.path()).unwrap());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    // A file where a folder should be stops even the superuser, whom permissions do not.
    let path = file.join("run");
    let message = RunFolder::create(&job(&[("run_dir", path.to_str().unwrap())])).unwrap_err();
    assert_eq!(
        message.to_string(),
        format!(
            "{}: cannot be written: Not a directory (os error 20); choose a folder that you may write \
             to with --run-dir",
            path.display()
        )
    );
}

#[test]
fn a_run_means_its_best_model_else_its_final_one() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let job = job(&[("run_dir", path.to_str().unwrap())]);
    let folder = RunFolder::create(&job).unwrap();
    let message = find(&path).unwrap_err().to_string();
    assert!(
        message.ends_with("there is no model in this folder; did the run finish its first epoch?")
    );
    let plan = plan(2);
    let last = folder.write_final(&plan, &names(), &plan.initial(1)).unwrap();
    let config = Some(path.join(CONFIG));
    assert_eq!(find(&path).unwrap(), Found { model: last.clone(), config: config.clone() });
    folder.write_candidate(&plan, &names(), &plan.initial(1)).unwrap();
    let best = folder.keep_candidate().unwrap();
    assert_eq!(find(&path).unwrap(), Found { model: best, config: config.clone() });
    assert_eq!(find(&last).unwrap(), Found { model: last, config });
    assert_eq!(
        find(Path::new("no/such/run")).unwrap_err().to_string(),
        "no/such/run: there is no such run or model file; give a run folder, a .safetensors file, or \
         `latest`"
    );
}
