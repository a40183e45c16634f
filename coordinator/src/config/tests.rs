//! Tests of layers, keys, presets and the resolved job.

use std::fs;
use std::path::{Path, PathBuf};

use engine::Mode;
use model::{Optimizer, Plan};

use super::tree::{Tree, paths, short_names};
use super::*;
use crate::data::Source;

fn setting(key: &str, text: &str) -> Setting {
    Setting { flag: format!("--{key}"), key: key.to_owned(), text: text.to_owned() }
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A job file in a folder of its own.
fn job_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The message for a job file, without the folder that it is in.
fn file_error(text: &str) -> String {
    let (folder, path) = job_file(text);
    let message = resolve(Some(&path), &[], &[]).unwrap_err().to_string();
    message.replace(&format!("{}/", folder.path().display()), "")
}

fn flag_error(key: &str, text: &str) -> String {
    resolve(None, &[], &[setting(key, text)]).unwrap_err().to_string()
}

const OWN: &str = r#"
name = "own"
[data]
source = "rows.csv"
label = "kind"
[model]
input = [2]
loss = "sparse_categorical_crossentropy"
optimizer = { type = "sgd", learning_rate = 0.5, momentum = 0.9 }
layers = [
    { type = "dense", units = 8, activation = "relu" },
    { type = "dense", units = 3, activation = "softmax" },
]
"#;

#[test]
fn without_anything_the_default_preset_is_the_job() {
    let job = resolve(None, &[], &[]).unwrap();
    let defaults = Tree::defaults();
    assert_eq!(defaults.get("preset").and_then(toml::Value::as_str), Some(job.name.as_str()));
    assert_eq!(job.training.epochs, 20);
    assert_eq!(job.fleet.workers, 2);
    assert_eq!(job.run_dir, None);
}

#[test]
fn each_layer_beats_the_one_below() {
    let (_folder, path) = job_file(
        "preset = \"mnist-mlp\"\n[training]\nepochs = 3\nbatch_size = 16\ncodec = \"f32\"\n",
    );
    let environment = [variable("HERD_BATCH_SIZE", "32"), variable("HERD_CODEC", "f16")];
    let flags = [setting("codec", "f32"), setting("training.mode", "synchronous")];
    let job = resolve(Some(&path), &environment, &flags).unwrap();
    assert_eq!(job.training.epochs, 3, "file over default");
    assert_eq!(job.training.batch_size, 32, "environment over file");
    assert_eq!(job.training.codec, protocol::Codec::F32, "flag over environment");
    assert_eq!(job.training.mode, Mode::Synchronous);
    assert_eq!(job.model.optimizer.learning_rate(), 0.1, "preset over nothing");
    assert_eq!(job.name, "job", "named by its file");
}

#[test]
fn every_key_has_an_environment_variable_of_its_own() {
    let names = short_names();
    assert_eq!(names.len(), paths().len() + 3, "two keys end in the same name");
    for (key, text) in [("epochs", "4"), ("seed", "9"), ("label", "7"), ("schedule", "cosine")] {
        let name = format!("HERD_{}", key.to_uppercase());
        let by_variable = resolve(None, &[variable(&name, text)], &[]).unwrap();
        let by_flag = resolve(None, &[], &[setting(key, text)]).unwrap();
        let by_path = resolve(None, &[], &[setting(&names[key], text)]).unwrap();
        assert_eq!(by_variable, by_flag);
        assert_eq!(by_variable, by_path);
        assert_ne!(by_variable, resolve(None, &[], &[]).unwrap(), "{key} does something");
    }
    // The filter of the logs, and what other programs call theirs.
    let others =
        [variable("HERD_LOG", "debug"), variable("HERD_QUARTERS", "x"), variable("X", "y")];
    assert_eq!(resolve(None, &others, &[]).unwrap(), resolve(None, &[], &[]).unwrap());
}

#[test]
fn another_optimizer_starts_from_its_own_defaults() {
    let optimizer = |flags: &[Setting]| {
        let (_folder, path) = job_file(OWN);
        resolve(Some(&path), &[], flags).unwrap().model.optimizer
    };
    assert_eq!(optimizer(&[setting("optimizer", "adam")]), "adam".parse().unwrap());
    let rate = optimizer(&[setting("learning_rate", "0.25")]);
    let Optimizer::Sgd(sgd) = &rate else { panic!("{rate:?}") };
    assert_eq!((sgd.learning_rate, sgd.momentum), (0.25, 0.9), "the rest stays");
    let both = optimizer(&[setting("learning_rate", "1"), setting("optimizer", "adam")]);
    assert!(matches!(both, Optimizer::Adam(_)) && both.learning_rate() == 1.0);
}

#[test]
fn paths_are_relative_to_the_job_file() {
    let (folder, path) = job_file(OWN);
    let job = resolve(Some(&path), &[], &[setting("test", "here.csv")]).unwrap();
    assert_eq!(job.data.source, Source::Table(folder.path().join("rows.csv")));
    let here = std::env::current_dir().unwrap();
    assert_eq!(job.data.test, Some(Source::Table(here.join("here.csv"))));
    let idx = setting("data.source", "{ images = \"/i.gz\", labels = \"l\" }");
    let source = resolve(Some(&path), &[], &[idx]).unwrap().data.source;
    assert_eq!(source, Source::Idx { images: "/i.gz".into(), labels: here.join("l") });
}

#[test]
fn models_come_from_presets_and_files_too() {
    let by_preset = resolve(None, &[], &[]).unwrap().model;
    let (folder, path) = job_file("model = \"net.json\"\n[data]\nsource = \"digits\"\n");
    fs::write(folder.path().join("net.json"), by_preset.to_json()).unwrap();
    assert_eq!(resolve(Some(&path), &[], &[]).unwrap().model, by_preset);
    let text = "model = \"nets/a.toml\"\n[data]\nsource = \"digits\"\n";
    fs::write(&path, text).unwrap();
    fs::create_dir(folder.path().join("nets")).unwrap();
    let spec = toml::to_string(&by_preset).unwrap();
    fs::write(folder.path().join("nets/a.toml"), spec).unwrap();
    assert_eq!(resolve(Some(&path), &[], &[]).unwrap().model, by_preset);
    fs::write(&path, "model = \"mnist-mpl\"\n[data]\nsource = \"digits\"\n").unwrap();
    let message = resolve(Some(&path), &[], &[]).unwrap_err().to_string();
    let place = folder.path().display();
    assert_eq!(
        message,
        format!(
            "{place}/job.toml, line 1: model: `mnist-mpl` is neither a file ({place}/mnist-mpl) nor a \
             preset (mnist-cnn, mnist-mlp); did you mean `mnist-mlp`?"
        )
    );
}

#[test]
fn all_presets_plan_and_name_no_unknown_key() {
    let names = preset::names();
    assert!(names.len() >= 2);
    for name in names {
        let job = resolve(None, &[], &[setting("preset", name)]).unwrap();
        let plan = Plan::new(&job.model).unwrap();
        assert!(plan.parameters() < 300_000, "{name}");
        assert_eq!(job.name, name);
    }
}

#[test]
fn a_printed_job_reads_back_equal() {
    let (folder, path) = job_file(OWN);
    let idx = "{ images = \"a b.gz\", labels = \"l\\\"'.gz\" }";
    let flags = [
        vec![],
        vec![setting("run_dir", "x"), setting("init", "y"), setting("test", idx)],
        vec![setting("strategy", "nesterov=0.5,0.8"), setting("schedule", "warmup=0.1+cosine")],
        vec![setting("seed", "9223372036854775807"), setting("frequency", "steps=7")],
        vec![setting("validation_split", "0.30000000000000004"), setting("device", "wgpu")],
        vec![setting("target", "accuracy=0.95"), setting("early_stopping", "5")],
        vec![setting("max_time", "1h30m"), setting("class_weights", "balanced")],
        vec![setting("class_weights", "{ \"a b\" = 2, c = 0.5 }"), setting("scaling", "standard")],
        vec![setting("ignore", "[\"a,b\", \"c\"]"), setting("categorical", "d, e")],
    ];
    for flags in flags {
        for file in [Some(path.as_path()), None] {
            let job = resolve(file, &[], &flags).unwrap();
            let printed = folder.path().join("config.toml");
            fs::write(&printed, job.to_toml()).unwrap();
            let again = resolve(Some(&printed), &[], &[]).unwrap();
            assert_eq!(again, job, "{}", job.to_toml());
        }
    }
}

#[test]
fn unknown_keys_are_named_with_file_and_line() {
    let cases = [
        (
            "seed = 1\n[training]\nepochs = 3\nmod = \"synchronous\"\n",
            "job.toml, line 4: there is no key `training.mod`; did you mean `mode`?",
        ),
        (
            "epochs = 3\n",
            "job.toml, line 1: there is no key `epochs`; did you mean `training.epochs`?",
        ),
        (
            "\n[fleet]\nzzz = 3\n",
            "job.toml, line 3: there is no key `fleet.zzz`; here may stand: device, linger, listen, \
             min_workers, workers",
        ),
        (
            "training = 3\n",
            "job.toml, line 1: training: is a section; write its keys under [training]",
        ),
        (
            "[data]\nsource = { image = \"a\", labels = \"b\" }\n[model]\nlayers = []",
            "job.toml, line 3: model: model spec, key `input`: it is missing: write the shape of one \
             sample, as [28, 28]",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(file_error(text), expected, "{text:?}");
    }
    assert_eq!(
        flag_error("trainning.epochs", "3"),
        "--trainning.epochs: there is no key `trainning`; did you mean `training`?"
    );
    let message = resolve(None, &[variable("HERD_EPOCH", "3")], &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        "environment variable HERD_EPOCH: there is no key `epoch`; did you mean HERD_EPOCHS? If not, \
         unset HERD_EPOCH"
    );
}

#[test]
fn mistakes_in_a_model_are_found_at_their_line() {
    let typo = OWN.replace("units = 8", "unitz = 8");
    let message = file_error(&typo);
    assert!(message.starts_with("job.toml, line 11: model: "), "{message}");
    assert!(message.contains("did you mean `units`?"), "{message}");
    let shape = OWN.replace(
        "    { type = \"dense\", units = 8",
        "{ type = \"max_pool2d\" },\n{ type = \"dense\", units = 8",
    );
    let message = file_error(&shape);
    assert!(message.starts_with("job.toml, line 11: model: "), "{message}");
    assert!(message.contains("max_pool2d"), "{message}");
    let message = file_error(&OWN.replace("momentum", "momentun"));
    assert!(message.starts_with("job.toml, line 9: model: "), "{message}");
    let preset_typo = flag_error("model.optimizer.learning_rat", "1");
    assert!(preset_typo.starts_with("--model.optimizer.learning_rat: model: "), "{preset_typo}");
    let no_number = flag_error("learning_rate", "fast");
    assert!(no_number.starts_with("--learning_rate: model: "), "{no_number}");
    let no_optimizer = flag_error("optimizer", "adm");
    assert!(no_optimizer.starts_with("--optimizer: model: "), "{no_optimizer}");
    assert!(no_optimizer.contains("did you mean `adam`?"), "{no_optimizer}");
}

#[test]
fn values_that_are_not_allowed_say_what_is() {
    let cases = [
        ("epochs", "0", "--epochs: training.epochs: 0 is not a whole number from 1 to 1000000"),
        (
            "epochs",
            "many",
            "--epochs: training.epochs: \"many\" is not a whole number from 1 to 1000000",
        ),
        ("workers", "-1", "--workers: fleet.workers: -1 is not a whole number from 0 to 1024"),
        (
            "validation_split",
            "1",
            "--validation_split: data.validation_split: 1 is not a number from 0 to below 1",
        ),
        (
            "listen",
            "8080",
            "--listen: fleet.listen: \"8080\" is not HOST:PORT, such as 127.0.0.1:8080",
        ),
        (
            "trusted_proxies",
            "10.0.0.0/33",
            "--trusted_proxies: server.trusted_proxies: \"10.0.0.0/33\" is neither an address nor a \
             network, such as 192.168.1.5, 10.0.0.0/8 or fd00::/8",
        ),
        (
            "allow_hosts",
            "https://a.example",
            "--allow_hosts: server.allow_hosts: \"https://a.example\" is not the name of a host, such as \
             herd.example.org: without http:// and without a port",
        ),
        (
            "tls_key",
            "key.pem",
            "--tls_key: server.tls_key: needs its certificate: give --tls-cert (server.tls_cert) too",
        ),
        (
            "tls",
            "self-sign",
            "--tls: server.tls: unknown variant `self-sign`, expected `` or `self-signed`; did you mean \
             `self-signed`?",
        ),
        (
            "name",
            "a/b",
            "--name: name: \"a/b\" must be at most 64 letters, digits, `-`, `_` or `.`, as it becomes \
             the name of a folder",
        ),
        (
            "preset",
            "mnist-cn",
            "--preset: preset: there is no preset `mnist-cn`; did you mean `mnist-cnn`?; there are: \
             mnist-cnn, mnist-mlp",
        ),
        (
            "test_split",
            "0.1",
            "--test_split: data.test_split: must be 0 when `data.test` is given: there are rows to test \
             on already",
        ),
        (
            "source",
            "rows.csv",
            "the job has no model: write a [model] table, or model = \"NAME or FILE\", or preset = \
             \"NAME\" (mnist-cnn, mnist-mlp)",
        ),
    ];
    for (key, text, expected) in cases {
        assert_eq!(flag_error(key, text), expected);
    }
    for (key, text, word) in [
        ("mode", "async", "asynchronous"),
        ("frequency", "steps=0", "steps=N"),
        ("strategy", "nestorov", "nesterov"),
        ("codec", "f61", "`f16`"),
        ("device", "gpu", "`wgpu`"),
    ] {
        let message = flag_error(key, text);
        assert!(message.starts_with(&format!("--{key}: ")) && message.contains(word), "{message}");
    }
    assert_eq!(
        file_error(&OWN.replace("label = \"kind\"", "")),
        "job.toml, line 3: data.label: is missing: a CSV file needs the name of the column to predict"
    );
    assert_eq!(
        file_error(&OWN.replace("\"rows.csv\"", "{ image = \"a\", labels = \"b\" }")),
        "job.toml, line 4: data.source: has `images` and `labels`, not `image`; did you mean `images`?"
    );
}

#[test]
fn files_that_are_no_jobs_are_errors() {
    let missing = resolve(Some(Path::new("no/job.toml")), &[], &[]).unwrap_err().to_string();
    assert_eq!(missing, "no/job.toml: there is no such file; check the path");
    let message = file_error("seed = 1\nname = \n");
    assert!(message.starts_with("job.toml, line 2: "), "{message}");
    let message = file_error("seed = 1\nseed = 2\n");
    assert!(message.starts_with("job.toml, line 2: duplicate key"), "{message}");
}

#[test]
fn goals_and_columns_are_read_as_one_writes_them() {
    let text = OWN.replace(
        "[model]",
        "ignore = [\"id\"]\ncategorical = [\"colour\"]\n[training]\nearly_stopping = 5\n\
         max_time = \"90s\"\nclass_weights = { x = 2 }\n[model]",
    );
    let (_folder, path) = job_file(&text);
    let Job { data, training, .. } = resolve(Some(&path), &[], &[]).unwrap();
    assert_eq!((data.ignore, data.categorical), (vec!["id".to_owned()], vec!["colour".to_owned()]));
    assert_eq!(training.early_stopping.unwrap().to_string(), "loss=5");
    assert_eq!(training.max_time.unwrap().to_string(), "1m30s");
    let names =
        |text: &str| resolve(Some(&path), &[], &[setting("ignore", text)]).unwrap().data.ignore;
    assert_eq!(names("a, b"), ["a", "b"]);
    assert_eq!(names("[\"a, b\"]"), ["a, b"]);
    for (line, word) in [
        ("class_weights = { x = 2 }", "class_weights = { x = -2 }"),
        ("class_weights = { x = 2 }", "class_weights = 3"),
        ("early_stopping = 5", "early_stopping = true"),
        ("max_time = \"90s\"", "max_time = \"x\""),
        ("ignore = [\"id\"]", "ignore = [1]"),
    ] {
        let message = file_error(&text.replace(line, word));
        let key = word.split(' ').next().unwrap();
        assert!(message.starts_with("job.toml, line ") && message.contains(key), "{message}");
    }
}
