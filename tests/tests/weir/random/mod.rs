//! Random scripts over random records, in every cluster shape, against a naive evaluator that shares no code with
//! weir.
//!
//! `WEIR_RANDOM_SCRIPTS=500 WEIR_RANDOM_SEED=7 cargo test --release -p weir-tests random` tries that many scripts from
//! that seed on (50 and 1 unless told). Some scripts share a run. One that fails is tried alone and made smaller; what
//! is left of it is printed with its seed.

mod expr;
mod generate;
mod naive;
mod pairs;
mod phrase;
mod records;
mod script;

use crate::case::difference;
use crate::data::{Shape, replay};
use crate::turn;
use anyhow::{Context as _, Result, bail, ensure};
use expr::{Type, Value};
use libtest_mimic::Trial;
use script::{Made, Relation, Script};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The shapes of every script. 16 chunks are an epoch, so those of 8 bytes have a record or two.
const SHAPES: [Shape; 5] = [
    Shape { name: "1-worker", workers: 1, processes: 1, chunk_bytes: None },
    Shape { name: "4-workers", workers: 4, processes: 1, chunk_bytes: None },
    Shape { name: "2-processes", workers: 2, processes: 2, chunk_bytes: None },
    Shape { name: "few-records-an-epoch", workers: 1, processes: 1, chunk_bytes: Some(8) },
    Shape { name: "small-chunks", workers: 3, processes: 1, chunk_bytes: Some(150) },
];

/// Scripts that share a run.
const TOGETHER: u64 = 10;

/// Runs that making a script smaller may take.
const ATTEMPTS: usize = 150;

/// One test for some scripts in all shapes.
pub(crate) fn trials() -> Vec<Trial> {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise);
    let (scripts, seed) = (number("WEIR_RANDOM_SCRIPTS", 50), number("WEIR_RANDOM_SEED", 1));
    let groups = (0..scripts).step_by(usize::try_from(TOGETHER).unwrap_or(1));
    groups
        .map(|first| {
            let seeds = seed + first..seed + scripts.min(first + TOGETHER);
            turn::shared(format!("random/seeds-{}-to-{}", seeds.start, seeds.end - 1), move || run(seeds))
        })
        .collect()
}

fn run(seeds: std::ops::Range<u64>) -> Result<()> {
    let scripts: Vec<Script> = seeds.clone().map(|seed| generate::script(seed, &format!("X{seed}_"))).collect();
    for shape in &SHAPES {
        let complaints = compare(&scripts, shape)?;
        let Some(first) = complaints.first() else { continue };
        for (seed, script) in seeds.clone().zip(&scripts) {
            let mine = |c: &Complaint| c.view.as_ref().is_none_or(|v| script.relations.iter().any(|r| r.name == *v));
            if complaints.iter().any(mine)
                && let Some(complaint) = compare(std::slice::from_ref(script), shape)?.into_iter().next()
            {
                return Err(smaller(script.clone(), complaint, shape, seed)?);
            }
        }
        bail!("{}, only when the scripts of seeds {seeds:?} share a run: {}", shape.name, first.text);
    }
    Ok(())
}

/// Where a replay differs from the twin.
struct Complaint {
    /// `None`: not in a view's rows.
    view: Option<String>,
    text: String,
}

impl Complaint {
    /// They may have one cause.
    fn is_like(&self, other: &Complaint) -> bool {
        let words = |text: &str| -> String {
            let said = text.split_once("ended with").map_or(text, |(_, said)| said);
            said.lines().next_back().unwrap_or_default().chars().filter(|c| c.is_alphabetic()).collect()
        };
        self.view == other.view && (self.view.is_some() || words(&self.text) == words(&other.text))
    }
}

/// Replays scripts together.
fn compare(scripts: &[Script], shape: &Shape) -> Result<Vec<Complaint>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let file = folder.path().join("script.sql");
    fs::write(&file, scripts.iter().map(Script::sql).collect::<String>())?;
    let mut args: Vec<String> = vec!["replay".into(), file.display().to_string()];
    for topic in scripts.iter().flat_map(Script::topics) {
        for (partition, records) in topic.partitions.iter().enumerate() {
            let file = folder.path().join(format!("{}.{partition}", topic.name));
            fs::write(&file, records.iter().map(|r| format!("{}\n", r.line)).collect::<String>())?;
            args.extend(["--records".into(), format!("{}={}", topic.name, file.display())]);
        }
    }
    args.extend(["--streams", "all", "--out", &out.display().to_string()].map(str::to_owned));
    let summary = match replay(&args, shape, folder.path()).and_then(|finished| finished.summary()) {
        Ok(summary) => summary,
        Err(error) => return Ok(vec![Complaint { view: None, text: format!("{error:#}") }]),
    };
    let mut complaints = Vec::new();
    let (mut rejected, mut late) = (0, 0);
    for script in scripts {
        let expected = naive::evaluate(script);
        (rejected, late) = (rejected + expected.rejected, late + expected.late);
        for relation in script.relations.iter().filter(|r| r.view().is_some()) {
            let (expected, actual) = (expected.rows.get(&relation.name), rows(relation, &out)?);
            let expected: Vec<String> =
                expected.into_iter().flatten().filter(|row| !is_empty_group(relation, row)).cloned().collect();
            let difference = difference(&expected, &actual);
            if !difference.is_empty() {
                let text = format!("{}: - the twin's, + weir's\n{difference}", relation.name);
                complaints.push(Complaint { view: Some(relation.name.clone()), text });
            }
        }
    }
    for (what, expected) in [("rejected", rejected), ("late", late)] {
        if summary[what].as_u64() != Some(expected) && complaints.is_empty() {
            complaints.push(Complaint { view: None, text: format!("{what}: the twin counts {expected}: {summary}") });
        }
    }
    Ok(complaints)
}

