//! One leaf, for people and for machines.

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::domain::time::Instant;

pub(super) fn print(index: u64, bytes: &[u8], output: &mut Output) -> Result<(), CliError> {
    let leaf: Option<Value> = serde_json::from_slice(bytes).ok();
    if output.is_json() {
        // A leaf of a form that this program does not know is still shown, byte for byte.
        let raw = leaf.is_none().then(|| hex::encode(bytes));
        return output.json(&json!({ "v": 1, "index": index, "leaf": leaf, "leaf_hex": raw }));
    }
    let line = leaf.as_ref().and_then(|leaf| in_words(index, leaf));
    output.line(&line.unwrap_or_else(|| format!("{index:>8}  {}", String::from_utf8_lossy(bytes))))
}

/// `None` when the leaf lacks what every leaf of ours has.
fn in_words(index: u64, leaf: &Value) -> Option<String> {
    let text = |member: &str| leaf.get(member).and_then(Value::as_str);
    let number = |member: &str| leaf.get(member).and_then(Value::as_u64);
    let time = leaf.get("time")?;
    let time = match time.as_i64() {
        Some(seconds) => Instant::from_unix(seconds).to_string(),
        None => time.as_str()?.to_owned(),
    };
    let (event, verb, caller) = (text("event")?, text("verb")?, text("caller")?);
    let mut line = format!("{index:>8}  {time}  {event:<14}  {verb:<13}  {caller}");
    for (name, value) in [
        ("", text("repository").map(str::to_owned)),
        ("", text("role").map(str::to_owned)),
        ("version ", number("version").map(|version| version.to_string())),
        ("", text("subject").map(str::to_owned)),
        ("reason ", text("reason").map(str::to_owned)),
        ("count ", number("count").map(|count| count.to_string())),
        ("request ", text("request").map(str::to_owned)),
    ] {
        if let Some(value) = value {
            line.push_str("  ");
            line.push_str(name);
            line.push_str(&value);
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit_event::{Event, EventKind};
    use crate::domain::caller::Caller;

    #[test]
    fn an_event_becomes_a_line_and_anything_else_does_not() {
        let time = Instant::from_unix(0);
        let mut event = Event::new(time, &Caller::Unix { uid: 7, gids: vec![] }, "sign", "req-1", EventKind::Advance);
        event.repository = Some("acme/app".parse().unwrap());
        let line = in_words(3, &serde_json::to_value(&event).unwrap()).unwrap();
        assert_eq!(
            line,
            "       3  1970-01-01T00:00:00Z  advance         sign           unix:7  acme/app  request req-1"
        );
        for other in [json!(null), json!([]), json!({"time": []}), json!({"time": 1, "event": 2})] {
            assert_eq!(in_words(0, &other), None, "{other}");
        }
    }
}
