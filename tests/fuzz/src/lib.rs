//! Arbitrary bytes for everything that reads bytes from outside: one [`Target`] each.
//!
//! - [`run`]: gives bytes to a target; what it must not do (panic, take memory that the input does
//!   not justify, read its own output otherwise) ends in a panic
//! - `wire`: messages, chunks, tensors, shards; `files`: data, models, jobs; `session`: a worker;
//!   `engine_events`: the coordinator's decisions; `checkpoint`: what they go on from
//! - `corpus/TARGET/`: inputs that every test run tries; `tests/it` changes them in cheap ways.
//!   `seed-*` come from Herd's encoders, `found-*` from the fuzzer, others from what once went wrong
//! - `src/bin/fuzz_target.rs`: the program of `cargo xtask fuzz`, which libFuzzer drives
//!
//! A new target is a variant of [`Target`], an arm of [`run`] and a folder of inputs.

mod checkpoint;
mod engine_events;
mod files;
mod input;
mod session;
mod wire;

use std::alloc::System;
use std::path::{Path, PathBuf};

use cap::Cap;

/// Counts what is allocated, for [`run`].
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// More memory than any input of a few KiB needs, with room for a thousandfold gzip.
const ALLOCATED_BYTES_MAX: usize = 64 << 20;

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Frames from workers.
    ToCoordinator,
    /// Frames from coordinators.
    ToWorker,
    /// The pieces of a long payload.
    Chunks,
    /// Payloads of tensors.
    Tensors,
    /// Shards.
    Shard,
    /// All that a worker hears in a session.
    Session,
    /// All that a coordinator's engine hears in a run.
    Engine,
    /// IDX files.
    Idx,
    /// CSV files.
    Csv,
    /// Specs of models in TOML.
    SpecToml,
    /// Specs of models in JSON.
    SpecJson,
    /// Job files.
    Job,
    /// Model files.
    Safetensors,
    /// Checkpoints: their parameters, and the state of the engine.
    Checkpoint,
}

impl Target {
    /// All targets with their names, which are those of the folders in `corpus`.
    pub const ALL: [(Self, &str); 14] = [
        (Self::ToCoordinator, "to_coordinator"),
        (Self::ToWorker, "to_worker"),
        (Self::Chunks, "chunks"),
        (Self::Tensors, "tensors"),
        (Self::Shard, "shard"),
        (Self::Session, "session"),
        (Self::Engine, "engine"),
        (Self::Idx, "idx"),
        (Self::Csv, "csv"),
        (Self::SpecToml, "spec_toml"),
        (Self::SpecJson, "spec_json"),
        (Self::Job, "job"),
        (Self::Safetensors, "safetensors"),
        (Self::Checkpoint, "checkpoint"),
    ];

    /// The target of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(target, _)| *target)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(target, _)| *target == self).map_or("", |(_, name)| name)
    }

    /// The folder of its committed inputs.
    #[must_use]
    pub fn corpus(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name())
    }
}

/// Gives `data` to a target.
///
/// # Panics
/// When the target does what it must not do.
pub fn run(target: Target, data: &[u8]) {
    match target {
        Target::ToCoordinator => wire::message::<protocol::ToCoordinator>(data),
        Target::ToWorker => wire::message::<protocol::ToWorker>(data),
        Target::Chunks => wire::chunks(data),
        Target::Tensors => wire::tensors(data),
        Target::Shard => wire::shard(data),
        Target::Session => session::run(data),
        Target::Engine => engine_events::run(data),
        Target::Idx => files::idx(data),
        Target::Csv => files::csv(data),
        Target::SpecToml => files::spec_toml(data),
        Target::SpecJson => files::spec_json(data),
        Target::Job => files::job(data),
        Target::Safetensors => files::safetensors(data),
        Target::Checkpoint => checkpoint::run(data),
    }
    // The highest mark so far: the first input to pass it is the one that this is about.
    let peak = ALLOCATOR.max_allocated();
    let bound = ALLOCATED_BYTES_MAX.max(8 * data.len());
    assert!(peak <= bound, "{peak} bytes were allocated for an input of {} bytes", data.len());
}
