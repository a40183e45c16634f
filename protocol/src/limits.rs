//! Every limit of the wire, with its unit and the reason for it. docs/PROTOCOL.md lists them.

use std::time::Duration;

/// Longest WebSocket message: one chunk after its header, which is under 1 KiB, or a header alone.
/// Small enough that control frames interleave with a big transfer, big enough that framing costs
/// nothing.
pub const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX + (1 << 10);

/// Longest run of payload bytes in one message. Larger payloads are cut into chunks.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Longest postcard header. `Assign` is the largest: it carries the spec, the list of shards, and
/// the shape table, for which 200 KiB are left when the other two are as long as can be.
pub const HEADER_BYTES_MAX: usize = 1 << 20;

/// Longest model spec (JSON) in an `Assign`.
pub const SPEC_BYTES_MAX: usize = 128 << 10;

/// Longest free text: names, reasons, descriptions of a device.
pub const TEXT_BYTES_MAX: usize = 256;

/// Longest token: 32 bytes as base64url are 43; the rest is room for other issuers.
pub const TOKEN_BYTES_MAX: usize = 256;

/// Most tensors of a model: a thousand layers with a few tensors each.
pub const TENSORS_MAX: usize = 4096;

/// Most values of a model: 1 GiB as f32. A browser tab holds no more.
pub const ELEMENTS_MAX: u64 = 1 << 28;

/// Most dimensions of a tensor.
pub const RANK_MAX: usize = 8;

/// Longest tensor name.
pub const NAME_BYTES_MAX: usize = 128;

/// Most shards of a run: 16 GiB of samples, whose list fits into one header.
pub const SHARDS_MAX: usize = 1 << 14;

/// Largest shard: small enough for a phone to fetch and keep, large enough to fetch few.
pub const SHARD_BYTES_MAX: usize = 1 << 20;

/// Most columns of a shard.
pub const COLUMNS_MAX: usize = 16;

/// Longest header of a shard: more than its columns can fill with the longest names and shapes.
pub const SHARD_HEADER_BYTES_MAX: usize = 4 << 10;

/// Most segments of a lease: with one per shard, an epoch of a 1 GiB data set in one lease.
pub const SEGMENTS_MAX: usize = 1024;

/// Most of its own deltas that a worker may name as pending in a pull.
pub const PENDING_MAX: usize = 16;

/// Most leases that a worker may name when it comes back: what it can hold, with room to spare.
pub const LEASES_KEPT_MAX: usize = 16;

/// Longest time after which a worker is asked to come back, in milliseconds: a minute, in which a
/// coordinator is started again.
pub const RECONNECT_MS_MAX: u32 = 60_000;

/// Time for the first message after the upgrade.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker is pinged so often; any frame of its shows that it lives.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A session without any frame for so long is dead, to either end: three pings unanswered.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Time for one message to leave: a slower reader holds memory that others need.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time from a grant to its upload, or from one MiB of an upload to the next: others wait for the place.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A worker whose connection is lost keeps its leases for so long, if they last that long: it may
/// be a wireless link that comes back.
pub const GRACE_MAX: Duration = Duration::from_secs(30);

/// Time for the head of an HTTP request, counted from the connection or from the last answer: who is
/// silent or slow gives the connection back.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of an HTTP request: what browsers send is a few KiB.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 << 10;

/// Connections of a coordinator that are open at a time; fewer where the system gives it fewer
/// descriptors. Sessions, the shards that they fetch, and people who look on.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Connections of one address that are open at a time and have not shown the run's token. A class of
/// 30 behind one router loads the page with six connections each.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 256;

/// Sessions that one token admits at a time: more workers than a coordinator can serve, and fewer
/// than its connections, so that the page and shards are still served.
pub const SESSIONS_PER_TOKEN_MAX: usize = 12_000;

/// Slots of one identity that have sessions at a time: the cores of a large machine.
pub const SLOTS_PER_IDENTITY_MAX: usize = 64;

/// Messages of a session that are read in a second, pings and chunks among them; further ones are read
/// later. Five messages a lease at 2,000 leases a second: more than one worker trains.
pub const MESSAGES_PER_SECOND_MAX: u32 = 10_000;

/// Pulls of a session without an answer: a worker has one, for its next lease, and may have given up
/// others.
pub const PULLS_MAX: usize = 4;

/// Messages that wait for a worker which reads slowly: a lease loop has a handful under way.
pub const MESSAGES_WAITING_MAX: usize = 64;

/// Bytes of messages that a session's socket has not taken yet.
pub const WRITE_BUFFER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// Postcard's longest encoding of a length, a dimension or a `u32`.
const VARINT_BYTES: usize = 5;

const _: () = {
    let shard = 32 + 2 * VARINT_BYTES;
    assert!(SPEC_BYTES_MAX + SHARDS_MAX * shard + (200 << 10) < HEADER_BYTES_MAX);
    let column = VARINT_BYTES + NAME_BYTES_MAX + 1 + VARINT_BYTES * (1 + RANK_MAX);
    assert!(2 * VARINT_BYTES + COLUMNS_MAX * column < SHARD_HEADER_BYTES_MAX);
    assert!(SHARD_BYTES_MAX <= CHUNK_BYTES_MAX);
    assert!(HEADER_BYTES_MAX <= MESSAGE_BYTES_MAX);
    assert!(SESSIONS_PER_TOKEN_MAX < CONNECTIONS_MAX);
};
