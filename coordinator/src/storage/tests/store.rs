//! Tests of the store: what is saved comes back, whatever happens in between.

use std::fs;
use std::path::{Path, PathBuf};

use engine::checkpoint::Step;
use protocol::TensorTable;
use tempfile::TempDir;

use super::course::{Course, Fate};
use super::plan;
use crate::config::resolve;
use crate::storage::folder::write_whole;
use crate::storage::text::{from_json, segments_of, segments_text, to_json};
use crate::storage::{BEST, BestRecord, Checkpoint, Loaded, RunFolder, RunLock, Store};

/// A run folder with a store, and a course that fills it.
pub(super) struct Run {
    pub(super) folder: TempDir,
    pub(super) table: TensorTable,
    pub(super) course: Course,
    pub(super) store: Option<Store>,
}

impl Run {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = plan(3).tensors().clone();
        let course = Course::new(folder.path());
        let store = Some(Store::create(folder.path()).unwrap());
        Self { folder, table, course, store }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Values that tell checkpoints from each other.
    pub(super) fn values(&self, checkpoint: u64) -> Vec<f32> {
        (0..self.table.elements()).map(|place| checkpoint as f32 + place as f32 / 7.0).collect()
    }

    fn momentum(&self, checkpoint: u64) -> Vec<f32> {
        self.values(checkpoint).into_iter().map(|value| -value).collect()
    }

    /// Trains a little, writes a new best model and saves all as checkpoint `number`.
    pub(super) fn save(&mut self, number: u64) -> Checkpoint {
        let checkpoint = self.next(number);
        self.save_with(&checkpoint, number, |_| {});
        checkpoint
    }

    pub(super) fn next(&mut self, number: u64) -> Checkpoint {
        self.course.lease(1, Fate::Merged);
        // A new file in the place of the old one, as a run writes it.
        write_whole(&self.path().join(BEST), [best(number).as_slice()]).unwrap();
        let mut checkpoint = self.course.checkpoint();
        let metrics = serde_json::json!({ "loss": 0.1 + 0.2 * number as f64 });
        checkpoint.best = Some(BestRecord { epoch: number as u32, metrics });
        checkpoint
    }

    pub(super) fn save_with(
        &mut self,
        checkpoint: &Checkpoint,
        number: u64,
        after: impl FnMut(Step),
    ) {
        let (values, momentum) = (self.values(number), self.momentum(number));
        let store = self.store.as_mut().unwrap();
        let saved = store.save_with(checkpoint, &self.table, [&values, &momentum], after);
        assert_eq!(saved.unwrap(), number);
    }

    /// Whether what was loaded is checkpoint `number`, whole.
    pub(super) fn assert_is(
        &self,
        loaded: &Loaded,
        number: u64,
        saved: &Checkpoint,
        folder: &Path,
    ) {
        assert_eq!(loaded.record.number, number);
        assert_eq!(loaded.values, self.values(number));
        assert_eq!(loaded.momentum, self.momentum(number));
        let text = |state: &engine::State| serde_json::to_string(state).unwrap();
        assert_eq!(text(&loaded.record.engine), text(&saved.engine));
        assert_eq!(
            (loaded.record.version, loaded.record.metrics_bytes),
            (saved.version, saved.metrics_bytes)
        );
        assert_eq!((&loaded.record.best, &loaded.record.shell), (&saved.best, &saved.shell));
        assert_eq!(
            (loaded.record.complete, &loaded.record.shards),
            (saved.complete, &saved.shards)
        );
        assert_eq!(loaded.workers, saved.workers);
        assert_eq!(fs::read(folder.join(BEST)).unwrap(), best(number));
    }
}

/// Stands for a model file.
fn best(number: u64) -> Vec<u8> {
    format!("best model of checkpoint {number}").into_bytes()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("checkpoints")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn load(folder: &Path, table: &TensorTable) -> Option<Loaded> {
    Store::open(folder).unwrap().load(table).unwrap()
}

#[test]
fn what_is_saved_comes_back() {
    let mut run = Run::new();
    assert_eq!(run.store.as_mut().unwrap().load(&run.table).unwrap(), None);
    run.save(1);
    let saved = run.save(2);
    run.store = None;
    let loaded = load(run.path(), &run.table).unwrap();
    run.assert_is(&loaded, 2, &saved, run.path());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    // The engine takes it, and goes on to the end.
    run.course.restart(loaded.record.engine, loaded.record.metrics_bytes);
    run.course.finish(1);
}

#[test]
fn parameters_are_safetensors_that_other_tools_read() {
    let mut run = Run::new();
    let checkpoint = run.course.checkpoint();
    let values = run.values(1);
    run.store.as_mut().unwrap().save(&checkpoint, &run.table, &values, &[]).unwrap();
    let path = run.path().join("checkpoints/000001.safetensors");
    let content = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&content).unwrap();
    assert_eq!(tensors.len(), run.table.tensors.len());
    run.save(2);
    let path = run.path().join("checkpoints/000002.safetensors");
    let content = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&content).unwrap();
    assert_eq!(tensors.tensor("momentum/dense.kernel").unwrap().shape(), [2, 3]);
    // A new run may start from them.
    let read = crate::storage::read_parameters(&path, &run.table).unwrap();
    assert_eq!(read, run.values(2));
    run.store = None;
    assert_eq!(load(run.path(), &run.table).unwrap().values, run.values(2));
}

