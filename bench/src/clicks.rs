//! The load: clicks of a web site, and its users and answer codes, made from a seed.
//!
//! The same [`Load`] makes the same clicks, whatever they are made for: files, a topic, or the plain recomputation of
//! what the views must hold. A click's event time runs evenly from [`START`], up to half a second late; some users and
//! codes match nothing; and groups of users rest for whole stretches, so that sessions end.

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hash};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Event time of the first click: 2025-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_735_689_600_000;

/// A click is late by less than this, ms.
const DISORDER: i64 = 500;

/// A group of users rests for whole stretches of this, ms, three of ten.
const STRETCH: i64 = 45_000;
const GROUPS: u32 = 18;

/// Users that share a name, where there are few.
const NAMES: u32 = 18;
const FEW: u32 = 100;

const REQUESTS: [&str; 6] = [
    "GET /index.html HTTP/1.1",
    "GET /site/login.html HTTP/1.1",
    "GET /site/user_status.html HTTP/1.1",
    "GET /site/account.html HTTP/1.1",
    "GET /images/track.png HTTP/1.1",
    "GET /images/logo-small.png HTTP/1.1",
];
/// The last one has no definition.
pub(crate) const STATUSES: [i64; 7] = [200, 302, 404, 405, 406, 407, 503];
const DEFINITIONS: [&str; 6] = [
    "Successful",
    "Redirect",
    "Page not found",
    "Method not allowed",
    "Not acceptable",
    "Proxy authentication required",
];
pub(crate) const BYTES: [i64; 7] = [278, 1289, 2048, 4006, 4096, 4196, 14096];
const AGENTS: [&str; 2] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/59.0.3071.115 Safari/537.36",
];
const FIRST: [&str; 6] = ["Elwyn", "Curran", "Hanson", "Woodrow", "Ferd", "Reeva"];
const CITIES: [&str; 6] = ["Palo Alto", "San Francisco", "Raleigh", "London", "Frankfurt", "New York"];

/// Sets of keys that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Keys {
    /// 40 users, 30 addresses
    Demo,
    /// 100,000 users, 50,000 addresses
    Large,
}

impl Keys {
    /// Users and addresses.
    pub(crate) fn sizes(self) -> (u32, u32) {
        match self {
            Keys::Demo => (40, 30),
            Keys::Large => (100_000, 50_000),
        }
    }
}

/// What is clicked, by whom, how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// How many clicks.
    pub(crate) clicks: u64,
    /// How many users, numbered from 1.
    pub(crate) users: u32,
    /// How many addresses.
    pub(crate) ips: u32,
    /// Zipf exponent of the users; 0: all alike.
    pub(crate) skew: f64,
    /// The same seed makes the same clicks.
    pub(crate) seed: u64,
    /// Clicks a second of event time.
    pub(crate) event_rate: f64,
}

/// One click; texts are numbers of the lists above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Click {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// Event time, ms.
    pub(crate) time: i64,
    /// Its user; 0 and -1 are nobody's.
    pub(crate) user: i32,
    /// Its address.
    pub(crate) ip: u32,
    /// Of [`STATUSES`].
    pub(crate) status: usize,
    /// Of [`BYTES`].
    pub(crate) bytes: usize,
    request: usize,
    agent: usize,
}

impl Click {
    /// Its request is for a page.
    pub(crate) fn is_page(&self) -> bool {
        self.request < 4
    }
}

/// The clicks of a load, in order.
pub(crate) struct Clicks {
    load: Load,
    random: SmallRng,
    zipf: Option<Zipf<f64>>,
    next: u64,
}

impl Load {
    /// All its clicks.
    pub(crate) fn clicks(&self) -> Clicks {
        let skewed = self.skew > 0.0;
        let zipf = skewed.then(|| Zipf::new(f64::from(self.users), self.skew).ok()).flatten();
        Clicks { load: self.clone(), random: SmallRng::seed_from_u64(self.seed), zipf, next: 0 }
    }

    /// The number of a user's name: with few users, several have the same.
    pub(crate) fn name_of(&self, user: i32) -> Option<u32> {
        let user = u32::try_from(user).ok().filter(|u| (1..=self.users).contains(u))?;
        Some(if self.users <= FEW { user % NAMES } else { user })
    }

    /// A name's text.
    pub(crate) fn name(number: u32) -> String {
        format!("{}_{number}", FIRST[number as usize % FIRST.len()].to_lowercase())
    }

    /// The number of a user's city.
    pub(crate) fn city_of(&self, user: i32) -> usize {
        usize::try_from(draw((self.seed, user, "city")) % CITIES.len() as u64).unwrap_or(0)
    }

    /// Values of the users' records with their keys.
    pub(crate) fn users(&self) -> impl Iterator<Item = (i32, String)> {
        (1..=i32::try_from(self.users).unwrap_or(i32::MAX)).map(|user| {
            let name = Load::name(self.name_of(user).unwrap_or(0));
            let (city, registered) = (CITIES[self.city_of(user)], draw((self.seed, user)) % 94_694_462_000);
            let value = format!(
                r#"{{"user_id":{user},"username":"{name}","registered_at":{},"first_name":"{}","last_name":"Pask","city":"{city}","level":"{}"}}"#,
                1_407_645_330_000 + registered,
                FIRST[user as usize % FIRST.len()],
                ["Gold", "Silver", "Platinum"][user as usize % 3],
            );
            (user, value)
        })
    }

