//! Every message that keeps its limits comes back as it was; any bytes at all are survived.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::frame::{self, Message};
use protocol::message::{DeviceKind, Hello, ShardInfo};
use protocol::shard::{self, ColumnInfo, Dtype, Shard};
use protocol::{
    Assignment, Checksum, Codec, Digest, Identity, Lease, LeaseId, Outcome, Reason, Report, Role,
    RunId, Segment, SessionId, TensorInfo, TensorTable, ToCoordinator, ToWorker, Version,
};

use super::cases;

fn text(characters: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..characters).prop_map(|text| text.into_iter().collect())
}

fn lease_id() -> impl Strategy<Value = LeaseId> {
    any::<(u32, u64)>().prop_map(|(incarnation, number)| LeaseId { incarnation, number })
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u32, u64)>().prop_map(|(incarnation, number)| Version { incarnation, number })
}

fn hello() -> impl Strategy<Value = Hello> {
    let device = prop_oneof![Just(DeviceKind::Cpu), Just(DeviceKind::Gpu)];
    let texts = [text(60), text(60), text(60), text(60)];
    (texts, any::<[u8; 16]>(), any::<(u16, u16)>(), device, vec(lease_id(), 0..=16)).prop_map(
        |([token, name, device_name, software], identity, (slot, threads), device, leases)| Hello {
            token,
            identity: Identity(identity),
            slot,
            name,
            device,
            device_name,
            threads,
            software,
            leases,
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    let finite = any::<f64>().prop_filter("finite", |loss| loss.is_finite());
    (any::<[u64; 3]>(), finite).prop_map(|([steps, samples, busy_us], loss_sum)| Report {
        steps,
        samples,
        loss_sum,
        busy_us,
    })
}

fn to_coordinator() -> impl Strategy<Value = ToCoordinator> {
    prop_oneof![
        hello().prop_map(ToCoordinator::Hello),
        any::<u32>().prop_map(|run| ToCoordinator::LeaseRequest { run: RunId(run) }),
        (lease_id(), vec(lease_id(), 0..=16))
            .prop_map(|(lease, pending)| ToCoordinator::Pull { lease, pending }),
        (lease_id(), any::<u64>())
            .prop_map(|(lease, steps)| ToCoordinator::Progress { lease, steps }),
        (lease_id(), any::<u64>()).prop_map(|(lease, bytes)| ToCoordinator::Offer { lease, bytes }),
        (lease_id(), any::<u32>(), 1..=u64::MAX, report()).prop_map(
            |(lease, transfer, total, report)| ToCoordinator::Delta {
                lease,
                transfer,
                total,
                report
            }
        ),
        any::<(u32, u64)>()
            .prop_map(|(transfer, offset)| ToCoordinator::Chunk { transfer, offset }),
        (lease_id(), text(60)).prop_map(|(lease, reason)| ToCoordinator::Release { lease, reason }),
        text(60).prop_map(|reason| ToCoordinator::Bye { reason }),
    ]
}

fn tensors() -> impl Strategy<Value = TensorTable> {
    let role =
        prop_oneof![Just(Role::Parameter), Just(Role::Buffer), Just(Role::BufferNonNegative)];
    // The index keeps the names apart.
    vec((text(30), vec(1..9_u32, 0..=8), role), 0..9).prop_map(|tensors| TensorTable {
        tensors: tensors
            .into_iter()
            .enumerate()
            .map(|(index, (name, shape, role))| TensorInfo {
                name: format!("{index}{name}"),
                shape,
                role,
            })
            .collect(),
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::F32), Just(Codec::F16)]
}

fn assignment() -> impl Strategy<Value = Assignment> {
    let shard = (any::<[u8; 32]>(), 1..=u32::MAX, 0..=1_u32 << 20)
        .prop_map(|(digest, rows, bytes)| ShardInfo { digest: Digest(digest), rows, bytes });
    (any::<(u32, u64, bool)>(), text(60), text(500), tensors(), vec(shard, 0..9), codec(), codec())
        .prop_map(|((run, seed, fresh_optimizer), name, spec, table, shards, download, upload)| {
            Assignment {
                run: RunId(run),
                name,
                spec,
                table,
                seed,
                shards,
                download,
                upload,
                fresh_optimizer,
            }
        })
}

fn lease() -> impl Strategy<Value = Lease> {
    let segment = (any::<u32>(), 0..u32::MAX)
        .prop_flat_map(|(shard, start)| (Just(shard), Just(start), 1..=u32::MAX - start))
        .prop_map(|(shard, start, count)| Segment { shard, start, count });
    let rate = any::<f64>().prop_map(f64::abs).prop_filter("finite", |rate| rate.is_finite());
    (lease_id(), any::<(u32, u32)>(), vec(segment, 1..9), 1..=u32::MAX, any::<(u64, u64)>(), rate)
        .prop_map(|(id, (run, epoch), segments, batch_size, (seed, deadline_ms), rate)| Lease {
            id,
            run: RunId(run),
            epoch,
            segments,
            batch_size,
            seed,
            learning_rate: rate,
            deadline_ms,
        })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reasons = [
        Reason::Duplicate,
        Reason::UnknownLease,
        Reason::Length,
        Reason::NotFinite,
        Reason::Norm,
        Reason::Ended,
        Reason::Fenced,
    ];
    prop_oneof![
        version().prop_map(Outcome::Merged),
        proptest::sample::select(reasons.to_vec()).prop_map(Outcome::Rejected),
    ]
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    prop_oneof![
        (any::<u64>(), text(60)).prop_map(|(session, software)| ToWorker::Welcome {
            session: SessionId(session),
            software
        }),
        (text(60), any::<bool>()).prop_map(|(reason, retry)| ToWorker::Refused { reason, retry }),
        assignment().prop_map(ToWorker::Assign),
        lease().prop_map(ToWorker::Lease),
        (
            (lease_id(), version(), vec(lease_id(), 0..=16)),
            (any::<u32>(), 1..=u64::MAX, any::<u64>())
        )
            .prop_map(|((lease, version, contains), (transfer, total, checksum))| {
                let checksum = Checksum(checksum);
                ToWorker::Parameters { lease, version, contains, transfer, total, checksum }
            }),
        any::<(u32, u64)>().prop_map(|(transfer, offset)| ToWorker::Chunk { transfer, offset }),
        lease_id().prop_map(|lease| ToWorker::Grant { lease }),
        (lease_id(), outcome()).prop_map(|(lease, outcome)| ToWorker::Ack { lease, outcome }),
        (any::<u32>(), text(60))
            .prop_map(|(run, reason)| ToWorker::Ended { run: RunId(run), reason }),
        (0..=60_000_u32).prop_map(|reconnect_in_ms| ToWorker::Restarting { reconnect_in_ms }),
    ]
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(
    message: &M,
    payload: &[u8],
) -> Result<(), TestCaseError> {
    let payload = if message.has_payload() { payload } else { &[] };
    let frame = frame::encode(message, payload).unwrap();
    let (decoded, rest) = frame::decode::<M>(&frame).unwrap();
    prop_assert_eq!(&decoded, message);
    prop_assert_eq!(&rest[..], payload);
    Ok(())
}

fn survive<M: Message + PartialEq + std::fmt::Debug>(noise: &Bytes) -> Result<(), TestCaseError> {
    if let Ok((message, payload)) = frame::decode::<M>(noise) {
        round_trip(&message, &payload)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn messages_to_the_coordinator(message in to_coordinator(), payload in vec(any::<u8>(), 1..99)) {
        round_trip(&message, &payload)?;
    }

    #[test]
    fn messages_to_a_worker(message in to_worker(), payload in vec(any::<u8>(), 1..99)) {
        round_trip(&message, &payload)?;
    }

    #[test]
    fn noise(index in 0..9_u8, mut noise in vec(any::<u8>(), 1..200)) {
        noise[0] = index;
        let noise = Bytes::from(noise);
        survive::<ToCoordinator>(&noise)?;
        survive::<ToWorker>(&noise)?;
        // Whatever it says must not panic.
        drop(Shard::decode(&noise));
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn shards(rows in 1..20_u32, shapes in vec(vec(1..4_u32, 0..4), 1..5), seed in any::<u8>()) {
        let dtypes = [Dtype::U8, Dtype::I32, Dtype::F16, Dtype::F32];
        let columns: Vec<(ColumnInfo, Vec<u8>)> = shapes
            .into_iter()
            .enumerate()
            .map(|(index, shape)| {
                let dtype = dtypes[(index + usize::from(seed)) % 4];
                let info = ColumnInfo { name: format!("column {index}"), dtype, shape };
                let bytes = rows as usize * info.elements() * dtype.bytes();
                // No byte above 0x70: always a finite number.
                let values = (0..bytes).map(|at| (at as u8).wrapping_mul(seed) % 0x70).collect();
                (info, values)
            })
            .collect();
        let borrowed: Vec<_> =
            columns.iter().map(|(info, values)| (info.clone(), values.as_slice())).collect();
        let shard = Shard::decode(&shard::encode(rows, &borrowed).unwrap()).unwrap();
        prop_assert_eq!(shard.rows(), rows);
        for (info, values) in &columns {
            let column = shard.column(&info.name).unwrap();
            prop_assert_eq!(column.info, info);
            let mut decoded = Vec::new();
            (0..rows).for_each(|row| column.extend_f32(row, &mut decoded));
            let expected: Vec<f32> = match info.dtype {
                Dtype::U8 => values.iter().map(|&value| f32::from(value)).collect(),
                Dtype::I32 => words(values).map(|word| i32::from_le_bytes(word) as f32).collect(),
                Dtype::F32 => words(values).map(f32::from_le_bytes).collect(),
                Dtype::F16 => values
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|word| half::f16::from_le_bytes(*word).to_f32())
                    .collect(),
            };
            prop_assert_eq!(decoded, expected);
        }
    }
}

fn words(values: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    values.as_chunks::<4>().0.iter().copied()
}
