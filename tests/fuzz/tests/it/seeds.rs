//! The files `seed-*` of the corpus: valid inputs, so that fuzzing begins behind the first checks,
//! and headers that claim more than is there. Their bytes follow from the encoders.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;

use coordinator::data::Names;
use coordinator::storage::encode_model;
use flate2::Compression;
use flate2::write::GzEncoder;
use fuzz::Target;
use model::{Plan, Spec};
use protocol::frame::{self, Message};
use protocol::message::{DeviceKind, Hello, ShardInfo};
use protocol::shard::{self, ColumnInfo, Dtype};
use protocol::{
    Assignment, Checksum, Codec, Digest, Identity, Lease, LeaseId, Outcome, Reason, Report, Role,
    RunId, Segment, SessionId, TensorInfo, TensorTable, ToCoordinator, ToWorker, Version,
};

use super::{corpus, examples};

/// A file of the corpus.
type Seed = (Target, String, Vec<u8>);

const LEASE: LeaseId = LeaseId { incarnation: 3, number: 300 };
const EARLIER: LeaseId = LeaseId { incarnation: 3, number: 299 };

#[test]
fn seeds_are_what_the_encoders_make() {
    let update = env::var_os("HERD_UPDATE_CORPUS").is_some();
    let seeds = seeds();
    for (target, name, bytes) in &seeds {
        let path = target.corpus().join(name);
        if update {
            fs::create_dir_all(target.corpus()).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let is_same = fs::read(&path).is_ok_and(|content| content == *bytes);
        assert!(is_same, "{path:?} is stale: run this test with HERD_UPDATE_CORPUS=1");
    }
    let known: BTreeSet<_> =
        seeds.iter().map(|(target, name, _)| target.corpus().join(name)).collect();
    for (target, _) in Target::ALL {
        for path in corpus(target).into_iter().map(|entry| entry.path) {
            let is_seed =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
            assert!(!is_seed || known.contains(&path), "{path:?} is no seed any more: delete it");
        }
    }
}

fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    messages(&mut seeds);
    payloads(&mut seeds);
    idx(&mut seeds);
    models(&mut seeds);
    checkpoints(&mut seeds);
    for (target, name, text) in examples::TEXTS {
        seeds.push((target, format!("seed-{name}"), text.as_bytes().to_vec()));
    }
    for (target, name, bytes) in examples::SEQUENCES {
        seeds.push((target, format!("seed-{name}"), bytes.to_vec()));
    }
    seeds
}

fn messages(seeds: &mut Vec<Seed>) {
    fn add<M: Message>(seeds: &mut Vec<Seed>, target: Target, name: &str, message: &M) {
        let payload: &[u8] = if message.has_payload() { &[1, 2, 3, 4] } else { &[] };
        let frame = frame::encode(message, payload).unwrap();
        seeds.push((target, format!("seed-{name}"), frame.to_vec()));
    }
    for (name, message) in to_coordinator() {
        add(seeds, Target::ToCoordinator, name, &message);
    }
    for (name, message) in to_worker() {
        add(seeds, Target::ToWorker, name, &message);
    }
    // The largest length of a list that a varint can say, in a pull, an assignment and a lease.
    let hostile: [(Target, &str, &[u8]); 3] = [
        (Target::ToCoordinator, "hostile-pull", &[2, 3, 1]),
        (Target::ToWorker, "hostile-assign", &[2, 7, 0, 0]),
        (Target::ToWorker, "hostile-lease", &[3, 3, 1, 7, 1]),
    ];
    for (target, name, start) in hostile {
        let length = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x01];
        seeds.push((target, format!("seed-{name}"), [start, &length].concat()));
    }
}

fn to_coordinator() -> Vec<(&'static str, ToCoordinator)> {
    let report = Report { steps: 10, samples: 640, loss_sum: 1.5, busy_us: 2_000_000 };
    let hello = Hello {
        token: "secret".into(),
        identity: Identity(std::array::from_fn(|index| index as u8)),
        slot: 300,
        name: "lab-7".into(),
        device: DeviceKind::Gpu,
        device_name: "llvmpipe".into(),
        threads: 2,
        software: "herd".into(),
        leases: vec![EARLIER],
    };
    vec![
        ("hello", ToCoordinator::Hello(hello)),
        ("request", ToCoordinator::LeaseRequest { run: RunId(7) }),
        ("pull", ToCoordinator::Pull { lease: LEASE, pending: vec![EARLIER; 2] }),
        ("progress", ToCoordinator::Progress { lease: LEASE, steps: 128 }),
        ("offer", ToCoordinator::Offer { lease: LEASE, bytes: 5_000_000 }),
        ("delta", ToCoordinator::Delta { lease: LEASE, transfer: 9, total: 1 << 21, report }),
        ("chunk", ToCoordinator::Chunk { transfer: 9, offset: 1 << 20 }),
        ("release", ToCoordinator::Release { lease: LEASE, reason: "stopped".into() }),
        ("bye", ToCoordinator::Bye { reason: "bye".into() }),
    ]
}

