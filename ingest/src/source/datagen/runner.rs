//! A generator in time: pauses before each record, an end after so many.

use super::config::DatagenConfig;
use super::generator::{Generator, Random};

/// Which rate a generator runs at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As the connector really does, which does not know `maxInterval`.
    Parity,
    /// As its properties were meant.
    Intended,
    /// So many records a second.
    PerSecond(f64),
}

/// How long it waits before a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Some whole milliseconds, evenly from 0 to below this, counted from when the last record was made.
    Random {
        /// The bound in ms.
        below_ms: u64,
    },
    /// So long that there are this many a second; what could not be made in time is made up for.
    Fixed {
        /// Records a second, more than 0.
        per_second: f64,
    },
}

/// A record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// When it was due, in ms since the epoch: its timestamp.
    pub time: i64,
}

/// How far a runner is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// The next record is due then, in ms since the epoch.
    Next(f64),
    /// It made as many records as it was to make, and fails, as the connector does.
    Finished(u64),
}

/// What it is behind by at most, in ms; more is forgotten, as after the machine slept.
const BEHIND: f64 = 1000.0;

/// A generator that is told the time.
#[derive(Clone, Debug)]
pub struct Runner {
    generator: Generator,
    pacing: Pacing,
    iterations: Option<u64>,
    pauses: Random,
    due: f64,
}

impl DatagenConfig {
    /// The pauses at a rate. A rate that is not above 0 counts as the smallest that is.
    pub fn pacing(&self, rate: Rate) -> Pacing {
        match rate {
            Rate::Parity => Pacing::Random { below_ms: self.max_interval_ms },
            Rate::Intended => Pacing::Random { below_ms: self.intended_interval_ms },
            Rate::PerSecond(n) => Pacing::Fixed { per_second: n.max(f64::MIN_POSITIVE) },
        }
    }
}

impl Runner {
    /// Goes on with record number `position`, the first one pause from now. `random` is the seed of the pauses, and of
    /// the records when the properties have none.
    pub fn new(config: &DatagenConfig, rate: Rate, random: u64, position: u64, now_ms: f64) -> Self {
        let mut generator = Generator::new(config.quickstart, config.key_format, config.seed.unwrap_or(random));
        generator.seek(position);
        let mut runner = Runner {
            generator,
            pacing: config.pacing(rate),
            iterations: config.iterations,
            pauses: Random(random),
            due: now_ms,
        };
        runner.resume(now_ms);
        runner
    }

    /// The number of the next record.
    pub fn position(&self) -> u64 {
        self.generator.position()
    }

    /// Makes the records that are due, at most `limit`.
    pub fn step(&mut self, now_ms: f64, limit: usize, mut emit: impl FnMut(Generated<'_>)) -> Progress {
        self.due = self.due.max(now_ms - BEHIND);
        for _ in 0..limit {
            if let Some(n) = self.iterations.filter(|n| *n <= self.position()) {
                return Progress::Finished(n);
            }
            if self.due > now_ms {
                break;
            }
            let time = self.due as i64;
            let (key, value) = self.generator.next();
            emit(Generated { key, value, time });
            self.due += self.pause();
        }
        Progress::Next(self.due)
    }

    /// Starts the pauses anew, after it was not stepped on purpose.
    pub fn resume(&mut self, now_ms: f64) {
        self.due = now_ms + self.pause();
    }

    fn pause(&mut self) -> f64 {
        match self.pacing {
            Pacing::Random { below_ms } => (below_ms as f64 * self.pauses.fraction()).floor(),
            Pacing::Fixed { per_second } => 1000.0 / per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn config(extra: &[(&str, &str)]) -> DatagenConfig {
        let base = [("quickstart", "clickstream"), ("kafka.topic", "t"), ("random.seed", "1")];
        let properties: BTreeMap<String, String> =
            base.iter().chain(extra).map(|(k, v)| ((*k).into(), (*v).into())).collect();
        DatagenConfig::from_properties(&properties).unwrap().0
    }

    /// Times of the records of `seconds`, stepped every 10 ms.
    fn run(runner: &mut Runner, from: f64, seconds: u32) -> Vec<i64> {
        let mut times = Vec::new();
        for i in 0..=seconds * 100 {
            runner.step(from + f64::from(i) * 10.0, usize::MAX, |r| times.push(r.time));
        }
        times
    }

    #[test]
    fn rates_are_what_they_say() {
        let count =
            |extra: &[(&str, &str)], rate| run(&mut Runner::new(&config(extra), rate, 3, 0, 0.0), 0.0, 100).len();
        let near = |n: usize, expected: usize| n.abs_diff(expected) * 8 < expected;
        assert!(near(count(&[], Rate::Parity), 400));
        assert!(near(count(&[("maxInterval", "20")], Rate::Parity), 400));
        assert!(near(count(&[("maxInterval", "20")], Rate::Intended), 10_500));
        assert!(near(count(&[("max.interval", "100")], Rate::Intended), 2_000));
        assert_eq!(count(&[], Rate::PerSecond(1000.0)), 100_000);
        assert_eq!(count(&[], Rate::PerSecond(0.5)), 50);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut runner = Runner::new(&config(&[]), Rate::PerSecond(10.0), 0, 0, 0.0);
        assert_eq!(run(&mut runner, 0.0, 1).len(), 10);
        runner.resume(60_000.0);
        let times = run(&mut runner, 60_000.0, 1);
        assert_eq!((times.len(), times[0]), (10, 60_100));
        // Nor is a clock that jumps, beyond a second.
        let mut burst = 0;
        runner.step(1_000_000.0, usize::MAX, |_| burst += 1);
        assert_eq!(burst, 11);
    }

    #[test]
    fn it_ends_after_its_iterations_and_goes_on_where_it_was() {
        let mut runner = Runner::new(&config(&[("iterations", "5")]), Rate::PerSecond(100.0), 0, 3, 0.0);
        let mut values = Vec::new();
        let progress = runner.step(500.0, usize::MAX, |r| values.push(r.value.to_vec()));
        assert_eq!((progress, values.len(), runner.position()), (Progress::Finished(5), 2, 5));
        let mut whole = Runner::new(&config(&[]), Rate::PerSecond(100.0), 0, 0, 0.0);
        let mut all = Vec::new();
        assert_eq!(whole.step(500.0, 5, |r| all.push(r.value.to_vec())), Progress::Next(60.0));
        assert_eq!(values, all[3..]);
    }
}
