//! What is written is read back by a reader that shares no code with the writer.

use std::path::Path;

use engine::EpochSummary;

use super::*;

/// What a test wants to know of an event.
#[derive(Debug, Default, PartialEq)]
struct Read {
    step: u64,
    version: Option<String>,
    start: bool,
    values: Vec<(String, f32)>,
}

/// CRC-32C bit by bit, as its definition has it.
fn crc(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn unmasked(bytes: &[u8]) -> u32 {
    let masked = u32::from_le_bytes(bytes.try_into().unwrap());
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(unmasked(&bytes[8..12]), crc(&bytes[..8]), "the checksum of a length");
        let data = &bytes[12..12 + length];
        assert_eq!(unmasked(&bytes[12 + length..16 + length]), crc(data), "a checksum");
        records.push(data.to_owned());
        bytes = &bytes[16 + length..];
    }
    records
}

/// A protobuf message as field numbers and contents; numbers as eight bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn event(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for (field, content) in fields(bytes) {
        match field {
            1 => assert!(f64::from_bits(number(&content)) > 1.7e9, "seconds since 1970"),
            2 => read.step = number(&content),
            3 => read.version = Some(String::from_utf8(content).unwrap()),
            5 => read.values.extend(fields(&content).into_iter().map(|(field, value)| {
                assert_eq!(field, 1);
                let value = fields(&value);
                let tag = String::from_utf8(value[0].1.clone()).unwrap();
                assert_eq!((value[0].0, value[1].0), (1, 2));
                (tag, f32::from_le_bytes(value[1].1.clone().try_into().unwrap()))
            })),
            7 => read.start = fields(&content) == [(1, 1_u64.to_le_bytes().to_vec())],
            other => panic!("field {other}"),
        }
    }
    read
}

/// The events of all files of a run, in the order in which TensorBoard reads them.
fn read(folder: &Path) -> Vec<Read> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    let events = files.iter().map(|file| records(&fs::read(file).unwrap())).collect::<Vec<_>>();
    events.into_iter().flatten().map(|bytes| event(&bytes)).collect()
}

struct Nobody;

impl Display for Nobody {
    fn say(&mut self, _: &str) {}
    fn epoch(&mut self, _: &EpochRecord, _: u32) {}
    fn status(&mut self, _: &Status, _: &Tally) {}
}

fn record(epoch: u32) -> EpochRecord {
    EpochRecord {
        epoch,
        seconds: 2.0 * f64::from(epoch),
        version: 1,
        training_loss: Some(1.0 / f64::from(epoch)),
        training_accuracy: Some(0.875),
        training_mae: None,
        validation_loss: Some(0.5),
        validation_accuracy: Some(0.75),
        validation_mae: None,
        counts: EpochSummary { samples: 100, ..EpochSummary::default() },
    }
}

fn scalars(events: &[Read]) -> Vec<(u64, &str, f32)> {
    let values = |event: &Read| -> Vec<(u64, String, f32)> {
        event.values.iter().map(|(tag, value)| (event.step, tag.clone(), *value)).collect()
    };
    let all = events.iter().flat_map(values).collect::<Vec<_>>();
    all.into_iter().map(|(step, tag, value)| (step, &*tag.leak(), value)).collect()
}

#[test]
fn epochs_are_read_back_and_a_second_start_says_from_where_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let start = |incarnation, before: Option<&EpochRecord>| {
        let path = folder.path().to_owned();
        TensorBoard::start(path, incarnation, before, Box::new(Nobody)).unwrap()
    };
    let mut board = start(1, None);
    board.epoch(&record(1), 9);
    board.epoch(&record(2), 9);
    drop(board);
    let mut board = start(2, Some(&record(1)));
    board.epoch(&record(2), 9);
    drop(board);

    let events = read(&folder.path().join(TRAIN));
    let version = Some("brain.Event:2".to_owned());
    assert_eq!(events[0].version, version);
    assert_eq!(events[4].version, version, "{events:?}");
    assert!(events[5].start && events[5].step == 2, "{events:?}");
    let expected = [(1, 1.0), (2, 0.5), (2, 0.5)].map(|(epoch, loss)| {
        let speed = (epoch, "epoch_samples_per_second", 50.0);
        [(epoch, "epoch_loss", loss), (epoch, "epoch_accuracy", 0.875), speed]
    });
    let expected = expected.as_flattened();
    assert_eq!(scalars(&events), expected);
    let events = read(&folder.path().join(VALIDATION));
    assert_eq!(scalars(&events)[..2], [(1, "epoch_loss", 0.5), (1, "epoch_accuracy", 0.75)]);
    assert!(!folder.path().join(FLEET).exists(), "nothing was told of it");
}

#[test]
fn the_folder_is_the_users_or_the_runs() {
    let run = tempfile::tempdir().unwrap();
    assert_eq!(folder(None, run.path()).unwrap(), None);
    let own = folder(Some(&None), run.path()).unwrap().unwrap();
    assert!(own.is_dir() && own.starts_with(run.path()));
    assert_eq!(folder(None, run.path()).unwrap(), Some(own), "a run that goes on");
    let given = run.path().join("a/b");
    assert_eq!(folder(Some(&Some(given.clone())), run.path()).unwrap(), Some(given));
    let job = check(Some(&Some("iris.toml".into()))).unwrap_err().to_string();
    assert!(job.contains("a job file goes before the flags"), "{job}");
}
