//! What is told of a run: each failure with expected and actual side by side, a summary by family, the totals.

use super::case::Case;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Why a case failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// In a sentence.
    pub reason: String,
    /// What should have come and what came, in pairs: lines that differ stand beside each other.
    pub lines: Vec<(String, String)>,
}

impl Failure {
    /// A failure without anything to compare.
    pub fn new(reason: impl Into<String>) -> Self {
        Failure { reason: reason.into(), lines: Vec::new() }
    }

    /// Something else came than was expected.
    pub fn compared(reason: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Failure { reason: reason.into(), lines: vec![(expected.into(), actual.into())] }
    }
}

/// How one case went.
pub struct Outcome<'a> {
    /// The case.
    pub case: &'a Case,
    /// `Ok` when it passed.
    pub result: Result<(), Failure>,
}

/// Writes one failure.
///
/// # Errors
/// It cannot be written.
pub fn failure(out: &mut dyn Write, case: &Case, failure: &Failure) -> io::Result<()> {
    writeln!(out, "FAIL {}: {}: {}", case.family(), case.title(), failure.reason)?;
    for (expected, actual) in &failure.lines {
        if expected == actual {
            writeln!(out, "    =        {expected}")?;
        } else {
            let or_nothing = |text: &str| if text.is_empty() { "(nothing)".to_owned() } else { text.to_owned() };
            writeln!(out, "    expected {}", or_nothing(expected))?;
            writeln!(out, "    actual   {}", or_nothing(actual))?;
        }
    }
    Ok(())
}

/// Writes the summary by family and the totals: the last line is `N passed, N failed`.
///
/// # Errors
/// It cannot be written.
pub fn summary(out: &mut dyn Write, outcomes: &[Outcome<'_>]) -> io::Result<()> {
    let mut families: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for outcome in outcomes {
        let counts = families.entry(outcome.case.family()).or_default();
        *(if outcome.result.is_ok() { &mut counts.0 } else { &mut counts.1 }) += 1;
    }
    let width = families.keys().map(|f| f.len()).max().unwrap_or(0);
    for (family, (passed, failed)) in &families {
        writeln!(out, "{family:width$}  {passed:4} passed, {failed:4} failed")?;
    }
    let (passed, failed) = families.values().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    writeln!(out, "{passed} passed, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_and_actual_stand_together() {
        let case = Case { file: "f.json".into(), name: "n".into(), ..Case::default() };
        let failed = Failure {
            reason: "topic 'T' differs".into(),
            lines: vec![("a".into(), "a".into()), ("b".into(), String::new())],
        };
        let mut out = Vec::new();
        failure(&mut out, &case, &failed).unwrap();
        summary(&mut out, &[Outcome { case: &case, result: Err(failed) }, Outcome { case: &case, result: Ok(()) }])
            .unwrap();
        expect_test::expect![[r#"
            FAIL f: f.json n: topic 'T' differs
                =        a
                expected b
                actual   (nothing)
            f     1 passed,    1 failed
            1 passed, 1 failed
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
