//! Scripts with mistakes: `weir check` reports every one, with its place.
//!
//! Beside `NAME.sql` stands `NAME.expected`: a line a mistake, in order, `LINE:COLUMN: words that the message has`.
//! Messages are compared without regard to case.

use crate::program::{Run, workspace};
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;

/// One test a script.
pub(crate) fn trials() -> Vec<Trial> {
    let folder = workspace().join("tests/data/errors");
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut scripts: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    scripts.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    scripts.sort();
    let name = |script: &Path| format!("errors/{}", script.file_stem().unwrap_or_default().to_string_lossy());
    scripts.into_iter().map(|script| turn::shared(name(&script), move || run(&script))).collect()
}

fn run(script: &Path) -> Result<()> {
    let file = script.file_name().context("a script has a name")?;
    let finished = Run::new(["check"])?.args([file]).folder(script.parent().context("and a folder")?).finish()?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    ensure!(finished.status == Some(1), "status {:?}, not 1:\n{said}", finished.status);
    let start = format!("{}:", file.to_string_lossy());
    let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(&start)).collect();
    let expected = fs::read_to_string(script.with_extension("expected"))?;
    let expected: Vec<&str> = expected.lines().filter(|l| !l.trim().is_empty()).collect();
    ensure!(found.len() == expected.len(), "{} mistakes expected, {} found:\n{said}", expected.len(), found.len());
    for (expected, found) in expected.iter().zip(&found) {
        let (place, words) = expected.split_once(": ").context("an expectation is LINE:COLUMN: WORDS")?;
        let (at, message) = found.split_once(": ").unwrap_or((found, ""));
        let same = at == place && message.to_lowercase().contains(&words.to_lowercase());
        ensure!(same, "expected {expected}\n   found {found}\n{said}");
    }
    Ok(())
}
