//! Records of a data set, from a seed and a number.

use super::config::KeyFormat;
use super::quickstart::{Draw, Quickstart};
use weir_dataflow::row::json::write_string;

/// Makes the records of a data set. The same seed gives the same records.
#[derive(Clone, Debug)]
pub struct Generator {
    quickstart: Quickstart,
    key_format: KeyFormat,
    seed: u64,
    next: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Generator {
    /// From record number 0 on.
    pub fn new(quickstart: Quickstart, key_format: KeyFormat, seed: u64) -> Self {
        Generator { quickstart, key_format, seed, next: 0, key: Vec::new(), value: Vec::new() }
    }

    /// The number of the next record, which is how many were made if none was skipped.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on with record number `position`.
    pub fn seek(&mut self, position: u64) {
        self.next = position;
    }

    /// The next record's key and value (a JSON object).
    #[expect(clippy::should_implement_trait, reason = "the record is lent, which an iterator cannot")]
    pub fn next(&mut self) -> (&[u8], &[u8]) {
        let number = self.next;
        self.next += 1;
        self.key.clear();
        self.value.clear();
        // One stream of random numbers a record, so that any record can be made on its own.
        let mut random = Random(mix(self.seed ^ mix(number.wrapping_add(1))));
        let (key, _) = self.quickstart.key();
        let mut place = 0;
        for field in self.quickstart.fields() {
            self.value.push(if self.value.is_empty() { b'{' } else { b',' });
            write_string(&mut self.value, field.name);
            self.value.push(b':');
            let text;
            let (value, quoted) = match &field.draw {
                Draw::Text(options) => {
                    place = random.below(options.len() as u64) as usize;
                    (options[place], true)
                }
                Draw::Same(options) => (options.get(place).copied().unwrap_or_default(), true),
                Draw::Number(options) => {
                    place = random.below(options.len() as u64) as usize;
                    text = options[place].to_string();
                    (&*text, false)
                }
                Draw::Range(from, to) => {
                    text = (from + random.below(from.abs_diff(*to)) as i64).to_string();
                    (&*text, false)
                }
                Draw::Count(start, step, quoted) => {
                    text = start.wrapping_add(step.wrapping_mul(number as i64)).to_string();
                    (&*text, *quoted)
                }
            };
            if quoted {
                write_string(&mut self.value, value);
            } else {
                self.value.extend_from_slice(value.as_bytes());
            }
            if field.name == key {
                self.key_format.write(&mut self.key, value, quoted);
            }
        }
        self.value.push(b'}');
        (&self.key, &self.value)
    }
}

/// Random numbers by splitmix64: small, and the same for ever, which a library's generator does not promise.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `n`, evenly but for less than one in 2^32.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn records(generator: &mut Generator, n: usize) -> Vec<(Vec<u8>, String)> {
        let record = |(k, v): (&[u8], &[u8])| (k.to_vec(), String::from_utf8(v.to_vec()).unwrap());
        (0..n).map(|_| record(generator.next())).collect()
    }

    #[test]
    fn a_seed_gives_the_same_records_from_any_position() {
        let generator = || Generator::new(Quickstart::Clickstream, KeyFormat::Text, 7);
        let all = records(&mut generator(), 100);
        let mut later = generator();
        later.seek(60);
        assert_eq!(records(&mut later, 40), all[60..]);
        assert_eq!(later.position(), 100);
        assert_ne!(records(&mut Generator::new(Quickstart::Clickstream, KeyFormat::Text, 8), 100), all);
    }

    #[test]
    fn clicks_look_like_the_demos() {
        let all = records(&mut Generator::new(Quickstart::Clickstream, KeyFormat::Text, 1), 20_000);
        let parsed: Vec<serde_json::Value> = all.iter().map(|r| serde_json::from_str(&r.1).unwrap()).collect();
        let distinct = |f: &str| parsed.iter().map(|p| p[f].to_string()).collect::<BTreeSet<_>>().len();
        let fields: Vec<&String> = parsed[0].as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["ip", "userid", "remote_user", "time", "_time", "request", "status", "bytes", "referrer", "agent"]
        );
        assert_eq!(["ip", "userid", "request", "status", "bytes", "agent"].map(distinct), [36, 41, 5, 6, 7, 2]);
        assert_eq!((&parsed[2]["time"], &parsed[2]["_time"]), (&"21".into(), &21.into()));
        assert!(all.iter().zip(&parsed).all(|(r, p)| p["ip"].as_str().unwrap().as_bytes() == r.0));
        let html = parsed.iter().filter(|p| p["request"].as_str().unwrap().contains("html")).count();
        assert!((13_000..13_700).contains(&html), "{html}");
        let bytes = all.iter().map(|r| r.1.len()).sum::<usize>() / all.len();
        assert!((270..300).contains(&bytes), "{bytes}");
    }

    #[test]
    fn users_count_and_codes_keep_their_definition() {
        let users = records(&mut Generator::new(Quickstart::Users, KeyFormat::Int, 1), 3);
        assert_eq!(users[2].0, [0, 0, 0, 3]);
        assert!(users[2].1.starts_with("{\"user_id\":3,\"username\":\""), "{}", users[2].1);
        let codes = records(&mut Generator::new(Quickstart::Codes, KeyFormat::Int, 1), 1000);
        let distinct: BTreeSet<_> = codes.into_iter().collect();
        assert_eq!(distinct.len(), 6);
        assert!(distinct.contains(&(vec![0, 0, 1, 148], "{\"code\":404,\"definition\":\"Page not found\"}".into())));
    }
}
