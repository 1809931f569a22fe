//! The patterns of Java's DateTimeFormatter: `yyyy-MM-dd'T'HH:mm:ss.SSSX` and the like, read and written.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an operation names the few types and values that it takes; all others are refused or null"
)]

use super::{DAY_MS, zone_offset_at};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    /// `[`: what follows, up to its bracket, may be missing.
    Optional(Vec<Part>),
    /// A letter and how often it stands.
    Field(char, usize),
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What was read so far.
#[derive(Clone, Debug, Default)]
struct Fields {
    year: Option<i64>,
    year_of_era: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    /// 1 to 12, or 0 to 11.
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nano: Option<i64>,
    milli_of_day: Option<i64>,
    /// ms east of UTC.
    offset: Option<i64>,
    zone: Option<String>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A letter without meaning, or quotes and brackets without end.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let parts = compile(&chars, &mut at, false, pattern)?;
        Ok(Pattern { parts })
    }

    /// Milliseconds since the epoch of a text with at least a date. Without a zone in it, it is in `zone`
    /// (`UTC`, `Europe/London`, `+01:00`).
    ///
    /// # Errors
    /// What in the text does not match.
    pub fn parse_timestamp(&self, text: &str, zone: &str) -> Result<i64, String> {
        let fields = self.read(text)?;
        let date = fields.date().ok_or_else(|| cannot(text))?;
        let time = fields.time().ok_or_else(|| cannot(text))?;
        fields.instant(date.and_time(time), zone).ok_or_else(|| cannot(text))
    }

    /// Days since the epoch.
    ///
    /// # Errors
    /// What in the text does not match.
    pub fn parse_date(&self, text: &str) -> Result<i32, String> {
        let date = self.read(text)?.date().ok_or_else(|| cannot(text))?;
        i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).map_err(|_| cannot(text))
    }

    /// Days since 1970-01-01 of the date that a text begins with, as Java's SimpleDateFormat reads.
    ///
    /// # Errors
    /// What in the text does not match.
    pub fn parse_leading_date(&self, text: &str) -> Result<i32, String> {
        let mut fields = Fields::default();
        let date = read(&self.parts, text, &mut fields).and_then(|_| fields.date()).ok_or_else(|| cannot(text))?;
        i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).map_err(|_| cannot(text))
    }

    /// Milliseconds of the day.
    ///
    /// # Errors
    /// What in the text does not match.
    pub fn parse_time(&self, text: &str) -> Result<i32, String> {
        let time = self.read(text)?.time().ok_or_else(|| cannot(text))?;
        i32::try_from(time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000).map_err(|_| cannot(text))
    }

    /// The text of milliseconds since the epoch in a zone.
    ///
    /// # Errors
    /// An unknown zone, or a time without a date in it.
    pub fn format_timestamp(&self, ms: i64, zone: &str) -> Result<String, String> {
        let offset = zone_offset_at(zone, ms).ok_or_else(|| format!("unknown time-zone '{zone}'"))?;
        let local = DateTime::from_timestamp_millis(ms.saturating_add(offset)).ok_or("a timestamp out of range")?;
        let mut out = String::new();
        write(&self.parts, &mut out, local.naive_utc(), offset, zone)?;
        Ok(out)
    }

    /// The text of a day.
    ///
    /// # Errors
    /// A day out of range.
    pub fn format_date(&self, days: i32) -> Result<String, String> {
        self.format_timestamp(i64::from(days) * DAY_MS, "UTC")
    }

    /// The text of a time of the day.
    ///
    /// # Errors
    /// A time out of range.
    pub fn format_time(&self, ms: i32) -> Result<String, String> {
        self.format_timestamp(i64::from(ms), "UTC")
    }

    fn read(&self, text: &str) -> Result<Fields, String> {
        let mut fields = Fields::default();
        match read(&self.parts, text, &mut fields) {
            Some("") => Ok(fields),
            Some(rest) => Err(format!(
                "Text '{text}' could not be parsed, unparsed text found at index {}",
                text.len() - rest.len()
            )),
            None => Err(cannot(text)),
        }
    }
}

fn cannot(text: &str) -> String {
    format!("Text '{text}' could not be parsed")
}