    /// Values of the codes' records with their keys.
    pub(crate) fn codes(&self) -> impl Iterator<Item = (i32, String)> {
        STATUSES.iter().zip(DEFINITIONS).map(|(code, definition)| {
            (i32::try_from(*code).unwrap_or(0), format!(r#"{{"code":{code},"definition":"{definition}"}}"#))
        })
    }

    /// Writes `clicks.jsonl`, `users.jsonl` and `codes.jsonl` into a folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let create =
            |name: &str| std::fs::File::create(folder.join(name)).map(|f| BufWriter::with_capacity(1 << 20, f));
        for (name, values) in [
            ("users.jsonl", self.users().map(|(_, v)| v).collect::<Vec<_>>()),
            ("codes.jsonl", self.codes().map(|(_, v)| v).collect()),
        ] {
            let mut file = create(name)?;
            values.iter().try_for_each(|value| writeln!(file, "{value}"))?;
            file.flush()?;
        }
        let (mut file, mut line, texts) = (create("clicks.jsonl")?, Vec::new(), Texts::new(self));
        for click in self.clicks() {
            line.clear();
            texts.value(&click, &mut line);
            line.push(b'\n');
            file.write_all(&line)?;
        }
        file.flush()
    }
}

impl Iterator for Clicks {
    type Item = Click;

    fn next(&mut self) -> Option<Click> {
        if self.next == self.load.clicks {
            return None;
        }
        let (number, load) = (self.next, &self.load);
        self.next += 1;
        let due = (number as f64 * 1000.0 / load.event_rate) as i64;
        let random = &mut self.random;
        let user = if random.random_ratio(1, 100) {
            -i32::from(random.random::<bool>())
        } else {
            // Where nobody is awake, somebody clicks anyway.
            let mut one = || match &self.zipf {
                Some(zipf) => zipf.sample(random) as u32,
                None => random.random_range(1..=load.users),
            };
            let mut user = one();
            for _ in 0..64 {
                if !rests(load.seed, user % GROUPS, due / STRETCH) {
                    break;
                }
                user = one();
            }
            i32::try_from(user).unwrap_or(1)
        };
        let address = user.unsigned_abs().wrapping_mul(7919).wrapping_add(random.random_range(0..2));
        let known = !random.random_ratio(1, 100);
        Some(Click {
            number,
            time: START + (due - random.random_range(0..DISORDER)).max(0),
            user,
            ip: address % load.ips,
            status: if known { random.random_range(0..DEFINITIONS.len()) } else { DEFINITIONS.len() },
            bytes: random.random_range(0..BYTES.len()),
            request: random.random_range(0..REQUESTS.len()),
            agent: random.random_range(0..AGENTS.len()),
        })
    }
}

fn rests(seed: u64, group: u32, stretch: i64) -> bool {
    draw((seed, group, stretch)) % 10 < 3
}

/// A number that depends on this alone.
fn draw(of: impl Hash) -> u64 {
    foldhash::quality::FixedState::with_seed(7).hash_one(of)
}

/// A definition's text.
pub(crate) fn definition(status: usize) -> Option<&'static str> {
    DEFINITIONS.get(status).copied()
}

/// A city's name.
pub(crate) fn city(number: usize) -> &'static str {
    CITIES[number]
}

/// An address's text.
pub(crate) fn address(ip: u32) -> String {
    format!("{}.{}.{}.{}", 111 + ip % 4, ip / 40_000 % 250, ip / 200 % 200 + 1, ip % 200 + 22)
}

/// What the clicks' texts are made of.
pub(crate) struct Texts {
    addresses: Vec<String>,
    /// By request, status, bytes and agent: what follows the numbers.
    ends: Vec<String>,
}

impl Texts {
    pub(crate) fn new(load: &Load) -> Self {
        let mut ends = Vec::new();
        for request in REQUESTS {
            for status in STATUSES {
                for bytes in BYTES {
                    ends.extend(AGENTS.map(|agent| {
                        format!(
                            r#","request":"{request}","status":"{status}","bytes":"{bytes}","referrer":"-","agent":"{agent}"}}"#
                        )
                    }));
                }
            }
        }
        Texts { addresses: (0..load.ips).map(address).collect(), ends }
    }

    /// Appends the value of a click's record.
    pub(crate) fn value(&self, click: &Click, out: &mut Vec<u8>) {
        let end =
            ((click.request * STATUSES.len() + click.status) * BYTES.len() + click.bytes) * AGENTS.len() + click.agent;
        let (mut time, mut user, mut number) = (itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new());
        let number = number.format(10 * click.number + 1);
        let parts = [
            r#"{"ts":"#,
            time.format(click.time),
            r#","ip":""#,
            &self.addresses[click.ip as usize],
            r#"","userid":"#,
            user.format(click.user),
            r#","remote_user":"-","time":""#,
            number,
            r#"","_time":"#,
            number,
            &self.ends[end],
        ];
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
}
