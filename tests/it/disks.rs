//! Run folders that are full, read-only or gone: one clear error, and what was stored stays whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::process::{Running, TIMEOUT, herd};

/// A small file system of its own.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// 20 MB in memory; none where mounting is not allowed.
    #[allow(clippy::print_stderr, reason = "a check that is skipped is said")]
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=20m", "herd-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                eprintln!("SKIPPED: no small disk can be mounted here (needs root): {other:?}");
                None
            }
        }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Takes all space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.folder.path().join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.folder.path()).status();
        assert!(done.unwrap().success(), "{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a killed process may hold it for a moment.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn start(run: &Path, folder: &Path) -> Running {
    let run = run.to_str().unwrap();
    let arguments = [
        "train",
        "--device",
        "cpu",
        "--epochs",
        "1000000",
        "--run-dir",
        run,
        "--set",
        "training.checkpoint_interval=1",
    ];
    herd(&arguments).folder(folder).start()
}

/// Waits until the run has a checkpoint to go on from.
fn wait_for_checkpoint(run: &Path) {
    let deadline = Instant::now() + TIMEOUT;
    let count = || fs::read_dir(run.join("checkpoints")).map_or(0, Iterator::count);
    while count() < 2 {
        assert!(Instant::now() < deadline, "no checkpoint comes");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The last line names the cause, and it is the only one that says that something failed.
#[track_caller]
fn assert_one_error(herd: Running, words: &[&str]) {
    let finished = herd.finish();
    assert_eq!(finished.code, Some(3), "{finished}");
    let errors: Vec<&str> =
        finished.error.lines().filter(|line| line.starts_with("herd: ")).collect();
    assert_eq!(errors.len(), 1, "{finished}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is missing; {finished}");
    }
}

#[test]
fn a_full_disk_ends_a_run_and_leaves_its_last_checkpoint() {
    let Some(disk) = SmallDisk::mount() else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let herd = start(&disk.run(), elsewhere.path());
    wait_for_checkpoint(&disk.run());
    let filler = disk.fill();
    assert_one_error(herd, &["run", "the disk is full"]);
    fs::remove_file(filler).unwrap();
    let run = disk.run();
    let again = ["train", "--resume", run.to_str().unwrap()];
    let mut herd = self::herd(&again).folder(elsewhere.path()).start();
    herd.wait_for("goes on");
    herd.wait_for("epoch ");
    herd.interrupt();
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
}

#[test]
fn a_read_only_disk_is_refused_before_anything_starts() {
    let Some(disk) = SmallDisk::mount() else { return };
    disk.remount("ro");
    let elsewhere = tempfile::tempdir().unwrap();
    let run = disk.run();
    let finished =
        herd(&["train", "--run-dir", run.to_str().unwrap()]).folder(elsewhere.path()).run();
    finished.assert_refused(3, &["run", "Read-only file system", "--run-dir"]);
}

#[test]
fn a_run_whose_folder_is_removed_ends_with_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let herd = start(&run, folder.path());
    wait_for_checkpoint(&run);
    fs::rename(&run, folder.path().join("aside")).unwrap();
    assert_one_error(herd, &["run"]);
    let aside = folder.path().join("aside");
    let mut herd =
        self::herd(&["train", "--resume", aside.to_str().unwrap()]).folder(folder.path()).start();
    herd.wait_for("goes on");
    herd.wait_for("epoch ");
    herd.interrupt();
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
}