fn to_worker() -> Vec<(&'static str, ToWorker)> {
    let version = Version { incarnation: 3, number: 17 };
    let ack = |outcome| ToWorker::Ack { lease: LEASE, outcome };
    let assignment = Assignment {
        run: RunId(7),
        name: "digits".into(),
        spec: "{}".into(),
        table: table(&[("w", 6, Role::Parameter), ("v", 3, Role::BufferNonNegative)]),
        seed: 42,
        shards: vec![ShardInfo { digest: Digest([0x11; 32]), rows: 1000, bytes: 786_432 }],
        download: Codec::F16,
        upload: Codec::F32,
        fresh_optimizer: true,
    };
    let segment = |shard, start, count| Segment { shard, start, count };
    let lease = Lease {
        id: LEASE,
        run: RunId(7),
        epoch: 1,
        segments: vec![segment(0, 0, 64), segment(5, 10, 576)],
        batch_size: 64,
        seed: 1 << 63,
        learning_rate: 0.1,
        deadline_ms: 30_000,
    };
    let parameters = ToWorker::Parameters {
        lease: LEASE,
        version,
        contains: vec![EARLIER],
        transfer: 4,
        total: 6,
        checksum: Checksum(0x1234_5678),
    };
    vec![
        ("welcome", ToWorker::Welcome { session: SessionId(u64::MAX), software: "herd".into() }),
        ("refused", ToWorker::Refused { reason: "no".into(), retry: true }),
        ("assign", ToWorker::Assign(assignment)),
        ("lease", ToWorker::Lease(lease)),
        ("parameters", parameters),
        ("chunk", ToWorker::Chunk { transfer: 4, offset: 1 << 20 }),
        ("grant", ToWorker::Grant { lease: LEASE }),
        ("merged", ack(Outcome::Merged(version))),
        ("rejected", ack(Outcome::Rejected(Reason::Fenced))),
        ("ended", ToWorker::Ended { run: RunId(7), reason: "done".into() }),
        ("alive", ToWorker::Alive),
        ("restarting", ToWorker::Restarting { reconnect_in_ms: 300 }),
    ]
}

fn table(tensors: &[(&str, u32, Role)]) -> TensorTable {
    let tensor = |&(name, side, role): &(&str, u32, Role)| TensorInfo {
        name: name.to_owned(),
        shape: vec![side],
        role,
    };
    TensorTable { tensors: tensors.iter().map(tensor).collect() }
}

/// Shards, chunks and tensors. Chunks and tensors begin with what the target reads of its own.
fn payloads(seeds: &mut Vec<Seed>) {
    let column = |name: &str, dtype, shape: &[u32]| ColumnInfo {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
    };
    let floats: Vec<u8> = [0.5_f32, -100.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let columns: [(ColumnInfo, &[u8]); 4] = [
        (column("input", Dtype::U8, &[2]), &[0, 1, 2, 3]),
        (column("target", Dtype::I32, &[]), &[7, 0, 0, 0, 255, 255, 255, 255]),
        (column("weight", Dtype::F16, &[1]), &[0, 0x3c, 0, 0xc0]),
        (column("extra", Dtype::F32, &[1]), &floats),
    ];
    let shard = shard::encode(2, &columns).unwrap();
    seeds.push((Target::Shard, "seed-four-columns".into(), shard.to_vec()));
    let small = shard::encode(
        1,
        &columns[..1].iter().map(|(info, _)| (info.clone(), &[9, 9][..])).collect::<Vec<_>>(),
    );
    seeds.push((Target::Shard, "seed-one-column".into(), small.unwrap().to_vec()));
    // 2^32 - 1 rows of 2^20 values.
    let claim =
        [&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, b'x', 3, 1, 0x80, 0x80, 0x40][..], &[0; 4]].concat();
    seeds.push((Target::Shard, "seed-hostile-rows".into(), claim));

    let chunks = |total: u32, limit: u32, rest: &[u8]| {
        [&total.to_le_bytes(), &limit.to_le_bytes(), rest].concat()
    };
    let whole = chunks(4, 100, &[4, 1, 2, 3, 4]);
    let three = chunks(6, 6, &[2, 1, 2, 9, 2, 3, 4, 9, 2, 5, 6]);
    let over = chunks(3, 100, &[2, 1, 2, 9, 2, 3, 4]);
    let apart = chunks(6, 100, &[2, 1, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 3, 4]);
    let claim = chunks(u32::MAX, u32::MAX, &[1, 1, 9, 1, 2]);
    let named = [
        ("whole", whole),
        ("three", three),
        ("over", over),
        ("apart", apart),
        ("hostile-total", claim),
    ];
    for (name, bytes) in named {
        seeds.push((Target::Chunks, format!("seed-{name}"), bytes));
    }

    let singles =
        [&[0, 0, 0, 4, 0][..], &[0; 12], &1.5_f32.to_le_bytes(), &f32::MAX.to_le_bytes()].concat();
    seeds.push((Target::Tensors, "seed-singles".into(), singles));
    let not_finite = [&[0, 0, 0, 0, 0][..], &f32::NAN.to_le_bytes()].concat();
    seeds.push((Target::Tensors, "seed-not-finite".into(), not_finite));
    // 5000 halves and three variances: exponent -13, then values.
    let halves =
        [&[1, 1, 0, 0x87, 0x13, 2, 2, 0][..], &[0xf3, 0xff, 0, 0x70, 0, 0xec, 0x89, 0x80]].concat();
    seeds.push((Target::Tensors, "seed-halves".into(), halves));
}

