//! Tests of the wire format: bytes that never change, decoders that never panic, one document.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod allocation;
mod chunks;
mod codecs;
mod document;
mod examples;
mod golden;
mod limits;
mod mutations;
mod orders;
mod round_trips;
mod shards;

use proptest::test_runner::Config;
use protocol::{Role, TensorInfo, TensorTable};

/// Bytes of hexadecimal digits; white space between them is for the reader.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits in {hex:?}");
    pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tensor(name: &str, shape: &[u32], role: Role) -> TensorInfo {
    TensorInfo { name: name.into(), shape: shape.into(), role }
}

fn table(tensors: &[TensorInfo]) -> TensorTable {
    TensorTable { tensors: tensors.into() }
}

/// A failing case is printed whole, so no files with seeds are kept.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
