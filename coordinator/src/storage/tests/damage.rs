//! Tests of the store with damaged, missing and unwritable files.

use std::fs;
use std::path::Path;

use protocol::Digest;

use super::plan;
use super::store::{Run, copy, load, names};
use crate::storage::{BEST, Store};

/// A run with two checkpoints, closed.
fn run() -> (Run, [crate::storage::Checkpoint; 2]) {
    let mut run = Run::new();
    let first = run.save(1);
    let second = run.save(2);
    run.store = None;
    (run, [first, second])
}

#[test]
fn damaged_parameters_are_named_and_the_checkpoint_before_is_used() {
    let (run, [first, _]) = run();
    let path = "checkpoints/000002.safetensors";
    let whole = fs::read(run.path().join(path)).unwrap();
    let mut contents: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
    for place in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        contents.push(Some(flipped));
        contents.push(Some(whole[..place].to_vec()));
    }
    for content in contents {
        let folder = tempfile::tempdir().unwrap();
        copy(run.path(), folder.path());
        let file = folder.path().join(path);
        match &content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let loaded = load(folder.path(), &run.table).unwrap();
        run.assert_is(&loaded, 1, &first, folder.path());
        assert!(loaded.warnings[0].contains("000002.safetensors"), "{:?}", loaded.warnings);
        assert!(loaded.warnings[1].contains("checkpoint 1 is used"), "{:?}", loaded.warnings);
        assert_eq!(names(folder.path()), ["000001.best.safetensors", "000001.safetensors"]);
        // The damaged one is forgotten: nothing is said of it the next time.
        let again = load(folder.path(), &run.table).unwrap();
        assert_eq!((again.record.number, again.warnings), (1, Vec::new()));
    }
}

#[test]
fn a_damaged_ledger_never_gives_a_wrong_checkpoint() {
    let (run, saved) = run();
    let whole = fs::read(run.path().join("run.db")).unwrap();
    let (mut named, mut second, mut first) = (0, 0, 0);
    let try_one = |content: &[u8], place: &str| {
        let folder = tempfile::tempdir().unwrap();
        copy(run.path(), folder.path());
        fs::write(folder.path().join("run.db"), content).unwrap();
        let loaded = Store::open(folder.path()).and_then(|mut store| store.load(&run.table));
        match loaded {
            Ok(Some(loaded)) => {
                let number = loaded.record.number;
                run.assert_is(&loaded, number, &saved[number as usize - 1], folder.path());
                assert!(number == 2 || loaded.warnings[0].contains("run.db"), "{place}");
                Some(number)
            }
            Ok(None) => panic!("{place}: two checkpoints are forgotten"),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("run.db") || message.contains("000002"), "{message}");
                None
            }
        }
    };
    // Most of the file is empty: what the ledger says of the newest checkpoint is around here.
    let digest = fs::read(run.path().join("checkpoints/000002.safetensors")).unwrap();
    let digest = Digest::of(&digest).to_string().into_bytes();
    let live = whole.windows(digest.len()).position(|bytes| bytes == digest).unwrap();
    for place in (0..whole.len()).step_by(211).chain((live - 500..live + 200).step_by(11)) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        match try_one(&flipped, &format!("flip at {place}")) {
            Some(2) => second += 1,
            Some(_) => first += 1,
            None => named += 1,
        }
    }
    for end in (0..whole.len()).step_by(1024) {
        assert_eq!(try_one(&whole[..end], &format!("cut to {end}")), None);
    }
    assert!(named > 0 && first > 0 && second > 0, "{named} {first} {second}");
}

#[test]
fn a_lost_log_is_seen() {
    let mut run = Run::new();
    let old = tempfile::tempdir().unwrap();
    run.save(1);
    copy(run.path(), old.path());
    run.save(2);
    run.save(3);
    run.store = None;
    // The ledger of checkpoint 1 with the files of checkpoints 2 and 3.
    fs::copy(old.path().join("run.db"), run.path().join("run.db")).unwrap();
    let message = Store::open(run.path()).unwrap().load(&run.table).unwrap_err().to_string();
    assert!(
        message.contains("000003.safetensors: is a checkpoint that run.db does not"),
        "{message}"
    );
    assert_eq!(names(run.path()).len(), 4, "nothing is deleted");
}

