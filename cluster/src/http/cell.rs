//! A cell as JSON in the answer to a query.
//!
//! As in topics (`weir_dataflow::row::json`), but DATE, TIME and TIMESTAMP are text here.

use weir_dataflow::row::json::{write_json, write_string};
use weir_dataflow::row::{SqlType, Value};

/// Appends a value of type `ty`.
pub(super) fn write(out: &mut Vec<u8>, value: &Value, ty: &SqlType) {
    match (value, ty) {
        (Value::Date(days), _) => write_string(out, &weir_dataflow::row::datetime::date_text(*days)),
        (Value::Time(ms), _) => write_string(out, &weir_dataflow::row::datetime::time_text(*ms)),
        (Value::Timestamp(ms), _) => write_string(out, &weir_dataflow::row::datetime::timestamp_text(*ms)),
        (Value::Array(items), SqlType::Array(ty)) => {
            list(out, b"[]", items.iter(), |out, item| write(out, item, ty));
        }
        (Value::Map(entries), SqlType::Map(_, ty)) => {
            list(out, b"{}", entries.iter(), |out, (key, item)| {
                match key {
                    Value::String(key) => write_string(out, key),
                    other => write_json(out, other, &SqlType::String),
                }
                out.push(b':');
                write(out, item, ty);
            });
        }
        (Value::Struct(items), SqlType::Struct(fields)) => {
            list(out, b"{}", items.iter().zip(fields), |out, (item, (name, ty))| {
                write_string(out, name);
                out.push(b':');
                write(out, item, ty);
            });
        }
        _ => write_json(out, value, ty),
    }
}

/// Appends a row of cells in brackets.
pub(super) fn write_row<'a>(out: &mut Vec<u8>, values: &[Value], types: impl Iterator<Item = &'a SqlType>) {
    list(out, b"[]", values.iter().zip(types), |out, (value, ty)| write(out, value, ty));
}

fn list<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}
