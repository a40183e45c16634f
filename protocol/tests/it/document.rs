//! docs/PROTOCOL.md says what the sources say: every message, field, value, limit and example.

use protocol::order::{generator, row_order};
use protocol::{Digest, Reason, codec, limits, order};
use rand_core::Rng;

use super::{bytes, examples, hex};

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

const MESSAGE: &str = include_str!("../../src/message.rs");
const LEASE: &str = include_str!("../../src/lease.rs");
const ID: &str = include_str!("../../src/id.rs");
const CHECKSUM: &str = include_str!("../../src/checksum.rs");
const TENSOR: &str = include_str!("../../src/tensor.rs");
const CODEC: &str = include_str!("../../src/codec.rs");
const FRAME: &str = include_str!("../../src/frame.rs");
const CHUNK: &str = include_str!("../../src/chunk.rs");
const SHARD: &str = include_str!("../../src/shard.rs");
const ORDER: &str = include_str!("../../src/order.rs");
const LIMITS: &str = include_str!("../../src/limits.rs");

const TO_COORDINATOR: &str = "## From a worker to the coordinator\n";
const TO_WORKER: &str = "## From the coordinator to a worker\n";

/// What stands in `text` after `start`, up to `end` or its own end.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, after) = text.split_once(start).unwrap_or_else(|| panic!("{start:?} is missing"));
    after.split_once(end).map_or(after, |(inside, _)| inside)
}

/// The section of the document, or of a part of it, with a type's or message's name as heading.
fn section<'a>(part: &'a str, name: &str) -> &'a str {
    between(part, &format!("### `{name}`"), "\n#")
}

fn assert_names(section: &str, owner: &str, name: &str) {
    assert!(section.contains(&format!("`{name}`")), "`{name}` is missing under `{owner}`");
}