#[test]
fn when_no_checkpoint_is_whole_all_are_named() {
    let (run, _) = run();
    for number in [1, 2] {
        fs::write(run.path().join(format!("checkpoints/00000{number}.safetensors")), "x").unwrap();
    }
    let mut store = Store::open(run.path()).unwrap();
    let message = store.load(&run.table).unwrap_err().to_string();
    assert!(message.contains("000001.safetensors") && message.contains("000002.safetensors"));
    assert_eq!(names(run.path()).len(), 4, "nothing is deleted");
}

#[test]
fn the_best_model_is_as_it_was() {
    let (run, [first, second]) = run();
    // A better one was found after the checkpoint, and the run was ended before the next.
    fs::remove_file(run.path().join(BEST)).unwrap();
    fs::write(run.path().join(BEST), "better").unwrap();
    run.assert_is(&load(run.path(), &run.table).unwrap(), 2, &second, run.path());
    // Damaged in both places: the checkpoint before has its own.
    fs::remove_file(run.path().join(BEST)).unwrap();
    fs::write(run.path().join("checkpoints/000002.best.safetensors"), "x").unwrap();
    let loaded = load(run.path(), &run.table).unwrap();
    run.assert_is(&loaded, 1, &first, run.path());
    assert!(loaded.warnings[0].contains("000002.best.safetensors"), "{:?}", loaded.warnings);
}

#[test]
fn another_model_is_refused_and_nothing_is_forgotten() {
    let (run, [_, second]) = run();
    let other = plan(4).tensors().clone();
    let message = Store::open(run.path()).unwrap().load(&other).unwrap_err().to_string();
    assert!(message.contains("the model needs [2, 4]"), "{message}");
    run.assert_is(&load(run.path(), &run.table).unwrap(), 2, &second, run.path());
}

#[test]
fn a_ledger_of_a_newer_herd_is_refused() {
    let (run, _) = run();
    let path = run.path().join("run.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let message = Store::open(run.path()).unwrap_err().to_string();
    assert!(message.contains("another version of Herd (schema 3; this one knows 2)"), "{message}");
}

#[test]
fn a_failed_save_leaves_the_checkpoint_before() {
    let mut run = Run::new();
    run.save(1);
    let before = names(run.path());
    let checkpoint = run.next(2);
    // A folder in its place keeps the file from getting its name.
    let blocked = run.path().join("checkpoints/000002.safetensors");
    fs::create_dir_all(blocked.join("x")).unwrap();
    let values = run.values(2);
    let store = run.store.as_mut().unwrap();
    let message = store.save(&checkpoint, &run.table, &values, &[]).unwrap_err().to_string();
    assert!(message.contains("000002.safetensors: cannot be written"), "{message}");
    fs::remove_dir_all(blocked).unwrap();
    assert_eq!(names(run.path()), before, "no temporary file is left");
    assert_eq!(run.store.as_mut().unwrap().save(&checkpoint, &run.table, &values, &[]).unwrap(), 2);
}

#[test]
fn a_folder_that_was_taken_away_is_named() {
    let mut run = Run::new();
    let checkpoint = run.next(1);
    fs::remove_dir_all(run.path()).unwrap();
    let values = run.values(1);
    let store = run.store.as_mut().unwrap();
    let message = store.save(&checkpoint, &run.table, &values, &[]).unwrap_err().to_string();
    let expected = format!(
        "{}: the run folder is gone; was it moved or deleted while the run was going on?",
        run.path().display()
    );
    assert_eq!(message, expected);
}

/// On a full device nothing can be written.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let mut run = Run::new();
    run.save(1);
    let checkpoint = run.next(2);
    let temporary = run.path().join("checkpoints/000002.safetensors.tmp");
    if !Path::new("/dev/full").exists() {
        return;
    }
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let values = run.values(2);
    let store = run.store.as_mut().unwrap();
    let message = store.save(&checkpoint, &run.table, &values, &[]).unwrap_err().to_string();
    assert!(message.contains("the disk is full; free some space"), "{message}");
    assert!(!temporary.is_symlink(), "no temporary file is left");
}
