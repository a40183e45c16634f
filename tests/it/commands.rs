//! Mistakes of a user: one clear sentence each that names the thing and the remedy, and an exit
//! code that tells its kind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use tests::process::{herd, project, worker};

/// A valid job on `flowers.csv`, with lines that a test puts in.
fn job(top: &str, input: u32, training: &str) -> String {
    format!(
        r#"{top}
[data]
source = "flowers.csv"
label = "species"
[training]
{training}
[model]
input = [{input}]
loss = "sparse_categorical_crossentropy"
optimizer = {{ type = "sgd", learning_rate = 0.1 }}
layers = [{{ type = "dense", units = 2, activation = "softmax" }}]
"#
    )
}

const FLOWERS: &str = "length,width,species\n5.1,3.5,setosa\n7.0,3.2,versicolor\n";

/// A folder with a job and its data.
fn folder(job: &str, flowers: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.toml"), job).unwrap();
    fs::write(folder.path().join("flowers.csv"), flowers).unwrap();
    folder
}

#[test]
fn a_wrong_job_file_is_refused_with_the_place() {
    let right = job("", 2, "");
    let plan =
        herd(&["train", "job.toml", "--dry-run"]).folder(folder(&right, FLOWERS).path()).run();
    assert_eq!(plan.code, Some(0), "but for its mistakes the job is right: {plan}");

    let units = right.replace("units = 2", "units = 1");
    let kernel = r#"layers = [{ type = "conv2d", filters = 2, kernel_size = 3 }, "#;
    let layers = right.replace("layers = [", kernel);
    let bad_cell = "length,width,species\n5.1,3.5,setosa\n7.0,wide,versicolor\n";
    let cases: [(&str, &str, i32, &[&str]); 8] = [
        (
            &job("", 2, "epochz = 3"),
            FLOWERS,
            2,
            &["job.toml, line 6", "`training.epochz`", "did you mean `epochs`?"],
        ),
        (&job("seed = ", 2, ""), FLOWERS, 2, &["job.toml, line 1"]),
        (&job("", 2, "epochs = 0"), FLOWERS, 2, &["job.toml, line 6", "training.epochs"]),
        (&job("", 5, ""), FLOWERS, 3, &["flowers.csv", "[2]", "[5]", "set `input`"]),
        (&units, FLOWERS, 3, &["flowers.csv", "2", "1"]),
        (&layers, FLOWERS, 2, &["conv2d"]),
        (&right, bad_cell, 3, &["flowers.csv, line 3, column `width`", "wide"]),
        (&right, "length,width\n1,2\n", 3, &["flowers.csv", "`species`"]),
    ];
    for (job, flowers, code, words) in cases {
        let folder = folder(job, flowers);
        herd(&["train", "job.toml"]).folder(folder.path()).run().assert_refused(code, words);
        assert!(!folder.path().join("runs").exists(), "a wrong job leaves nothing: {words:?}");
    }
}

#[test]
fn missing_files_are_named() {
    let folder = folder(&job("", 2, "").replace("flowers.csv", "roses.csv"), FLOWERS);
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["train", "no.toml"], 2, &["no.toml", "there is no such file"]),
        (&["train", "job.toml"], 3, &["roses.csv", "there is no such file"]),
        (&["train", "--init", "no.safetensors"], 3, &["no.safetensors", "no such model file"]),
        (&["predict", "latest", "digits"], 3, &["latest", "no such run or model"]),
        (&["evaluate", "no.safetensors", "digits"], 3, &["no.safetensors"]),
        (&["train", "--set", "model=no-such"], 2, &["no-such", "mnist-mlp"]),
    ];
    for (arguments, code, words) in cases {
        herd(arguments).folder(folder.path()).run().assert_refused(code, words);
    }
}