#[test]
fn two_checkpoints_are_kept() {
    let mut run = Run::new();
    for number in 1..=5 {
        run.save(number);
    }
    let kept = [
        "000004.best.safetensors",
        "000004.safetensors",
        "000005.best.safetensors",
        "000005.safetensors",
    ];
    assert_eq!(names(run.path()), kept);
}

#[test]
fn a_crash_after_any_step_leaves_the_old_checkpoint_or_the_new_one() {
    let mut run = Run::new();
    run.save(1);
    let before = run.save(2);
    let next = run.next(3);
    let copies = tempfile::tempdir().unwrap();
    let place = |step: Step| -> PathBuf { copies.path().join(format!("{step:?}")) };
    let folder = run.path().to_owned();
    run.save_with(&next, 3, |step| copy(&folder, &place(step)));
    let mut outcomes = Vec::new();
    for step in Step::ALL {
        let folder = place(step);
        let loaded = load(&folder, &run.table).unwrap();
        let saved = if loaded.record.number == 2 { &before } else { &next };
        run.assert_is(&loaded, loaded.record.number, saved, &folder);
        outcomes.push(loaded.record.number);
        // The next checkpoint can be stored, and nothing is left of the one that failed.
        let mut store = Store::open(&folder).unwrap();
        let number = loaded.record.number + 1;
        let (values, momentum) = (run.values(number), run.momentum(number));
        let again = store.save(&next, &run.table, &values, &momentum).unwrap();
        assert_eq!(again, number, "{step:?}");
        assert_eq!(names(&folder).len(), 4, "{step:?}");
        drop(store);
        assert_eq!(load(&folder, &run.table).unwrap().values, values, "{step:?}");
    }
    assert_eq!(outcomes, [2, 2, 2, 2, 3, 3], "the commit decides");
}

#[test]
fn the_first_checkpoint_may_be_cut_short_too() {
    let mut run = Run::new();
    let next = run.next(1);
    let copies = tempfile::tempdir().unwrap();
    let folder = run.path().to_owned();
    run.save_with(&next, 1, |step| {
        if step == Step::SyncFolder {
            copy(&folder, copies.path());
        }
    });
    assert_eq!(load(copies.path(), &run.table), None);
    assert_eq!(names(copies.path()), Vec::<String>::new());
    assert!(!copies.path().join(BEST).exists(), "it is of work that is lost");
}

#[test]
fn one_coordinator_at_a_time() {
    let run = Run::new();
    let message = Store::open(run.path()).unwrap_err().to_string();
    let expected = format!(
        "{}: another coordinator is training this run (process {}); wait for its end or stop it",
        run.path().display(),
        std::process::id()
    );
    assert_eq!(message, expected);
    assert_eq!(RunLock::holder(run.path()), Some(std::process::id()));
    drop(run.store);
    assert_eq!(RunLock::holder(run.folder.path()), None);
    Store::open(run.folder.path()).unwrap();
}

#[test]
fn a_folder_without_a_ledger_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let message = Store::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("is no run that can be resumed"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    drop(Store::create(folder.path()).unwrap());
    let message = Store::create(folder.path()).unwrap_err().to_string();
    assert!(message.contains("there is a run in this folder already"), "{message}");
}

#[test]
fn metrics_go_on_where_the_checkpoint_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, "{\"epoch\":1}\n{\"epo").unwrap();
    let mut reopened = RunFolder::reopen(folder.path(), 12).unwrap();
    reopened.append_metrics(&serde_json::json!({ "epoch": 2 })).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"epoch\":1}\n{\"epoch\":2}\n");
    assert_eq!(reopened.metrics_bytes().unwrap(), 24);
    let message = RunFolder::reopen(folder.path(), 25).unwrap_err().to_string();
    assert!(message.contains("has 24 bytes, and had 25 when"), "{message}");
}

#[test]
fn numbers_come_back_bit_by_bit() {
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..10_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = f64::from_bits(bits);
        if number.is_finite() {
            let back: f64 = from_json(&to_json(&number).unwrap()).unwrap();
            assert_eq!(back.to_bits(), bits, "{number}");
        }
    }
    let odd = serde_json::json!({ "~": ["~", "~1.5", "~~", -0.0, u64::MAX, i64::MIN, null, 1] });
    assert_eq!(from_json::<serde_json::Value>(&to_json(&odd).unwrap()).unwrap(), odd);
    let segments = segments_of("3:0+64,4:4294967295+1").unwrap();
    assert_eq!(segments_text(&segments), "3:0+64,4:4294967295+1");
    assert_eq!(segments_of(""), Some(Vec::new()));
    for odd in ["3", "3:1", "3:1+", "a:1+1", "1:1+1,", "1:1+-1", "1:1+4294967296"] {
        assert_eq!(segments_of(odd), None, "{odd}");
    }
}

#[test]
fn the_variable_of_tests_is_no_key_of_a_job() {
    let variable = ("HERD_TEST_CHECKPOINT_PAUSE_MS".to_owned(), "5".to_owned());
    resolve(None, &[variable], &[]).unwrap();
}