fn idx(seeds: &mut Vec<Seed>) {
    let file = |shape: &[u32], values: &[u8]| {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
        bytes.extend(values);
        bytes
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let images = file(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let labels = file(&[3], &[0, 1, 2]);
    for (name, bytes) in [
        ("images-gz", gzip(&images)),
        ("labels-gz", gzip(&labels)),
        ("images", images),
        ("labels", labels),
        ("no-rows", file(&[0, 5], &[])),
        ("hostile-sides", file(&[u32::MAX; 3], &[1])),
        ("hostile-gz", gzip(&file(&[1 << 30], &[0; 100]))),
    ] {
        seeds.push((Target::Idx, format!("seed-{name}"), bytes));
    }
}

fn models(seeds: &mut Vec<Seed>) {
    let names = Names {
        features: vec!["length, cm".into(), "größe".into()],
        classes: vec!["a\"b".into(), "c".into(), "d".into()],
        label: "kind".into(),
        ..Names::default()
    };
    let model = |text: &str| {
        let plan = Plan::new(&Spec::from_toml(text).unwrap()).unwrap();
        encode_model(Path::new("m"), &plan, &names, &plan.initial(1)).unwrap()
    };
    let dense = model(
        "input = [2]\nloss = \"mse\"\noptimizer = \"sgd\"\nlayers = [{ type = \"dense\", units = 3 }]",
    );
    let norm = model(
        "input = [2]\nloss = \"mse\"\noptimizer = \"adam\"\n\
         layers = [{ type = \"dense\", units = 1 }, { type = \"batch_normalization\" }]",
    );
    // The header's length is that of the file, and its spec names a model of 1 GiB.
    let text = String::from_utf8_lossy(&dense).replace("\\\"units\\\":3", "\\\"units\\\":89478485");
    let header = text.split_once('{').map(|(_, rest)| rest.rsplit_once('}').unwrap().0).unwrap();
    let header = format!("{{{header}}}").into_bytes();
    let hostile = [&(header.len() as u64).to_le_bytes()[..], &header, &[0; 36]].concat();
    let claim = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    for (name, bytes) in [
        ("dense", dense),
        ("normalization", norm),
        ("hostile-spec", hostile),
        ("hostile-header", claim),
    ] {
        seeds.push((Target::Safetensors, format!("seed-{name}"), bytes));
    }
}

/// States of the run that the target takes for its own, and files of parameters by hand.
fn checkpoints(seeds: &mut Vec<Seed>) {
    let state = |open: &str, merged: u64| {
        let counts = format!(
            r#"{{"samples":{merged},"units":1,"leases":1,"backup":0,"expired":0,"released":0,"duplicate":0,"late":0,"re_leased":0,"rejected":{{}},"dropped":{{}}}}"#
        );
        let none = counts.replace(&format!("\"samples\":{merged}"), "\"samples\":0");
        format!(
            r#"{{"merges":1,"merged_samples":{merged},"lease_samples":4.0,"epochs_begun":1,"last_unit":1,"totals":{none},"open":[{{"index":0,"shelves":[{open}],"summary":{counts}}}],"screening":{{"accepted":1,"first":null,"recent":[0.5]}}}}"#
        )
    };
    let rest =
        r#"{"shard":0,"ranges":[[4,6]],"begun":true},{"shard":1,"ranges":[[0,6]],"begun":false}"#;
    let file = |header: &str, bytes: usize| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
    };
    let tensor = |name: &str, side: u32, start: u32, end: u32| {
        format!(r#""{name}":{{"dtype":"F32","shape":[{side}],"data_offsets":[{start},{end}]}}"#)
    };
    let values = [tensor("v", 1, 0, 4), tensor("w", 2, 4, 12)].join(",");
    let momentum = [tensor("momentum/v", 1, 12, 16), tensor("momentum/w", 2, 16, 24)].join(",");
    for (name, bytes) in [
        ("state", state(rest, 4).into_bytes()),
        ("state-lost-row", state(&rest.replace("[4,6]", "[4,5]"), 4).into_bytes()),
        ("state-beyond", state(&rest.replace("[4,6]", "[4294967295,6]"), 4).into_bytes()),
        ("parameters", file(&format!("{{{values}}}"), 12)),
        ("momentum", file(&format!("{{{values},{momentum}}}"), 24)),
    ] {
        seeds.push((Target::Checkpoint, format!("seed-{name}"), bytes));
    }
}