fn compile(chars: &[char], at: &mut usize, optional: bool, pattern: &str) -> Result<Vec<Part>, String> {
    let invalid = |what: &str| Err(format!("the date pattern '{pattern}' {what}"));
    let mut parts = Vec::new();
    while let Some(&c) = chars.get(*at) {
        *at += 1;
        match c {
            '\'' => {
                let mut text = String::new();
                loop {
                    match (chars.get(*at), chars.get(*at + 1)) {
                        (Some('\''), Some('\'')) => {
                            text.push('\'');
                            *at += 2;
                        }
                        (Some('\''), _) => {
                            *at += 1;
                            break;
                        }
                        (Some(c), _) => {
                            text.push(*c);
                            *at += 1;
                        }
                        (None, _) => return invalid("has a quote without end"),
                    }
                }
                // Two quotes outside of quoted text are a quote.
                parts.push(Part::Text(if text.is_empty() { "'".into() } else { text }));
            }
            '[' => parts.push(Part::Optional(compile(chars, at, true, pattern)?)),
            ']' if optional => return Ok(parts),
            ']' => return invalid("has a bracket without beginning"),
            '{' | '}' | '#' => return invalid("has a reserved character"),
            c if c.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.get(*at) == Some(&c) {
                    *at += 1;
                    count += 1;
                }
                if !"GuyYDMLdQqwWEecaBhKkHmsSAnNVvzOXxZ".contains(c) {
                    return invalid(&format!("has the letter '{c}', which means nothing"));
                }
                parts.push(Part::Field(c, count));
            }
            c => match parts.last_mut() {
                Some(Part::Text(text)) => text.push(c),
                _ => parts.push(Part::Text(c.into())),
            },
        }
    }
    if optional { invalid("has a bracket without end") } else { Ok(parts) }
}

/// Reads the parts off the text; what is left of it.
fn read<'t>(parts: &[Part], mut text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    for (i, part) in parts.iter().enumerate() {
        text = match part {
            Part::Text(expected) => {
                // As ksqlDB reads: in any case.
                let head = text.get(..expected.len())?;
                if !head.eq_ignore_ascii_case(expected) {
                    return None;
                }
                &text[expected.len()..]
            }
            Part::Optional(inner) => {
                let mut trial = fields.clone();
                match read(inner, text, &mut trial) {
                    Some(rest) => {
                        *fields = trial;
                        rest
                    }
                    None => text,
                }
            }
            Part::Field(letter, count) => {
                // A number runs into the next one only when that has a width of its own.
                let adjacent = match parts.get(i + 1) {
                    Some(Part::Field(next, width)) if is_number(*next, *width) => parts[i + 1..]
                        .iter()
                        .map_while(|p| match p {
                            Part::Field(l, w) if is_number(*l, *w) => Some(*w),
                            _ => None,
                        })
                        .sum(),
                    _ => 0,
                };
                read_field(*letter, *count, text, adjacent, fields)?
            }
        };
    }
    Some(text)
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count < 3,
        'u' | 'y' | 'D' | 'd' | 'h' | 'K' | 'k' | 'H' | 'm' | 's' | 'S' | 'A' | 'n' | 'N' => true,
        _ => false,
    }
}

