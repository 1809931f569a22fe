//! Dates and times as text: ISO forms, complete or not, as casts and window bounds take them.

mod pattern;

pub use pattern::Pattern;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeZone, Timelike};

const DAY_MS: i64 = 86_400_000;

/// Days since the epoch as `2020-02-23`.
pub fn date_text(days: i32) -> String {
    match DateTime::from_timestamp_millis(i64::from(days) * DAY_MS) {
        Some(t) => iso_date(t.date_naive()),
        None => days.to_string(),
    }
}

/// Milliseconds of the day as `10:15:30.123`, without what is zero at the end (`10:15`), as Java's LocalTime.
pub fn time_text(ms: i32) -> String {
    let seconds = u32::try_from(ms / 1000).unwrap_or(0);
    let fraction = u32::try_from(ms % 1000).unwrap_or(0);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (s, fraction) {
        (0, 0) => format!("{h:02}:{m:02}"),
        (s, 0) => format!("{h:02}:{m:02}:{s:02}"),
        (s, f) => format!("{h:02}:{m:02}:{s:02}.{f:03}"),
    }
}

/// Milliseconds since the epoch as `2020-02-23T10:15:30.123`.
pub fn timestamp_text(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(t) => format!(
            "{}T{:02}:{:02}:{:02}.{:03}",
            iso_date(t.date_naive()),
            t.hour(),
            t.minute(),
            t.second(),
            t.timestamp_subsec_millis()
        ),
        None => ms.to_string(),
    }
}

fn iso_date(date: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// Days since the epoch of `2020-02-23`, `2020-02`, `2020`.
pub fn parse_date(text: &str) -> Option<i32> {
    let date = partial_date(text.trim())?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Milliseconds of the day of `10`, `10:15`, `10:15:30`, `10:15:30.123`.
pub fn parse_time(text: &str) -> Option<i32> {
    let time = partial_time(text.trim())?;
    i32::try_from(time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000).ok()
}

/// Milliseconds since the epoch of a date with perhaps a time and a zone, any part of which may be left out from
/// the right: `2020`, `2020-02-23T10:15`, `2020-02-23T10:15:30.123+0100`, `…Z`. Without a zone it is UTC.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let at = rest.find(['+', '-', 'Z']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(at);
    // Midnight may be written as the end of the day before.
    let (date, time) = match time.strip_prefix("24") {
        Some(rest) if rest.bytes().all(|b| matches!(b, b'0' | b':' | b'.')) => {
            (partial_date(date)?.succ_opt()?, NaiveTime::default())
        }
        _ => (partial_date(date)?, partial_time(time)?),
    };
    let local = date.and_time(time);
    let offset = match zone {
        "" | "Z" => 0,
        _ => zone_offset(zone)?,
    };
    Some(local.and_utc().timestamp_millis() - offset)
}

fn partial_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let year = parts.next().filter(|y| y.len() >= 4)?;
    let month = parts.next().map_or(Some(1), number)?;
    let day = parts.next().map_or(Some(1), number)?;
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(year.parse().ok()?, month, day)
}

fn partial_time(text: &str) -> Option<NaiveTime> {
    if text.is_empty() {
        return Some(NaiveTime::default());
    }
    let mut parts = text.split(':');
    let hour = number(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), number)?;
    let (second, ms) = match parts.next() {
        None => (0, 0),
        Some(s) => {
            let (second, fraction) = s.split_once('.').unwrap_or((s, "0"));
            if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (number(second)?, format!("{fraction:0<3}")[..3].parse().ok()?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    NaiveTime::from_hms_milli_opt(hour, minute, second, ms)
}

fn number(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
        None
    } else {
        text.parse().ok()
    }
}

/// `+0100`, `+01:00`, `+01` in milliseconds.
fn zone_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    let hours = i64::from(number(digits.get(..2)?)?);
    let minutes = match digits.get(2..)? {
        "" => 0,
        minutes => i64::from(number(minutes)?),
    };
    Some(sign * (hours * 60 + minutes) * 60_000)
}

/// The offset of a zone from UTC at a time, in ms: a name (`Europe/London`), `Z`, `UTC` or an offset (`+01:00`).
pub fn zone_offset_at(zone: &str, utc_ms: i64) -> Option<i64> {
    use chrono::Offset as _;
    match zone {
        "Z" | "UTC" | "GMT" => return Some(0),
        _ if zone.starts_with(['+', '-']) => return zone_offset(zone),
        _ => {}
    }
    let zone: chrono_tz::Tz = zone.parse().ok()?;
    let utc = DateTime::from_timestamp_millis(utc_ms)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_timestamps_are_filled_from_the_right() {
        let day = 1_582_416_000_000;
        assert_eq!(parse_timestamp("2020-02-23"), Some(day));
        assert_eq!(parse_timestamp("2020-02-23T00:00"), Some(day));
        assert_eq!(parse_timestamp("2020-02-23T01"), Some(day + 3_600_000));
        assert_eq!(parse_timestamp("2020-02-23T01:00:00.123+0100"), Some(day + 123));
        assert_eq!(parse_timestamp("2020-02-23T01:00+01:00"), Some(day));
        assert_eq!(parse_timestamp("2020-02-23T00:00:00.5Z"), Some(day + 500));
        assert_eq!(parse_timestamp("2020"), Some(1_577_836_800_000));
        assert_eq!(parse_timestamp("2020-02-22T24:00"), Some(day));
        assert_eq!(parse_timestamp("2020-02-22T24:01"), None);
        assert_eq!(parse_timestamp("2020-13"), None);
        assert_eq!(parse_timestamp("nonsense"), None);
        assert_eq!(timestamp_text(day + 123), "2020-02-23T00:00:00.123");
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(date_text(-1), "1969-12-31");
        assert_eq!(parse_time("10:15:30.1"), Some(36_930_100));
        assert_eq!(time_text(36_930_000), "10:15:30");
        assert_eq!(zone_offset_at("Europe/Berlin", day), Some(3_600_000));
    }
}
