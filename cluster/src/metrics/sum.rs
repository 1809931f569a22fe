//! The metrics of several processes as one text.
//!
//! Texts in the OpenMetrics format come in, one a process; out goes the first, with the others' values added to it,
//! sample by sample. Every sample that weir has can be added: counters, buckets, and gauges of what a process holds.

use std::collections::HashMap;

/// A metric: its comment lines, and its samples with their values.
#[derive(Default)]
struct Family<'a> {
    comments: Vec<&'a str>,
    samples: Vec<(&'a str, &'a str, f64)>,
    at: HashMap<&'a str, usize>,
}

/// The sum of one text and others of the same program.
pub(super) fn sum<'a>(first: &'a str, others: impl Iterator<Item = &'a str>) -> String {
    let mut families: Vec<Family<'a>> = Vec::new();
    let mut by_name: HashMap<&'a str, usize> = HashMap::new();
    for text in std::iter::once(first).chain(others) {
        let mut current = None;
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                let name = comment.split(' ').nth(1).unwrap_or_default();
                let new = !by_name.contains_key(name);
                let at = *by_name.entry(name).or_insert(families.len());
                if new {
                    families.push(Family::default());
                }
                if !families[at].comments.contains(&line) {
                    families[at].comments.push(line);
                }
                current = Some(at);
            } else if let (Some(at), Some((sample, value))) = (current, line.rsplit_once(' ')) {
                families[at].add(sample, value);
            }
        }
    }
    let mut out = String::new();
    let mut line = |parts: &[&str]| {
        out.extend(parts.iter().copied());
        out.push('\n');
    };
    for family in &families {
        family.comments.iter().for_each(|comment| line(&[comment]));
        for (sample, text, value) in &family.samples {
            let written = if text.is_empty() { value.to_string() } else { (*text).to_owned() };
            line(&[sample, " ", &written]);
        }
    }
    line(&["# EOF"]);
    out
}

impl<'a> Family<'a> {
    /// Adds a value to a sample. One that only one process has stays as it was written.
    fn add(&mut self, sample: &'a str, text: &'a str) {
        let value = text.parse().unwrap_or(0.0);
        match self.at.get(sample) {
            Some(&at) => {
                self.samples[at].1 = "";
                self.samples[at].2 += value;
            }
            None => {
                self.at.insert(sample, self.samples.len());
                self.samples.push((sample, text, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn samples_of_one_name_are_added_and_the_rest_is_kept() {
        let first = "# HELP a A.\n# TYPE a counter\na_total{source=\"X Y\"} 3\na_total{source=\"Z\"} 1\n# EOF\n";
        let second = "# HELP b B.\n# TYPE b gauge\nb 0.5\n# HELP a A.\n# TYPE a counter\na_total{source=\"X Y\"} 4\na_total{source=\"W\"} 2\n# EOF\n";
        expect_test::expect![[r#"
            # HELP a A.
            # TYPE a counter
            a_total{source="X Y"} 7
            a_total{source="Z"} 1
            a_total{source="W"} 2
            # HELP b B.
            # TYPE b gauge
            b 0.5
            # EOF
        "#]]
        .assert_eq(&sum(first, std::iter::once(second)));
        assert_eq!(sum(first, std::iter::empty()), first);
    }
}
