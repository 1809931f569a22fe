//! Statements that somebody garbled: whatever the text, parsing, printing and binding end without a panic, and what is
//! parsed prints as a text that parses to the same statement.
//!
//! The statements of the data files are cut, doubled, mixed and sprinkled with what a keyboard has, by a generator that
//! starts from a fixed seed. WEIR_FUZZ_SECONDS says for how long (2).
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use weir_dataflow::bind::{Bound, Catalog, Session, bind};
use weir_dataflow::sql::{parse, parse_one, without_spans};

/// A statement as it stands in a data file, and what exists when its turn comes.
struct Seed {
    text: String,
    catalog: Catalog,
}

/// The statements of the data files.
fn corpus() -> Vec<Seed> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the data files").flatten().map(|e| e.path()).collect();
    files.sort();
    let mut seeds = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "test")) {
        let text = std::fs::read_to_string(file).expect("a data file");
        let script = text.split("\n== ").find_map(|part| part.strip_prefix("statements\n")).unwrap_or("");
        let mut catalog = Catalog::default();
        for statement in parse(script).0 {
            seeds.push(Seed { text: statement.text.clone(), catalog: catalog.clone() });
            if let Ok(bound) = bind(&catalog, &Session::default(), &statement) {
                catalog.add(&bound, &statement.text);
            }
        }
    }
    seeds
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or(0) % n.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What is sprinkled into statements.
const SPRINKLES: [&str; 72] = [
    "(",
    ")",
    ",",
    ";",
    "'",
    "''",
    "\"",
    "`",
    "->",
    "=>",
    ":=",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<>",
    "<=",
    "||",
    "[",
    "]",
    ".",
    "--",
    "/*",
    "*/",
    "${",
    "}",
    "é",
    "\0",
    "\u{202e}",
    "0",
    "-1",
    "1e400",
    "2147483648",
    "9223372036854775808",
    "0.1",
    ".5",
    "1.",
    "NULL",
    "NOT",
    "CASE WHEN",
    "END",
    "BETWEEN",
    "AND",
    "IN (",
    "LIKE 'a%' ESCAPE 'x'",
    "CAST(",
    "AS",
    "ARRAY[",
    "MAP(",
    "STRUCT(",
    "x => x",
    "GROUP BY",
    "PARTITION BY",
    "HAVING",
    "WINDOW TUMBLING (SIZE 1 DAY)",
    "EMIT FINAL",
    "LIMIT 1",
    "JOIN",
    "WITHIN 1 HOUR",
    "ON",
    "COUNT(*)",
    "TOPK(",
    "EXPLODE(",
    "REDUCE(",
    "WINDOWSTART",
    "ROWTIME",
    "DECIMAL(38, 10)",
    "STRUCT<A INT>",
    "DISTINCT",
    "SELECT",
];

/// A text in its words, blanks and signs.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in text.char_indices() {
        let kind = if c.is_alphanumeric() || c == '_' { 0 } else { 1 };
        if last.is_some_and(|l| l != kind || kind == 1) {
            words.push(&text[start..at]);
            start = at;
        }
        last = Some(kind);
    }
    words.push(&text[start..]);
    words
}

fn garble(seeds: &[Seed], text: &str, random: &mut Random) -> String {
    let mut parts: Vec<String> = words(text).into_iter().map(str::to_owned).collect();
    for _ in 0..=random.below(4) {
        let at = random.below(parts.len() + 1);
        let n = random.below(6);
        let end = (at + n).min(parts.len());
        match random.below(7) {
            0 => drop(parts.drain(at..end)),
            1 => {
                let doubled: Vec<String> = parts[at..end].to_vec();
                parts.splice(at..at, doubled);
            }
            2 | 3 => parts.insert(at, format!(" {} ", random.pick(&SPRINKLES))),
            4 => {
                let other = words(&random.pick(seeds).text).into_iter().map(str::to_owned).collect::<Vec<_>>();
                let from = random.below(other.len());
                let to = (from + 1 + random.below(8)).min(other.len());
                parts.splice(at..end, other[from..to].to_vec());
            }
            5 if at < parts.len() => {
                let other = random.below(parts.len());
                parts.swap(at, other);
            }
            _ => {
                // Deep nests.
                let (open, close) =
                    *random.pick(&[("(", ")"), ("ARRAY[", "]"), ("NOT ", ""), ("-", ""), ("ABS(", ")")]);
                let depth = 1 << random.below(11);
                parts.splice(at..end, [open.repeat(depth), parts[at..end].concat(), close.repeat(depth)]);
            }
        }
    }
    parts.concat()
}

fn all_of_it(catalog: &Catalog, text: &str) {
    for statement in parse(text).0 {
        let printed = statement.to_string();
        match parse_one(&printed) {
            Ok(again) => assert_eq!(without_spans(&again), without_spans(&statement), "printed as {printed:?}"),
            // Every operation is printed with its parentheses, so the text may nest deeper than it was written.
            Err(error) if error.message.contains("Statement is too large") => {}
            Err(error) => panic!("printed as {printed:?}, which is refused: {}", error.message),
        }
        match bind(catalog, &Session::default(), &statement) {
            Ok(Bound::View(view) | Bound::Insert(view)) => drop(view.to_string()),
            Ok(Bound::Source(source)) => drop(source.to_string()),
            Ok(_) => {}
            Err(error) => assert!(!error.message.is_empty()),
        }
    }
}

/// Failures that are enough for one run.
const MOST: usize = 20;

#[test]
fn garbled_statements_are_refused_and_nothing_more() {
    #[allow(clippy::disallowed_methods, reason = "a test may ask how long it shall run")]
    let seconds = std::env::var("WEIR_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    #[allow(clippy::disallowed_methods, reason = "the test's length is measured, nothing in the engine")]
    let start = Instant::now();
    let seeds = corpus();
    assert!(seeds.len() > 50, "{} statements", seeds.len());
    let mut random = Random(0x7765_6972);
    let mut texts = 0_u64;
    let mut failed: Vec<String> = Vec::new();
    while start.elapsed() < Duration::from_secs(seconds) && failed.len() < MOST {
        for _ in 0..100 {
            let seed = random.below(seeds.len());
            let text = garble(&seeds, &seeds[seed].text, &mut random);
            let outcome = catch_unwind(AssertUnwindSafe(|| all_of_it(&seeds[seed].catalog, &text)));
            if outcome.is_err() {
                failed.push(text);
            }
            texts += 1;
        }
    }
    assert!(failed.is_empty(), "of {texts} texts these panic:\n{}", failed.join("\n----\n"));
    assert!(texts > 0);
}
