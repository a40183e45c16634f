//! Texts in the ledger: segments in few letters, and JSON whose numbers come back bit by bit.

use protocol::Segment;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Number, Value};

/// Begins a text that is a number with a fraction, and doubled a text that begins with it itself.
const MARK: char = '~';

/// `shard:start+count`, separated by commas.
pub(super) fn segments_text(segments: &[Segment]) -> String {
    let text = |segment: &Segment| {
        let Segment { shard, start, count } = segment;
        format!("{shard}:{start}+{count}")
    };
    segments.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads [`segments_text`]; `None` for anything else.
pub(super) fn segments_of(text: &str) -> Option<Vec<Segment>> {
    let segment = |part: &str| {
        let (shard, rest) = part.split_once(':')?;
        let (start, count) = rest.split_once('+')?;
        let [shard, start, count] = [shard, start, count].map(|number| number.parse().ok());
        Some(Segment { shard: shard?, start: start?, count: count? })
    };
    if text.is_empty() { Some(Vec::new()) } else { text.split(',').map(segment).collect() }
}

/// JSON from which [`from_json`] reads exactly the same numbers. Plain JSON is read by an algorithm
/// that is now and then off by the last bit, and a run that goes on must not differ by that.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(&marked(serde_json::to_value(value)?))
}

/// Reads [`to_json`].
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_value(unmarked(serde_json::from_str(text)?))
}

fn marked(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::String(format!("{MARK}{number}")),
        Value::String(text) if text.starts_with(MARK) => Value::String(format!("{MARK}{text}")),
        other => each(other, marked),
    }
}

fn unmarked(value: Value) -> Value {
    let Value::String(text) = &value else { return each(value, unmarked) };
    match text.strip_prefix(MARK) {
        Some(rest) if rest.starts_with(MARK) => Value::String(rest.to_owned()),
        Some(rest) => match rest.parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => value,
        },
        None => value,
    }
}

fn each(value: Value, change: fn(Value) -> Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(change).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, change(value))).collect())
        }
        other => other,
    }
}