#[test]
fn wrong_values_of_flags_are_refused_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--mode", "async"], &["--mode", "async", "asynchronous"]),
        (&["--frequency", "steps"], &["--frequency", "steps=N"]),
        (&["--strategy", "average"], &["--strategy", "average", "mean"]),
        (&["--batch-size", "0"], &["--batch-size", "0"]),
        (&["--learning-rate", "-1"], &["learning", "-1"]),
        (&["--validation-split", "1.5"], &["--validation-split", "1.5"]),
        (&["--strategy", "mean", "--mode", "asynchronous"], &["mean", "synchronous"]),
        (&["--set", "training.epoch=3"], &["training.epoch", "did you mean"]),
        (&["--set", "preset=mnist-mpl"], &["mnist-mpl", "did you mean `mnist-mlp`?"]),
    ];
    for (flags, words) in cases {
        let arguments = [&["train"], flags].concat();
        herd(&arguments).folder(folder.path()).run().assert_refused(2, words);
    }
    let call = herd(&["train"]).folder(folder.path()).env("HERD_EPOCHS", "many");
    call.run().assert_refused(2, &["environment variable HERD_EPOCHS", "many"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let folder = folder("", FLOWERS);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = herd(&["train", "--listen", &address]).folder(folder.path()).run();
    finished.assert_refused(4, &[&address, "the port is in use", "--listen"]);
    assert!(!folder.path().join("runs").exists(), "a run that cannot listen leaves nothing");

    // Root may write anywhere, but not below a file and not among the processes.
    for place in ["flowers.csv/run", "/proc/herd-run"] {
        let finished = herd(&["train", "--run-dir", place]).folder(folder.path()).run();
        finished.assert_refused(3, &[place, "cannot be written", "--run-dir"]);
    }
    let flags = ["train", "--run-dir", "mine", "--epochs", "1"];
    let first = herd(&flags).folder(folder.path()).succeed();
    let again = herd(&flags).folder(folder.path()).run();
    again.assert_refused(3, &["mine", "there is a run in this folder already", "--run-dir"]);
    let kept = herd(&["evaluate", "mine"]).folder(folder.path()).succeed();
    assert!(kept.output.starts_with("2000 rows"), "{first}, then {kept}");
}

#[test]
fn a_damaged_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _ = herd(&["train", "--epochs", "1", "--run-dir", "run"]).folder(folder.path()).succeed();
    let model = fs::read(folder.path().join("run/best.safetensors")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("cut.safetensors", &model[..model.len() / 2]);
    write("text.safetensors", b"once upon a time there was a model");
    // The last value becomes NaN.
    let mut poisoned = model.clone();
    poisoned.splice(model.len() - 4.., f32::NAN.to_le_bytes());
    write("nan.safetensors", &poisoned);
    for (name, words) in [
        ("cut.safetensors", "is damaged or no safetensors file"),
        ("text.safetensors", "is damaged or no safetensors file"),
        ("nan.safetensors", "not finite"),
    ] {
        for arguments in [&["predict", name, "digits"], &["train", "--init", name]] {
            herd(arguments).folder(folder.path()).run().assert_refused(3, &[name, words]);
        }
    }
    let other = ["train", "--init", "run/best.safetensors", "--set", "preset=mnist-cnn"];
    herd(&other).folder(folder.path()).run().assert_refused(3, &["best.safetensors", "tensor `"]);
    let flowers = ["predict", "run", &example("iris.csv")];
    herd(&flowers).folder(folder.path()).run().assert_refused(3, &["iris.csv", "images"]);
}

fn example(name: &str) -> String {
    project().join("examples").join(name).to_str().expect("a path is text").to_owned()
}

#[test]
fn a_worker_without_an_adapter_says_what_to_install() {
    // No driver: the loader of Vulkan finds none at this place.
    let none = Path::new("/nonexistent");
    let call = worker(&["ws://127.0.0.1:1", "--device", "wgpu"]).env("VK_DRIVER_FILES", none);
    call.run().assert_refused(2, &["no GPU adapter", "mesa-vulkan-drivers", "--device cpu"]);
    let folder = tempfile::tempdir().unwrap();
    let call = herd(&["train", "--device", "wgpu"]).env("VK_DRIVER_FILES", none);
    let finished = call.folder(folder.path()).run();
    assert_eq!(finished.code, Some(4), "{finished}");
    let last = finished.error.lines().last().unwrap_or_default();
    assert!(last.starts_with("herd: ") && last.contains("no GPU adapter"), "{finished}");
}

#[test]
fn a_worker_that_is_not_let_in_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    let address = invitation.address.as_str();
    for token in ["", "wrong"] {
        let finished = worker(&[address, "--token", token, "--device", "cpu"]).run();
        finished.assert_refused(2, &["the token does not admit to this run", "--token"]);
    }

    // A worker of another version, as the coordinator sees it.
    let host = address.strip_prefix("ws://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!(
        "GET /v1/worker HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: herd.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    // The connection stays open for a next request, so its end is no mark.
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status).unwrap();
    assert!(status.starts_with("HTTP/1.1 426 "), "{status}");
    let sentence = answer.lines().map(Result::unwrap).find(|line| line.contains("herd.0"));
    let expected = "this coordinator speaks herd.1, the worker herd.0; use the worker of the \
                    coordinator's version";
    assert_eq!(sentence.as_deref(), Some(expected));
}

#[test]
fn a_worker_ends_with_the_sentence_of_a_coordinator_of_another_version() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let body = "this coordinator speaks herd.9\n";
        let head = format!("HTTP/1.1 426 Upgrade Required\r\nContent-Length: {}", body.len());
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let finished = worker(&[&address, "--token", "secret", "--device", "cpu"]).run();
    finished.assert_refused(2, &[&address, "this coordinator speaks herd.9"]);
    let request = answering.join().unwrap().to_lowercase();
    assert!(request.contains("sec-websocket-protocol: herd.1\r\n"), "{request}");
}

#[test]
fn a_worker_keeps_trying_where_nobody_answers() {
    for nonsense in ["localhost", "http://127.0.0.1:1", "ws://127.0.0.1", "ws://127.0.0.1:1/run"] {
        let finished = worker(&[nonsense]).run();
        finished.assert_refused(2, &[nonsense, "ws://HOST:PORT", "herd train prints"]);
    }
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut worker = worker(&[&format!("ws://{address}"), "--device", "cpu"]).start();
    for _ in 0..2 {
        let line = worker.wait_for("trying again in");
        assert!(line.contains(&format!("no answer from ws://{address}")), "{line}");
        assert!(!line.contains('\u{1b}'), "no colours outside a terminal: {line:?}");
    }
    worker.kill();
}
