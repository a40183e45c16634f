//! One example of every message with its bytes, written by hand from docs/PROTOCOL.md.
//!
//! These bytes are the protocol: change them only together with the subprotocol's number.

use protocol::message::{DeviceKind, Hello, ShardInfo};
use protocol::{
    Assignment, Checksum, Codec, Digest, Identity, Lease, LeaseId, Outcome, Reason, Report, Role,
    RunId, Segment, SessionId, ToCoordinator, ToWorker, Version,
};

use super::{bytes, table, tensor};

/// A message, its payload, and the header's bytes.
pub(crate) struct Example<M> {
    pub(crate) message: M,
    pub(crate) payload: Vec<u8>,
    pub(crate) header: Vec<u8>,
}

impl<M> Example<M> {
    fn new(message: M, payload: &str, header: &str) -> Self {
        Self { message, payload: bytes(payload), header: bytes(header) }
    }

    pub(crate) fn frame(&self) -> bytes::Bytes {
        [self.header.as_slice(), &self.payload].concat().into()
    }
}

const LEASE: LeaseId = LeaseId { incarnation: 3, number: 300 };
const EARLIER: LeaseId = LeaseId { incarnation: 3, number: 299 };

/// Every message to the coordinator, in the order of the enum.
pub(crate) fn to_coordinator() -> Vec<Example<ToCoordinator>> {
    vec![
        Example::new(
            ToCoordinator::Hello(Hello {
                token: "secret".into(),
                identity: Identity([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
                slot: 300,
                name: "lab-7".into(),
                device: DeviceKind::Gpu,
                device_name: "llvmpipe".into(),
                threads: 2,
                software: "herd 0.1.0".into(),
                leases: vec![EARLIER],
            }),
            "",
            "00 06736563726574 000102030405060708090a0b0c0d0e0f ac02 056c61622d37 01
             086c6c766d70697065 02 0a6865726420302e312e30 01 03ab02",
        ),
        Example::new(ToCoordinator::LeaseRequest { run: RunId(7) }, "", "01 07"),
        Example::new(
            ToCoordinator::Pull {
                lease: LEASE,
                pending: vec![EARLIER, LeaseId { incarnation: 2, number: 1 }],
            },
            "",
            "02 03ac02 02 03ab02 0201",
        ),
        Example::new(ToCoordinator::Progress { lease: LEASE, steps: 128 }, "", "03 03ac02 8001"),
        Example::new(
            ToCoordinator::Offer { lease: LEASE, bytes: 5_000_000 },
            "",
            "04 03ac02 c096b102",
        ),
        Example::new(
            ToCoordinator::Delta {
                lease: LEASE,
                transfer: 9,
                total: 1 << 21,
                report: Report { steps: 10, samples: 640, loss_sum: 1.5, busy_us: 2_000_000 },
            },
            "deadbeef",
            "05 03ac02 09 80808001 0a 8005 000000000000f83f 80897a",
        ),
        Example::new(ToCoordinator::Chunk { transfer: 9, offset: 1 << 20 }, "0001", "06 09 808040"),
        Example::new(
            ToCoordinator::Release { lease: LEASE, reason: "stopped".into() },
            "",
            "07 03ac02 0773746f70706564",
        ),
        Example::new(ToCoordinator::Bye { reason: "bye".into() }, "", "08 03627965"),
    ]
}

fn assignment() -> Assignment {
    Assignment {
        run: RunId(7),
        name: "digits".into(),
        spec: "{}".into(),
        table: table(&[
            tensor("dense.kernel", &[2, 3], Role::Parameter),
            tensor("norm.variance", &[3], Role::BufferNonNegative),
        ]),
        seed: 42,
        shards: vec![ShardInfo { digest: Digest([0x11; 32]), rows: 1000, bytes: 786_432 }],
        download: Codec::F16,
        upload: Codec::F32,
        fresh_optimizer: true,
    }
}

/// A lease with two segments; docs/PROTOCOL.md takes its frame apart byte by byte.
pub(crate) fn lease() -> Example<ToWorker> {
    Example::new(
        ToWorker::Lease(Lease {
            id: LEASE,
            run: RunId(7),
            epoch: 1,
            segments: vec![
                Segment { shard: 0, start: 0, count: 64 },
                Segment { shard: 5, start: 10, count: 576 },
            ],
            batch_size: 64,
            seed: 1 << 63,
            learning_rate: 0.1,
            deadline_ms: 30_000,
        }),
        "",
        "03 03ac02 07 01 02 000040 050ac004 40 80808080808080808001 9a9999999999b93f b0ea01",
    )
}

/// Every message to a worker, in the order of the enum.
pub(crate) fn to_worker() -> Vec<Example<ToWorker>> {
    vec![
        Example::new(
            ToWorker::Welcome { session: SessionId(u64::MAX), software: "herd 0.1.0".into() },
            "",
            "00 ffffffffffffffffff01 0a6865726420302e312e30",
        ),
        Example::new(ToWorker::Refused { reason: "no".into(), retry: true }, "", "01 026e6f 01"),
        Example::new(
            ToWorker::Assign(assignment()),
            "",
            "02 07 06646967697473 027b7d
             02 0c64656e73652e6b65726e656c 020203 00 0d6e6f726d2e76617269616e6365 0103 02 2a
             01 1111111111111111111111111111111111111111111111111111111111111111 e807 808030
             01 00 01",
        ),
        lease(),
        Example::new(
            ToWorker::Parameters {
                lease: LEASE,
                version: Version { incarnation: 3, number: 17 },
                contains: vec![EARLIER],
                transfer: 4,
                total: 6,
                checksum: Checksum(0x1234_5678),
            },
            "010203040506",
            "04 03ac02 0311 01 03ab02 04 06 f8acd19101",
        ),
        Example::new(ToWorker::Chunk { transfer: 4, offset: 1 << 20 }, "ff", "05 04 808040"),
        Example::new(ToWorker::Grant { lease: LEASE }, "", "06 03ac02"),
        Example::new(
            ToWorker::Ack {
                lease: LEASE,
                outcome: Outcome::Merged(Version { incarnation: 3, number: 18 }),
            },
            "",
            "07 03ac02 00 0312",
        ),
        Example::new(
            ToWorker::Ended { run: RunId(7), reason: "done".into() },
            "",
            "08 07 04646f6e65",
        ),
        Example::new(ToWorker::Alive, "", "09"),
        Example::new(ToWorker::Restarting { reconnect_in_ms: 300 }, "", "0a ac02"),
    ]
}

/// The other outcome of a delta.
pub(crate) fn rejected() -> Example<ToWorker> {
    Example::new(
        ToWorker::Ack { lease: LEASE, outcome: Outcome::Rejected(Reason::NotFinite) },
        "",
        "07 03ac02 01 03",
    )
}

/// Eight values of a half tensor, and their bytes when the largest of them is the tensor's.
pub(crate) const HALVES: ([f32; 8], &str) = (
    [1.0, -0.5, 0.25, 0.0, 3.0, -1e-9, 1.0 / 16_384.0, 1.0 + 1.0 / 1024.0],
    "0070 00ec 0068 0000 0076 8980 0038 0170",
);

/// The exponent that stands before them: -13.
pub(crate) const HALVES_EXPONENT: &str = "f3ff";

/// A shard of two rows with a column of each type.
pub(crate) const SHARD: &str = "02 04
    05696e707574 00 020202  06746172676574 01 00  06776569676874 02 0101  056578747261 03 0101
    00010203 fcfdfeff  07000000 ffffffff  003c 00c0  0000003f 0000c8c2";
