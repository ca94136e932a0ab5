//! Tables.

use comfy_table::{Cell, Table, presets};
use serde_json::{Map, Value};

use super::{notation, plain};

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn written(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// A field a line: those that are named, and then all others that say something.
pub(super) fn fields(value: &Value, first: &[&str]) -> String {
    let Some(object) = value.as_object() else { return format!("{}\n", text(value)) };
    let others = object.keys().map(String::as_str).filter(|name| !first.contains(name));
    let mut table = table();
    for name in first.iter().copied().chain(others) {
        let text = object.get(name).map(text).unwrap_or_default();
        if !text.is_empty() {
            table.add_row([Cell::new(name), Cell::new(text)]);
        }
    }
    written(&mut table)
}

/// A thing a line, of which the named fields are shown; those inside others by `outer.inner`.
pub(super) fn rows(items: &[Value], columns: &[&str], with_headings: bool) -> String {
    let mut table = table();
    if with_headings {
        let heading = |column: &&str| column.rsplit('.').next().unwrap_or_default().to_uppercase();
        table.add_row(columns.iter().map(heading));
    }
    for item in items {
        table.add_row(columns.iter().map(|column| {
            let found = column.split('.').try_fold(item, |value, name| value.get(name));
            // What is one thing by itself is its own column.
            let shown = if item.is_object() { found } else { Some(item) };
            shown.map(text).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into())
        }));
    }
    written(&mut table)
}

/// A value as people read it, on few lines.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("\n"),
        Value::Object(object) => notation::read(object).unwrap_or_else(|| inner(object)),
        other => other.to_string(),
    }
}

fn inner(object: &Map<String, Value>) -> String {
    let told = object.iter().filter(|(_, value)| !text(value).is_empty());
    let told =
        told.map(|(name, value)| format!("{}={}", plain(name), text(value).replace('\n', ",")));
    told.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn things_are_rows_and_what_is_missing_is_a_dash() {
        let items = [
            json!({"id": "a", "key": {"name": "one"}, "scopes": ["r", "w"]}),
            json!({"id": "long", "key": {"name": null}, "scopes": []}),
        ];
        let shown = rows(&items, &["id", "key.name", "scopes"], true);
        assert_eq!(shown, "ID    NAME  SCOPES\na     one   r\n            w\nlong  -     -\n");
    }

    #[test]
    fn a_things_fields_are_lines() {
        let thing = json!({
            "zone": "UTC", "id": "x", "none": null, "addresses": {"allow": ["10.0.0.0/8"], "deny": []},
            "limits": [{"name": "calls", "count": 5, "window": "1m", "unit": "requests", "zone": "UTC"}],
        });
        let shown =
            "id         x\naddresses  allow=10.0.0.0/8\nlimits     calls:5/1m\nzone       UTC\n";
        assert_eq!(fields(&thing, &["id", "none"]), shown);
    }

    #[test]
    fn nothing_in_a_name_reaches_the_terminal() {
        let shown = fields(&json!({"name": "a\u{1b}[2J\u{202e}b\r"}), &[]);
        assert_eq!(shown, "name  a\\u{1b}[2J\\u{202e}b\\u{d}\n");
    }
}