fn read_field<'t>(letter: char, count: usize, text: &'t str, adjacent: usize, f: &mut Fields) -> Option<&'t str> {
    let most = match (letter, count) {
        ('S', n) => n,
        ('y' | 'u', 2) => 2,
        ('y' | 'u', _) => 10,
        ('A' | 'n' | 'N', _) => 19,
        (_, 1) => 19,
        (_, n) => n,
    };
    let number = |least: usize| -> Option<(i64, &'t str)> {
        let negative = matches!(letter, 'y' | 'u') && count != 2 && text.starts_with('-');
        let digits = if negative { &text[1..] } else { text };
        let available = digits.bytes().take_while(u8::is_ascii_digit).count();
        let take = if adjacent > 0 { available.saturating_sub(adjacent).max(least) } else { available }.min(most);
        if take < least || take > available {
            return None;
        }
        let value: i64 = digits[..take].parse().ok()?;
        Some((if negative { -value } else { value }, &digits[take..]))
    };
    let set = |slot: &mut Option<i64>, (value, rest): (i64, &'t str)| {
        *slot = Some(value);
        Some(rest)
    };
    match letter {
        'y' | 'u' => {
            let (value, rest) = number(count)?;
            let year = if count == 2 { 2000 + value } else { value };
            if letter == 'u' {
                f.year = Some(year)
            } else {
                f.year_of_era = Some(year)
            }
            Some(rest)
        }
        'M' | 'L' if count >= 3 => {
            let (i, rest) = name(text, &MONTHS, count)?;
            f.month = Some(i64::try_from(i).ok()? + 1);
            Some(rest)
        }
        'M' | 'L' => set(&mut f.month, number(count)?),
        'd' => set(&mut f.day, number(count)?),
        'D' => set(&mut f.day_of_year, number(count)?),
        'H' => set(&mut f.hour, number(count)?),
        'k' => {
            let (value, rest) = number(count)?;
            f.hour = Some(value % 24);
            Some(rest)
        }
        'h' | 'K' => {
            let (value, rest) = number(count)?;
            f.half_hour = Some(value % 12);
            Some(rest)
        }
        'm' => set(&mut f.minute, number(count)?),
        's' => set(&mut f.second, number(count)?),
        'S' => {
            let (value, rest) = number(count)?;
            f.nano = Some(value.checked_mul(10_i64.checked_pow(9_u32.checked_sub(u32::try_from(count).ok()?)?)?)?);
            Some(rest)
        }
        'n' => set(&mut f.nano, number(1)?),
        'A' => set(&mut f.milli_of_day, number(1)?),
        'N' => {
            let (value, rest) = number(1)?;
            f.milli_of_day = Some(value / 1_000_000);
            Some(rest)
        }
        'a' => {
            let (i, rest) = name(text, &["AM", "PM"], 4)?;
            f.afternoon = Some(i == 1);
            Some(rest)
        }
        'E' => name(text, &DAYS, count.max(3)).map(|(_, rest)| rest),
        'G' => {
            let (i, rest) = name(text, &["AD", "BC"], 4)?;
            f.before_christ = i == 1;
            Some(rest)
        }
        'X' | 'x' | 'Z' | 'O' => {
            if let ('X' | 'Z', Some(rest)) = (letter, text.strip_prefix(['Z', 'z'])) {
                f.offset = Some(0);
                return Some(rest);
            }
            let text = if letter == 'O' { text.strip_prefix("GMT")? } else { text };
            let end = text
                .char_indices()
                .skip(1)
                .find(|(_, c)| !c.is_ascii_digit() && *c != ':')
                .map_or(text.len(), |(i, _)| i);
            f.offset = Some(super::zone_offset(&text[..end])?);
            Some(&text[end..])
        }
        'V' | 'z' | 'v' => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "/_+-:".contains(c))).unwrap_or(text.len());
            let zone = abbreviated(&text[..end]);
            zone_offset_at(zone, 0)?;
            f.zone = Some(zone.into());
            Some(&text[end..])
        }
        _ => None,
    }
}

/// One of these names, written out or (up to three letters of the pattern) cut to three.
fn name<'t>(text: &'t str, names: &[&str], count: usize) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if count <= 3 { &name[..3.min(name.len())] } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (i, &text[name.len()..]))
    })
}

impl Fields {
    fn date(&self) -> Option<NaiveDate> {
        let year = match (self.year, self.year_of_era) {
            (Some(year), _) => year,
            (None, Some(year)) if self.before_christ => 1 - year,
            (None, Some(year)) => year,
            (None, None) => 1970,
        };
        let year = i32::try_from(year).ok()?;
        if let Some(day) = self.day_of_year {
            return NaiveDate::from_yo_opt(year, u32::try_from(day).ok()?);
        }
        let part = |v: Option<i64>| u32::try_from(v.unwrap_or(1)).ok();
        let (month, day) = (part(self.month)?, part(self.day)?);
        // Java's default resolver takes the month's last day for one that it does not have, up to 31.
        let fits = NaiveDate::from_ymd_opt(year, month, day);
        fits.or_else(|| {
            if day <= 31 { (28..day).rev().find_map(|d| NaiveDate::from_ymd_opt(year, month, d)) } else { None }
        })
    }

    fn time(&self) -> Option<NaiveTime> {
        if let Some(ms) = self.milli_of_day {
            let ms = u32::try_from(ms).ok()?;
            return NaiveTime::from_num_seconds_from_midnight_opt(ms / 1000, ms % 1000 * 1_000_000);
        }
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let part = |v: i64| u32::try_from(v).ok();
        NaiveTime::from_hms_nano_opt(
            part(hour)?,
            part(self.minute.unwrap_or(0))?,
            part(self.second.unwrap_or(0))?,
            part(self.nano.unwrap_or(0))?,
        )
    }