/// A field stands in its section as `name` (`Type`).
fn assert_field(section: &str, owner: &str, field: &str) {
    let (name, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
    let entry = format!("\n- `{name}` (`{kind}`): ");
    assert!(section.contains(&entry), "{entry:?} is missing under `{owner}`");
}

fn leading_word(line: &str) -> &str {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The variants of an enum as rustfmt writes it, each with its fields.
fn variants(source: &'static str, name: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut variants: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in between(source, &format!("pub enum {name} {{\n"), "\n}").lines() {
        let word = leading_word(line.trim_start());
        match line.len() - line.trim_start().len() {
            4 if word.starts_with(char::is_uppercase) => variants.push((word, Vec::new())),
            8 if !word.is_empty() => variants.last_mut().unwrap().1.push(line.trim_start()),
            _ => {}
        }
    }
    variants
}

/// The names of a source's public items of one kind: `struct`, `enum` or `const`.
fn items(source: &'static str, kind: &str) -> Vec<&'static str> {
    let prefix = format!("pub {kind} ");
    source.lines().filter_map(|line| line.strip_prefix(&prefix)).map(leading_word).collect()
}

#[test]
fn messages_and_their_fields() {
    let directions = [("ToCoordinator", TO_COORDINATOR, 9), ("ToWorker", TO_WORKER, 9)];
    for (name, heading, least) in directions {
        let part = between(DOCUMENT, heading, "\n## ");
        let messages = variants(MESSAGE, name);
        assert!(messages.len() >= least, "the source is not understood: {messages:?}");
        for (index, (message, fields)) in messages.iter().enumerate() {
            let section = section(part, message);
            let start = format!("\nIndex {index}.");
            let with_payload = format!("\nIndex {index}, with payload");
            assert!(
                section.starts_with(&start) || section.starts_with(&with_payload),
                "{message} has index {index}"
            );
            fields.iter().for_each(|field| assert_field(section, message, field));
        }
    }
}

#[test]
fn structs_and_their_fields() {
    let mut fields = 0;
    for source in [MESSAGE, LEASE, TENSOR, ID, SHARD] {
        for name in items(source, "struct") {
            if ["Shard", "Column"].contains(&name) {
                continue; // Views of decoded bytes, never written to the wire.
            }
            let Some((_, after)) = source.split_once(&format!("pub struct {name} {{\n")) else {
                assert_names(DOCUMENT, "Types inside messages", name);
                continue;
            };
            let heading = if name == "Assignment" { "Assign" } else { name };
            let section = section(DOCUMENT, heading);
            for line in between(after, "", "\n}").lines() {
                if let Some(field) = line.strip_prefix("    pub ") {
                    assert_field(section, name, field);
                    fields += 1;
                }
            }
        }
    }
    assert!(fields > 40, "the sources are not understood: {fields} fields");
}

#[test]
fn small_enums_and_their_values() {
    for source in [MESSAGE, LEASE, TENSOR, CODEC, SHARD] {
        for name in items(source, "enum") {
            if name.ends_with("Error") || name.starts_with("To") {
                continue;
            }
            let section = section(DOCUMENT, name);
            for (value, _) in variants(source, name) {
                assert_names(section, name, value);
            }
        }
    }
    for (index, reason) in [
        Reason::Duplicate,
        Reason::UnknownLease,
        Reason::Length,
        Reason::NotFinite,
        Reason::Norm,
        Reason::Ended,
        Reason::Fenced,
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("| {index} | `{reason:?}` | `{}` |", reason.name());
        assert!(DOCUMENT.contains(&row), "no row {row}");
    }
}

/// 1048576 as 1,048,576.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[test]
fn constants_and_their_values() {
    let constants = [
        ("MESSAGE_BYTES_MAX", limits::MESSAGE_BYTES_MAX as u64),
        ("CHUNK_BYTES_MAX", limits::CHUNK_BYTES_MAX as u64),
        ("HEADER_BYTES_MAX", limits::HEADER_BYTES_MAX as u64),
        ("SPEC_BYTES_MAX", limits::SPEC_BYTES_MAX as u64),
        ("TEXT_BYTES_MAX", limits::TEXT_BYTES_MAX as u64),
        ("TOKEN_BYTES_MAX", limits::TOKEN_BYTES_MAX as u64),
        ("TENSORS_MAX", limits::TENSORS_MAX as u64),
        ("ELEMENTS_MAX", limits::ELEMENTS_MAX),
        ("RANK_MAX", limits::RANK_MAX as u64),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX as u64),
        ("SHARDS_MAX", limits::SHARDS_MAX as u64),
        ("SHARD_BYTES_MAX", limits::SHARD_BYTES_MAX as u64),
        ("COLUMNS_MAX", limits::COLUMNS_MAX as u64),
        ("SHARD_HEADER_BYTES_MAX", limits::SHARD_HEADER_BYTES_MAX as u64),
        ("SEGMENTS_MAX", limits::SEGMENTS_MAX as u64),
        ("PENDING_MAX", limits::PENDING_MAX as u64),
        ("LEASES_KEPT_MAX", limits::LEASES_KEPT_MAX as u64),
        ("RECONNECT_MS_MAX", limits::RECONNECT_MS_MAX.into()),
        ("HELLO_TIMEOUT", limits::HELLO_TIMEOUT.as_secs()),
        ("PING_INTERVAL", limits::PING_INTERVAL.as_secs()),
        ("IDLE_TIMEOUT", limits::IDLE_TIMEOUT.as_secs()),
        ("WRITE_TIMEOUT", limits::WRITE_TIMEOUT.as_secs()),
        ("UPLOAD_TIMEOUT", limits::UPLOAD_TIMEOUT.as_secs()),
        ("GRACE_MAX", limits::GRACE_MAX.as_secs()),
        ("REQUEST_HEAD_TIMEOUT", limits::REQUEST_HEAD_TIMEOUT.as_secs()),
        ("REQUEST_HEAD_BYTES_MAX", limits::REQUEST_HEAD_BYTES_MAX as u64),
        ("CONNECTIONS_MAX", limits::CONNECTIONS_MAX as u64),
        ("STRANGERS_PER_ADDRESS_MAX", limits::STRANGERS_PER_ADDRESS_MAX as u64),
        ("SESSIONS_PER_TOKEN_MAX", limits::SESSIONS_PER_TOKEN_MAX as u64),
        ("SLOTS_PER_IDENTITY_MAX", limits::SLOTS_PER_IDENTITY_MAX as u64),
        ("MESSAGES_PER_SECOND_MAX", limits::MESSAGES_PER_SECOND_MAX.into()),
        ("PULLS_MAX", limits::PULLS_MAX as u64),
        ("MESSAGES_WAITING_MAX", limits::MESSAGES_WAITING_MAX as u64),
        ("WRITE_BUFFER_BYTES_MAX", limits::WRITE_BUFFER_BYTES_MAX as u64),
        ("F16_ELEMENTS_MIN", codec::F16_ELEMENTS_MIN as u64),
        ("PURPOSE_CUT", order::PURPOSE_CUT),
        ("PURPOSE_SHARDS", order::PURPOSE_SHARDS),
        ("PURPOSE_ROWS", order::PURPOSE_ROWS),
        ("PURPOSE_PARAMETERS", order::PURPOSE_PARAMETERS),
        ("PURPOSE_LEASE", order::PURPOSE_LEASE),
    ];
    for (name, value) in constants {
        let row = format!("\n| `{name}` | {} |", grouped(value));
        assert!(DOCUMENT.contains(&row), "no row {row}");
    }
    for name in [LIMITS, CODEC, ORDER].into_iter().flat_map(|source| items(source, "const")) {
        let listed = name == "_" || constants.iter().any(|(listed, _)| *listed == name);
        assert!(listed, "{name} is missing in the list above");
    }
    assert_names(DOCUMENT, "A session", protocol::SUBPROTOCOL);
}

#[test]
fn the_frame_that_is_taken_apart() {
    let table = between(DOCUMENT, "### One frame, byte by byte\n", "\n#");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let frame: Vec<u8> = cells.flat_map(|(cell, _)| bytes(cell)).collect();
    assert_eq!(hex(&frame), hex(&examples::lease().frame()));
}

#[test]
fn orders_to_check_against() {
    let assert_row = |call: &str, value: &str| {
        let row = format!("| `{call}` | {value} |");
        assert!(DOCUMENT.contains(&row), "no row {row}");
    };
    let mut generator = generator(42, 4, 7);
    let first = format!("{:#018x}, {:#018x}, ...", generator.next_u64(), generator.next_u64());
    assert_row("generator(42, 4, 7)", &first);
    let list = |order: Vec<u32>| order.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    assert_row("row_order(42, 0, 0, 10)", &list(row_order(42, 0, 0, 10)));
    assert_row("row_order(42, 3, 5, 10)", &list(row_order(42, 3, 5, 10)));
}

#[test]
fn the_sources_are_those_that_were_described() {
    let sources =
        [MESSAGE, LEASE, ID, CHECKSUM, TENSOR, CODEC, FRAME, CHUNK, SHARD, ORDER, LIMITS].concat();
    let digest = Digest::of(sources.as_bytes());
    assert!(
        DOCUMENT.contains(&format!("`{digest}`")),
        "the protocol's sources changed: read the change, update docs/PROTOCOL.md where it is no \
         longer true, then put this hash at its end: {digest}"
    );
}