/// A view's rows as the twin spells them.
fn rows(relation: &Relation, out: &Path) -> Result<Vec<String>> {
    let file = out.join(format!("{}.jsonl", relation.name));
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read '{}'", file.display()))?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let mut cells = Vec::new();
        for column in &relation.columns {
            let cell = row.get(&column.name).with_context(|| format!("no {} in {line}", column.name))?;
            let cell = value(cell, column.ty).with_context(|| format!("{} in {line}", column.name))?;
            cells.push((column.name.as_str(), cell.to_string()));
        }
        for bound in ["WINDOWSTART", "WINDOWEND"] {
            cells.extend(row.get(bound).map(|v| (bound, v.to_string())));
        }
        ensure!(row.as_object().is_some_and(|o| o.len() == cells.len()), "more columns than declared: {line}");
        rows.push(row_text(cells.into_iter()));
    }
    rows.retain(|row| !is_empty_group(relation, row));
    Ok(rows)
}

fn is_empty_group(relation: &Relation, row: &str) -> bool {
    relation.empty_groups.as_ref().is_some_and(|count| row.split(' ').any(|cell| cell == format!("{count}=0")))
}

fn row_text<'a>(cells: impl Iterator<Item = (&'a str, String)>) -> String {
    cells.map(|(name, cell)| format!("{name}={cell}")).collect::<Vec<_>>().join(" ")
}

fn value(cell: &serde_json::Value, ty: Type) -> Result<Value> {
    let value = match ty {
        _ if cell.is_null() => Some(Value::Null),
        Type::Boolean => cell.as_bool().map(Value::Boolean),
        Type::Int | Type::Bigint => cell.as_i64().map(Value::Whole),
        Type::Double => cell.as_f64().map(Value::Double),
        Type::Text => cell.as_str().map(|t| Value::Text(t.to_owned())),
    };
    value.with_context(|| format!("{cell} is no {}", ty.sql()))
}

/// Takes parts away from a script as long as it still fails; gives the error to report.
fn smaller(mut script: Script, mut complaint: Complaint, shape: &Shape, seed: u64) -> Result<anyhow::Error> {
    let mut attempts = 0;
    let mut try_it = |smaller: Script, script: &mut Script, complaint: &mut Complaint| -> Result<bool> {
        attempts += 1;
        if attempts > ATTEMPTS {
            return Ok(false);
        }
        // It must fail in the same way.
        let mut found = compare(std::slice::from_ref(&smaller), shape)?.into_iter();
        Ok(found.find(|found| found.is_like(complaint)).is_some_and(|found| {
            (*script, *complaint) = (smaller, found);
            true
        }))
    };
    let only = complaint.view.clone();
    for view in script.relations.iter().filter_map(|r| r.view().map(|_| r.name.clone())).collect::<Vec<_>>() {
        if only.as_ref().is_none_or(|only| *only == view) {
            let mut one = script.clone();
            one.keep(|r| r.name == view);
            if try_it(one, &mut script, &mut complaint)? {
                break;
            }
        }
    }
    // Records, half of a partition first, then ever less.
    for relation in 0..script.relations.len() {
        for partition in 0..partitions(&script, relation).map_or(0, |p| p.len()) {
            let count = |s: &mut Script| partitions_mut(s, relation).map_or(0, |p| p[partition].len());
            let mut length = count(&mut script);
            while length > 0 {
                let mut from = 0;
                while from < count(&mut script) {
                    let mut less = script.clone();
                    let to = count(&mut script).min(from + length);
                    if let Some(partitions) = partitions_mut(&mut less, relation) {
                        partitions[partition].drain(from..to);
                    }
                    if !try_it(less, &mut script, &mut complaint)? {
                        from += length;
                    }
                }
                length /= 2;
            }
        }
    }
    // What the last view does beside.
    let last = script.relations.len() - 1;
    let mut item = script.relations[last].columns.len();
    while item > script.relations[last].keys() {
        item -= 1;
        let mut less = script.clone();
        let relation = &mut less.relations[last];
        let empty_groups = relation.empty_groups == Some(relation.columns[item].name.clone());
        if let Made::View(view) = &mut relation.made
            && relation.columns.len() > relation.columns.iter().filter(|c| c.key).count() + 1
            && !empty_groups
        {
            view.items.remove(item);
            relation.columns.remove(item);
            try_it(less, &mut script, &mut complaint)?;
        }
    }
    for clause in 0..3 {
        let mut less = script.clone();
        if let Made::View(view) = &mut less.relations[last].made {
            match (clause, &mut view.group) {
                (0, _) => view.filter = None,
                (1, Some(group)) => group.having = None,
                (2, Some(group)) => group.window = None,
                _ => continue,
            }
            try_it(less, &mut script, &mut complaint)?;
        }
    }
    let mut text = format!("seed {seed}, {}\n{}\n", shape.name, script.sql());
    for topic in script.topics() {
        for (partition, records) in topic.partitions.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            writeln!(text, "== {}, partition {partition}", topic.name)?;
            records.iter().try_for_each(|r| writeln!(text, "{}", r.line))?;
        }
    }
    Ok(anyhow::anyhow!("{text}\n{}", complaint.text))
}

fn partitions(script: &Script, relation: usize) -> Option<&Vec<Vec<script::Record>>> {
    match &script.relations[relation].made {
        Made::Declared(topic) => Some(&topic.partitions),
        Made::View(_) => None,
    }
}

fn partitions_mut(script: &mut Script, relation: usize) -> Option<&mut Vec<Vec<script::Record>>> {
    match &mut script.relations[relation].made {
        Made::Declared(topic) => Some(&mut topic.partitions),
        Made::View(_) => None,
    }
}