    /// The moment of a local time: in the offset or zone that was read, or in this one.
    fn instant(&self, local: NaiveDateTime, zone: &str) -> Option<i64> {
        let ms = local.and_utc().timestamp_millis();
        if let Some(offset) = self.offset {
            return Some(ms - offset);
        }
        let zone = self.zone.as_deref().unwrap_or(zone);
        if let Ok(tz) = zone.parse::<chrono_tz::Tz>() {
            return match tz.from_local_datetime(&local) {
                chrono::LocalResult::Single(t) | chrono::LocalResult::Ambiguous(t, _) => Some(t.timestamp_millis()),
                // In the hour that summer time leaves out: as much later.
                chrono::LocalResult::None => Some(ms - zone_offset_at(zone, ms - 7_200_000)?),
            };
        }
        Some(ms - zone_offset_at(zone, ms)?)
    }
}

fn write(parts: &[Part], out: &mut String, t: NaiveDateTime, offset: i64, zone: &str) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Optional(inner) => write(inner, out, t, offset, zone)?,
            Part::Field(letter, count) => out.push_str(&field_text(*letter, *count, t, offset, zone)?),
        }
    }
    Ok(())
}

fn field_text(letter: char, count: usize, t: NaiveDateTime, offset: i64, zone: &str) -> Result<String, String> {
    let padded = |v: i64| format!("{v:0count$}");
    let named = |name: &str| if count <= 3 { name[..3].to_string() } else { name.to_string() };
    let month = t.month0() as usize;
    Ok(match letter {
        'y' | 'u' if count == 2 => format!("{:02}", t.year().rem_euclid(100)),
        'y' => padded(i64::from(if t.year() > 0 { t.year() } else { 1 - t.year() })),
        'u' => padded(i64::from(t.year())),
        'Y' if count == 2 => format!("{:02}", t.iso_week().year().rem_euclid(100)),
        'Y' => padded(i64::from(t.iso_week().year())),
        'w' => padded(i64::from(t.iso_week().week())),
        'M' | 'L' if count >= 3 => named(MONTHS[month]),
        'M' | 'L' => padded(i64::from(t.month())),
        'Q' | 'q' => padded(i64::from(t.month0() / 3 + 1)),
        'd' => padded(i64::from(t.day())),
        'D' => padded(i64::from(t.ordinal())),
        'E' => named(DAYS[t.weekday().num_days_from_monday() as usize]),
        'e' | 'c' => padded(i64::from(t.weekday().number_from_monday())),
        'G' => if t.year() > 0 { "AD" } else { "BC" }.into(),
        'H' => padded(i64::from(t.hour())),
        'k' => padded(i64::from(if t.hour() == 0 { 24 } else { t.hour() })),
        'K' => padded(i64::from(t.hour() % 12)),
        'h' => padded(i64::from(t.hour12().1)),
        'a' => if t.hour() < 12 { "AM" } else { "PM" }.into(),
        'm' => padded(i64::from(t.minute())),
        's' => padded(i64::from(t.second())),
        'S' => {
            let nanos = format!("{:09}", t.nanosecond());
            if count <= 9 { nanos[..count].into() } else { format!("{nanos:0<count$}") }
        }
        'n' => padded(i64::from(t.nanosecond())),
        'A' => padded(i64::from(t.num_seconds_from_midnight()) * 1000 + i64::from(t.nanosecond() / 1_000_000)),
        'N' => padded(i64::from(t.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(t.nanosecond())),
        'X' if offset == 0 => "Z".into(),
        'X' | 'x' => offset_text(offset, count >= 2, count == 3 || count == 5, count == 1),
        'Z' if count < 4 => offset_text(offset, true, false, false),
        'Z' if count == 5 && offset == 0 => "Z".into(),
        'Z' if count == 5 => offset_text(offset, true, true, false),
        'Z' | 'O' if offset == 0 => "GMT".into(),
        'Z' | 'O' => format!("GMT{}", offset_text(offset, true, true, false)),
        'V' => zone.into(),
        'z' | 'v' => {
            let utc = t.and_utc().timestamp_millis() - offset;
            abbreviation(zone, utc).unwrap_or_else(|| zone.into())
        }
        other => return Err(format!("the pattern letter '{other}' is not supported")),
    })
}

/// The zone that a common abbreviation stands for.
fn abbreviated(zone: &str) -> &str {
    match zone {
        "PST" | "PDT" | "PT" => "America/Los_Angeles",
        "MST" | "MDT" => "America/Denver",
        "CST" | "CDT" => "America/Chicago",
        "EST" | "EDT" => "America/New_York",
        "BST" => "Europe/London",
        "CET" | "CEST" => "Europe/Paris",
        "EET" | "EEST" => "Europe/Helsinki",
        "JST" => "Asia/Tokyo",
        other => other,
    }
}

/// A zone's short name at a time: PDT, CET.
fn abbreviation(zone: &str, utc_ms: i64) -> Option<String> {
    use chrono_tz::OffsetName as _;
    let tz: chrono_tz::Tz = zone.parse().ok()?;
    let utc = DateTime::from_timestamp_millis(utc_ms)?.naive_utc();
    tz.offset_from_utc_datetime(&utc).abbreviation().map(String::from)
}

fn offset_text(offset: i64, minutes: bool, colon: bool, minutes_if_any: bool) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let all = offset.abs() / 60_000;
    let mut out = format!("{sign}{:02}", all / 60);
    if minutes || (minutes_if_any && all % 60 != 0) {
        out.push_str(if colon { ":" } else { "" });
        out.push_str(&format!("{:02}", all % 60));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_582_416_000_000;

    #[test]
    fn texts_are_read_as_java_reads_them() {
        let read = |pattern: &str, text: &str| Pattern::new(pattern).and_then(|p| p.parse_timestamp(text, "UTC")).ok();
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ss.SSS", "2020-02-23T01:02:03.004"), Some(DAY + 3_723_004));
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ssX", "2020-02-23T01:00:00Z"), Some(DAY + 3_600_000));
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ssX", "2020-02-23T01:00:00+01"), Some(DAY));
        assert_eq!(read("yyyyMMdd", "20200223"), Some(DAY));
        assert_eq!(read("yyyyMMddHHmmssSSS", "20200223000000001"), Some(DAY + 1));
        assert_eq!(read("dd/MMM/yyyy:HH:mm:ss Z", "23/Feb/2020:02:00:00 +0200"), Some(DAY));
        assert_eq!(read("yyyy-MM-dd hh:mm a", "2020-02-23 01:00 PM"), Some(DAY + 13 * 3_600_000));
        assert_eq!(read("yyyy-MM-dd[ HH:mm]", "2020-02-23"), Some(DAY));
        assert_eq!(read("yyyy-MM-dd HH:mm VV", "2020-02-23 01:00 Europe/Berlin"), Some(DAY));
        assert_eq!(read("yyyy-MM-dd", "2020-02-23x"), None);
        assert_eq!(read("yyyy-MM-dd", "2020-2-23"), None);
        assert_eq!(read("yyyy-M-d", "2020-2-3"), Some(DAY - 20 * 86_400_000));
        assert!(Pattern::new("yyyy-MM-ddT").is_err());
    }

    #[test]
    fn times_are_written_as_java_writes_them() {
        let text =
            |pattern: &str, ms: i64, zone: &str| Pattern::new(pattern).and_then(|p| p.format_timestamp(ms, zone));
        assert_eq!(text("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", DAY + 1, "UTC").as_deref(), Ok("2020-02-23T00:00:00.001Z"));
        assert_eq!(text("yyyy-MM-dd HH:mm:ss Z", DAY, "Europe/Berlin").as_deref(), Ok("2020-02-23 01:00:00 +0100"));
        assert_eq!(
            text("EEE, d MMM yy 'at' h a", DAY + 13 * 3_600_000, "UTC").as_deref(),
            Ok("Sun, 23 Feb 20 at 1 PM")
        );
        assert_eq!(text("EEEE MMMM ''D", DAY, "UTC").as_deref(), Ok("Sunday February '54"));
        assert_eq!(text("HH zzz", DAY, "America/Los_Angeles").as_deref(), Ok("16 PST"));
        assert!(text("yyyy", DAY, "Nowhere/Land").is_err());
    }
}
