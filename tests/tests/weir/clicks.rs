//! Clicks, users and codes as the clickstream demo has them, made from a seed: with disorder, silences that end
//! sessions, and a few users and codes that match nothing.

use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000;
/// A group of users is silent for whole blocks of this many milliseconds.
const BLOCK: i64 = 40_000;
const GROUPS: u64 = 16;

const REQUESTS: [&str; 5] = [
    "GET /index.html HTTP/1.1",
    "GET /site/login.html HTTP/1.1",
    "GET /site/user_status.html HTTP/1.1",
    "GET /images/track.png HTTP/1.1",
    "GET /images/logo-small.png HTTP/1.1",
];
const CODES: [(i32, &str); 6] = [
    (200, "Successful"),
    (302, "Redirect"),
    (404, "Page not found"),
    (405, "Method not allowed"),
    (406, "Not acceptable"),
    (407, "Proxy authentication required"),
];
const CITIES: [&str; 4] = ["Palo Alto", "Raleigh", "London", "Frankfurt"];

/// How much, and over how many keys.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) clicks: usize,
    pub(crate) users: u64,
    pub(crate) addresses: u64,
    /// Event time from the first click to the last, ms.
    pub(crate) span: i64,
}

/// One click.
pub(crate) struct Click {
    pub(crate) time: i64,
    pub(crate) ip: String,
    pub(crate) user: i32,
    pub(crate) status: i32,
    pub(crate) request: &'static str,
}

/// One user: the username is shared by several.
pub(crate) struct User {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) city: &'static str,
}

/// The three topics.
pub(crate) struct Clickstream {
    pub(crate) clicks: Vec<Click>,
    pub(crate) users: Vec<User>,
    pub(crate) codes: &'static [(i32, &'static str)],
}

impl Clickstream {
    /// The same data for the same seed.
    pub(crate) fn generate(scale: Scale, seed: u64) -> Clickstream {
        let mut random = Random(seed);
        let users: Vec<User> = (1..=scale.users)
            .map(|id| User {
                id: i32::try_from(id).unwrap_or(i32::MAX),
                name: format!("user_{}", id * 7 / 9),
                city: random.pick(&CITIES),
            })
            .collect();
        let count = i64::try_from(scale.clicks.max(1)).unwrap_or(i64::MAX);
        let clicks = (0..count).map(|i| {
            let due = scale.span * i / count;
            let user = match random.below(100) {
                0 => -i32::try_from(random.below(2)).unwrap_or(0),
                _ => random.active_user(scale.users, due / BLOCK, seed),
            };
            let addresses = u64::from(user.unsigned_abs()) * 31 + random.below(2);
            Click {
                time: START + (due - i64::try_from(random.below(500)).unwrap_or(0)).max(0),
                ip: format!("10.{}.{}.7", addresses % scale.addresses / 200, addresses % scale.addresses % 200),
                user,
                status: if random.below(100) == 0 { 503 } else { random.pick(&CODES).0 },
                request: random.pick(&REQUESTS),
            }
        });
        Clickstream { clicks: clicks.collect(), users, codes: &CODES }
    }

    /// Writes the three files; gives the `--topic` arguments for them, and the one for the time.
    pub(crate) fn write(&self, folder: &Path) -> Result<Vec<String>> {
        let mut text = String::new();
        for (i, click) in self.clicks.iter().enumerate() {
            writeln!(text, "{}", click.value(i, true))?;
        }
        let clicks = folder.join("clicks.jsonl");
        fs::write(&clicks, text)?;
        let lines = |values: Vec<Value>| values.iter().map(|v| format!("{v}\n")).collect::<String>();
        let users = folder.join("users.jsonl");
        fs::write(&users, lines(self.users.iter().map(User::value).collect()))?;
        let codes = folder.join("codes.jsonl");
        fs::write(&codes, lines(self.codes.iter().map(|c| code_value(*c)).collect()))?;
        let files = [("clickstream", clicks), ("clickstream_users", users), ("clickstream_codes", codes)];
        let topics = files.iter().flat_map(|(t, f)| ["--topic".to_owned(), format!("{t}={}", f.display())]);
        Ok(topics.chain(["--timestamp-field".to_owned(), "ts".to_owned()]).collect())
    }
}

impl Click {
    /// Its record's value; numbers as strings where the demo's generator writes them so.
    pub(crate) fn value(&self, i: usize, with_time: bool) -> Value {
        let mut value = json!({
            "ip": self.ip, "userid": self.user, "remote_user": "-", "time": (10 * i + 1).to_string(),
            "_time": 10 * i + 1, "request": self.request, "status": self.status.to_string(), "bytes": "1289",
            "referrer": "-", "agent": "Mozilla/5.0",
        });
        if with_time {
            value["ts"] = json!(self.time);
        }
        value
    }
}

impl User {
    /// Its record's value.
    pub(crate) fn value(&self) -> Value {
        json!({"user_id": self.id, "username": self.name, "registered_at": 1_407_645_330_000_i64,
            "first_name": "Ferd", "last_name": "Pask", "city": self.city, "level": "Gold", "ts": START})
    }
}

/// A code's record's value.
pub(crate) fn code_value((code, definition): (i32, &str)) -> Value {
    json!({"code": code, "definition": definition, "ts": START})
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One of a list.
    pub(crate) fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::try_from(self.below(options.len() as u64)).unwrap_or(0)]
    }

    /// A user of a group that is not silent in this block of time.
    fn active_user(&mut self, users: u64, block: i64, seed: u64) -> i32 {
        loop {
            let user = 1 + self.below(users);
            let group = user % GROUPS;
            let draw = Random(seed ^ block.unsigned_abs().wrapping_mul(GROUPS).wrapping_add(group)).next();
            if draw % 10 >= 3 {
                return i32::try_from(user).unwrap_or(1);
            }
        }
    }
}
