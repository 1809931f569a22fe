//! The clickstream script over generated clicks, against the plain recomputation: few keys and many, in several
//! cluster shapes.

use crate::case::{difference, rows_of};
use crate::clicks::{Clickstream, Scale};
use crate::data::{Shape, replay};
use crate::program::workspace;
use crate::{turn, twin};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;

/// The shapes of the comparison with other engines.
pub(crate) const SHAPES: [Shape; 4] = [
    Shape { name: "1-worker", workers: 1, processes: 1, chunk_bytes: None },
    Shape { name: "2-workers", workers: 2, processes: 1, chunk_bytes: None },
    Shape { name: "4-workers", workers: 4, processes: 1, chunk_bytes: None },
    Shape { name: "2-processes", workers: 1, processes: 2, chunk_bytes: None },
];

const CUT: Shape = Shape { name: "uneven-chunks", workers: 2, processes: 1, chunk_bytes: Some(777) };

const FEW_KEYS: Scale = Scale { clicks: 40_000, users: 40, addresses: 30, span: 900_000 };
const MANY_KEYS: Scale = Scale { clicks: 60_000, users: 20_000, addresses: 10_000, span: 300_000 };

/// One test a scale and shape.
pub(crate) fn trials() -> Vec<Trial> {
    let scales = [("few-keys", FEW_KEYS), ("many-keys", MANY_KEYS)];
    let cases = scales.into_iter().flat_map(|s| SHAPES.iter().chain([&CUT]).map(move |shape| (s, shape)));
    cases
        .map(|((name, scale), shape)| {
            turn::shared(format!("clickstream/{name}/{}", shape.name), move || run(scale, shape))
        })
        .collect()
}

fn run(scale: Scale, shape: &Shape) -> Result<()> {
    let data = Clickstream::generate(scale, 7);
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let script = workspace().join("cluster/src/demo/clickstream.sql");
    let mut args = vec!["replay".to_owned(), script.display().to_string()];
    args.extend(data.write(folder.path())?);
    args.extend(["--out".to_owned(), out.display().to_string()]);
    let summary = replay(&args, shape, folder.path())?.summary()?;
    for (table, expected) in twin::tables(&data) {
        let difference = difference(&expected, &rows_of(&out.join(format!("{table}.jsonl")))?);
        ensure!(difference.is_empty(), "{table}: - expected and missing, + there and not expected\n{difference}");
    }
    ensure!(summary["late"] == 0 && summary["rejected"] == 0, "none is late or rejected: {summary}");
    let positive = ["events", "seconds", "events_per_s", "cpu_s", "rss_mb"];
    for field in positive {
        ensure!(summary[field].as_f64().is_some_and(|n| n > 0.0), "no positive '{field}' in {summary}");
    }
    Ok(())
}
