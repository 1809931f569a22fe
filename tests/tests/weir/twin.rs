//! The clickstream script's seven tables, computed plainly: all input at once, hash maps, no engine.

use crate::clicks::{Click, Clickstream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Name of a table → its rows as JSON text, columns as `weir replay` writes them.
pub(crate) type Tables = BTreeMap<&'static str, Vec<String>>;

/// A group's key and window, and how many rows fell into it.
type Counts = HashMap<(Vec<Value>, i64), u64>;

/// Computes the tables. No click is so late that a window has closed before it.
pub(crate) fn tables(data: &Clickstream) -> Tables {
    let users: HashMap<i32, (&str, &str)> = data.users.iter().map(|u| (u.id, (u.name.as_str(), u.city))).collect();
    let codes: HashMap<i32, &str> = data.codes.iter().copied().collect();
    let error = |c: &&Click| c.status > 400;
    let by_user = |c: &Click| Some(vec![json!(c.user)]);
    let by_status = |c: &Click| Some(vec![json!(c.status)]);

    let events = count(data.clicks.iter(), 60_000, 60_000, by_user);
    let pages = count(data.clicks.iter().filter(|c| c.request.contains("html")), 60_000, 5_000, by_user);
    let errors = count(data.clicks.iter().filter(error), 60_000, 5_000, by_status);
    let mut alerts = count(data.clicks.iter().filter(error), 60_000, 20_000, by_status);
    alerts.retain(|_, n| *n > 5);
    let mut enriched = count(data.clicks.iter(), 30_000, 30_000, |c| {
        codes.get(&c.status).map(|definition| vec![json!(c.status), json!(definition)])
    });
    enriched.retain(|_, n| *n > 1);
    let mut activity = count(data.clicks.iter(), 60_000, 60_000, |c| {
        users.get(&c.user).map(|(name, city)| vec![json!(name), json!(c.ip), json!(city)])
    });
    activity.retain(|_, n| *n > 1);

    let one = |name: &str, counted: &str, counts: Counts, size: i64| {
        rows(
            counts,
            |k, w, n| json!({"K1": k[0], "WINDOWSTART": w, "WINDOWEND": w + size, name: k[0], "EVENT_TS": w, counted: n}),
        )
    };
    BTreeMap::from([
        ("EVENTS_PER_MIN", one("USERID", "EVENTS", events, 60_000)),
        ("PAGES_PER_MIN", one("USERID", "PAGES", pages, 60_000)),
        ("ERRORS_PER_MIN", one("STATUS", "ERRORS", errors, 60_000)),
        ("ERRORS_PER_MIN_ALERT", one("STATUS", "ERRORS", alerts, 60_000)),
        (
            "ENRICHED_ERROR_CODES_COUNT",
            rows(enriched, |k, w, n| {
                json!({"K1": k[0], "K2": k[1], "WINDOWSTART": w, "WINDOWEND": w + 30_000,
                    "CODE": k[0], "EVENT_TS": w, "DEFINITION": k[1], "COUNT": n})
            }),
        ),
        (
            "USER_IP_ACTIVITY",
            rows(activity, |k, w, n| {
                json!({"K1": k[0], "K2": k[1], "K3": k[2], "WINDOWSTART": w, "WINDOWEND": w + 60_000,
                    "USERNAME": k[0], "EVENT_TS": w, "IP": k[1], "CITY": k[2], "COUNT": n})
            }),
        ),
        ("CLICK_USER_SESSIONS", sessions(data, &users)),
    ])
}

/// Counts clicks by key and by each window of `size` that starts at a multiple of `advance` and holds the click.
fn count<'a>(
    clicks: impl Iterator<Item = &'a Click>,
    size: i64,
    advance: i64,
    key: impl Fn(&Click) -> Option<Vec<Value>>,
) -> Counts {
    let mut counts = Counts::new();
    for click in clicks {
        let Some(key) = key(click) else { continue };
        let mut start = click.time / advance * advance;
        while start > click.time - size && start >= 0 {
            *counts.entry((key.clone(), start)).or_default() += 1;
            start -= advance;
        }
    }
    counts
}

fn rows(counts: Counts, row: impl Fn(&[Value], i64, u64) -> Value) -> Vec<String> {
    counts.into_iter().map(|((key, window), n)| row(&key, window, n).to_string()).collect()
}

/// Each user's click times in order, cut where more than 30 s lie between two.
fn sessions(data: &Clickstream, users: &HashMap<i32, (&str, &str)>) -> Vec<String> {
    let mut times: HashMap<&str, Vec<i64>> = HashMap::new();
    for click in &data.clicks {
        if let Some((name, _)) = users.get(&click.user) {
            times.entry(name).or_default().push(click.time);
        }
    }
    let mut rows = Vec::new();
    for (name, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|a, b| b - a <= 30_000) {
            let (start, end) = (session[0], session[session.len() - 1]);
            let row = json!({"K": name, "WINDOWSTART": start, "WINDOWEND": end, "USERNAME": name, "EVENT_TS": end, "EVENTS": session.len()});
            rows.push(row.to_string());
        }
    }
    rows
}
