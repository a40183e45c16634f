//! Lengths that lie must not cost memory: the decoders run in a process that is given little.

use protocol::frame;
use protocol::shard::Shard;
use protocol::{ToCoordinator, ToWorker};

use super::{bytes, examples};

/// Set in the process that has little memory.
const LIMITED: &str = "HERD_TEST_LIMITED";

/// Address space of that process in KiB: its own stacks and heaps, and room for some frames.
const KIBIBYTES: &str = "400000";

/// Every position of the golden bytes replaced by a length of 2^35 (2^31 where that is too long).
fn lie(original: &[u8], mut decode: impl FnMut(Vec<u8>)) {
    for at in 0..original.len() {
        for length in ["808080808001", "8080808008"] {
            let mut lying = original[..at].to_vec();
            lying.extend(bytes(length));
            lying.extend_from_slice(&original[at + 1..]);
            lying.resize(lying.len() + 1000, 0);
            decode(lying);
        }
    }
}

fn decode_lies() {
    for example in examples::to_coordinator() {
        lie(&example.frame(), |frame| drop(frame::decode::<ToCoordinator>(&frame.into())));
    }
    for example in examples::to_worker() {
        lie(&example.frame(), |frame| drop(frame::decode::<ToWorker>(&frame.into())));
    }
    lie(&bytes(examples::SHARD), |shard| drop(Shard::decode(&shard.into())));
    // As many empty tensors, columns and leases as a frame's bytes can name.
    let mut tensors = bytes("02 07 00 00 ffff7f");
    tensors.resize(1 << 20, 0);
    assert!(frame::decode::<ToWorker>(&tensors.into()).is_err());
    let mut pending = bytes("02 0000 ffff7f");
    pending.resize(1 << 20, 0);
    assert!(frame::decode::<ToCoordinator>(&pending.into()).is_err());
    let mut columns = bytes("01 ffff7f");
    columns.resize(1 << 20, 0);
    assert!(Shard::decode(&columns.into()).is_err());
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    if !cfg!(unix) || std::env::var_os(LIMITED).is_some() {
        decode_lies();
        return;
    }
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", KIBIBYTES])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "allocation::lengths_that_lie_cost_no_memory", "--test-threads=1"])
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
