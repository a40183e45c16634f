//! What a user means by SPEC: a preset, a run, a model file, a job, or a bare model spec.

use std::path::Path;

use anyhow::Context;
use model::{Plan, Spec};

use crate::cli::Failure;
use crate::config::{self, ConfigError, Job, Setting, did_you_mean, preset};
use crate::storage::{ModelFile, find, find_run, plan_of};

/// A checked model, and where it was found.
pub(super) struct Source {
    pub(super) origin: String,
    pub(super) plan: Plan,
}

impl Source {
    /// Finds the model that `spec` means; a file comes before a preset of its name.
    pub(super) fn read(spec: &Path) -> anyhow::Result<Self> {
        if spec.is_file() {
            return Self::file(spec);
        }
        let preset = spec.to_str().filter(|name| preset::text(name).is_some());
        if let Some(name) = preset.filter(|_| !spec.is_dir()) {
            let setting =
                Setting { flag: name.to_owned(), key: "preset".to_owned(), text: name.to_owned() };
            let job = config::resolve(None, &[], &[setting])?;
            return Ok(Self { origin: format!("preset {name}"), plan: Plan::new(&job.model)? });
        }
        if let Ok(run) = find_run(spec) {
            return Ok(Self { origin: format!("run {}", run.display()), plan: plan_of(&run)? });
        }
        if let Ok(found) = find(spec) {
            return Self::file(&found.model);
        }
        let names = preset::names();
        let hint = did_you_mean(&spec.to_string_lossy(), names.iter().copied());
        let message = format!(
            "{}: there is no such job, model file, run or preset{hint}; presets: {}",
            spec.display(),
            names.join(", ")
        );
        Err(Failure::Data(message).into())
    }

    fn file(path: &Path) -> anyhow::Result<Self> {
        let ends_in = |end: &str| path.extension().is_some_and(|extension| extension == end);
        let name = || path.display().to_string();
        let plan = if ends_in("safetensors") {
            ModelFile::read(path)?.plan
        } else {
            let text = config::read_text(path)?;
            let spec = if ends_in("json") {
                Spec::from_json(&text).with_context(name)?
            } else if is_bare(&text) {
                Spec::from_toml(&text).with_context(name)?
            } else {
                job(path)?.model
            };
            Plan::new(&spec).with_context(name)?
        };
        Ok(Self { origin: name(), plan })
    }
}

/// Whether a text is a model and nothing else, as a job may name in `model`.
fn is_bare(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("layers"))
}

/// The job of a file. One without data has a model all the same.
fn job(path: &Path) -> Result<Job, ConfigError> {
    match config::resolve(Some(path), &[], &[]) {
        Err(ConfigError::Incomplete { what: "data", .. }) => {
            let setting = |key: &str, text: &str| Setting {
                flag: key.to_owned(),
                key: key.to_owned(),
                text: text.to_owned(),
            };
            config::resolve(Some(path), &[], &[setting("data.source", "digits")])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MODEL: &str = "input = [4]\nloss = \"mean_squared_error\"\noptimizer = \"sgd\"\n\
                         layers = [{ type = \"dense\", units = 2 }]\n";

    #[test]
    fn a_model_is_found_in_all_that_holds_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Source::read(&path)
        };
        let parameters = |source: anyhow::Result<Source>| source.unwrap().plan.parameters();
        assert_eq!(parameters(write("bare.toml", MODEL)), 10);
        let spec = Spec::from_toml(MODEL).unwrap().to_json();
        assert_eq!(parameters(write("bare.json", &spec)), 10);
        let job = format!("[training]\nepochs = 3\n[model]\n{MODEL}");
        assert_eq!(parameters(write("job.toml", &job)), 10, "a job without data");
        let preset = Source::read(Path::new("mnist-cnn")).unwrap();
        assert_eq!(
            (preset.origin.as_str(), preset.plan.parameters()),
            ("preset mnist-cnn", 27_562)
        );
    }

    #[test]
    fn what_is_no_model_is_refused_with_its_name() {
        let refused = |path: &Path| {
            let error = Source::read(path).err().expect("it is no model");
            (format!("{error:#}"), crate::cli::exit_code(&error))
        };
        let (message, code) = refused(Path::new("mnist-mpl"));
        assert!(message.contains("did you mean `mnist-mlp`?") && code == 3, "{message}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wrong.toml");
        fs::write(&path, MODEL.replace("units = 2", "unit = 2")).unwrap();
        let (message, code) = refused(&path);
        assert!(message.contains("wrong.toml") && message.contains("dense"), "{message}");
        assert_eq!(code, 2);
        let path = folder.path().join("text.safetensors");
        fs::write(&path, "no model").unwrap();
        let (message, code) = refused(&path);
        assert!(message.contains("no safetensors file") && code == 3, "{message}");
    }
}
