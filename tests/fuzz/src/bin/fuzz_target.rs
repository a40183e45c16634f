//! The program that libFuzzer drives: one binary for all targets, as Burn takes long to link.
//!
//! `HERD_FUZZ_TARGET` names the target; the arguments are libFuzzer's. Start it as
//! `cargo xtask fuzz`, which builds it with the instructions that count coverage.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let name = std::env::var("HERD_FUZZ_TARGET").unwrap_or_default();
    Target::of(&name).unwrap_or_else(|| {
        let names = Target::ALL.map(|(_, name)| name).join(", ");
        panic!("HERD_FUZZ_TARGET is {name:?}; it must be one of: {names}")
    })
}

fuzz_target!(|data: &[u8]| fuzz::run(*TARGET.get_or_init(target), data));
