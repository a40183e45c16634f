//! The corpus and its neighbours: plain tests on a stable compiler, without libFuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz::Target;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Entry, corpus};

/// Mutated inputs of each target.
const MUTATIONS: u64 = 20_000;

/// Longest input whose every truncation is tried; of longer ones, so many.
const TRUNCATIONS_MAX: usize = 2000;

/// Bytes and lengths at which decoders change their mind.
const INTERESTING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'['];

/// Runs a target; when it panics, says which input it was.
fn try_input(target: Target, origin: &str, data: &[u8]) {
    // Nothing of the target outlives the input.
    if catch_unwind(AssertUnwindSafe(|| fuzz::run(target, data))).is_err() {
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("target {} panicked (see above) on {origin}; in hex: {hex}", target.name());
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let parent = Target::Csv.corpus().parent().unwrap().to_owned();
    let folders: BTreeSet<String> = fs::read_dir(&parent)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = Target::ALL.map(|(_, name)| name.to_owned()).into();
    assert_eq!(folders, names);
    for (target, name) in Target::ALL {
        assert_eq!(Target::of(name), Some(target));
        assert!(corpus(target).len() >= 3, "the corpus of {name} is too small");
    }
}

#[test]
fn targets_stand_the_corpus_its_truncations_and_mutations() {
    for (target, _) in Target::ALL {
        let entries = corpus(target);
        for Entry { path, content } in &entries {
            try_input(target, &file_name(path), content);
            let step = content.len() / TRUNCATIONS_MAX + 1;
            for length in (0..content.len()).step_by(step) {
                let origin = format!("{} cut to {length} bytes", file_name(path));
                try_input(target, &origin, &content[..length]);
            }
        }
        for seed in 0..MUTATIONS {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let base = pick(&mut generator, &entries);
            let mut data = base.content.clone();
            for _ in 0..=below(&mut generator, 4) {
                mutate(&mut generator, &mut data, &pick_other(seed, &entries).content);
            }
            try_input(target, &format!("{}, mutation seed {seed}", file_name(&base.path)), &data);
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A number below `bound`, or 0.
fn below(generator: &mut ChaCha8Rng, bound: usize) -> usize {
    (generator.next_u64() % bound.max(1) as u64) as usize
}

fn pick<'a>(generator: &mut ChaCha8Rng, entries: &'a [Entry]) -> &'a Entry {
    &entries[below(generator, entries.len())]
}

fn pick_other(seed: u64, entries: &[Entry]) -> &Entry {
    &entries[(seed as usize) % entries.len()]
}

/// One change: a bit, a byte, a piece removed, doubled, overwritten, or taken from another input.
fn mutate(generator: &mut ChaCha8Rng, data: &mut Vec<u8>, other: &[u8]) {
    let place = below(generator, data.len());
    let end = data.len().min(place + 1 + below(generator, 16));
    match below(generator, 6) {
        _ if data.is_empty() => data.push(generator.next_u32() as u8),
        0 => data[place] ^= 1 << below(generator, 8),
        1 => data[place] = INTERESTING[below(generator, INTERESTING.len())],
        2 => drop(data.drain(place..end)),
        3 => {
            let piece = data[place..end].to_vec();
            data.splice(place..place, piece);
        }
        4 => data[place..end].fill(generator.next_u32() as u8),
        _ => {
            let from = below(generator, other.len());
            let until = other.len().min(from + 1 + below(generator, 64));
            data.splice(place..end, other[from..until].iter().copied());
        }
    }
}
