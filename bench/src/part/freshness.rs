//! How long it takes until a subscriber has the changes that a click makes.
//!
//! A view of the test's own counts all clicks, so each of its changes tells how many are in as of an epoch. When every
//! followed view has told its changes up to that epoch, these clicks have become visible. Clicks are taken to be counted in the
//! order in which they were due: with one partition they are, with several nearly.

use crate::latency::Latencies;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When clicks are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) start: Instant,
    /// Clicks a second.
    pub(super) rate: u64,
}

impl Due {
    /// When a click is due.
    pub(super) fn of(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate as f64)
    }
}

/// See the module's head.
pub(super) struct Freshness {
    due: Option<Due>,
    warm_up: Duration,
    /// Of each followed view: it has told all epochs before this one.
    uppers: Vec<u64>,
    /// Clicks that are in before an epoch.
    counts: VecDeque<(u64, u64)>,
    visible: u64,
    pub(super) latencies: Latencies,
}

/// Clicks that are looked at together.
const STEP: u64 = 64;

impl Freshness {
    /// For so many views.
    pub(super) fn new(views: usize, warm_up: f64) -> anyhow::Result<Self> {
        Ok(Freshness {
            due: None,
            warm_up: Duration::from_secs_f64(warm_up),
            uppers: vec![0; views],
            counts: VecDeque::new(),
            visible: 0,
            latencies: Latencies::new()?,
        })
    }

    /// Clicks are due from now on.
    pub(super) fn begin(&mut self, due: Due) {
        self.due = Some(due);
    }

    /// A view has told all epochs before `upper`; the counting one also how many clicks are in.
    pub(super) fn told(&mut self, view: usize, upper: u64, count: Option<u64>, now: Instant) -> u64 {
        self.uppers[view] = upper;
        self.counts.extend(count.map(|count| (upper, count)));
        let all = self.uppers.iter().copied().min().unwrap_or(0);
        while let Some((_, count)) = self.counts.pop_front_if(|(upper, _)| *upper <= all) {
            let mut next = self.visible;
            while let Some(due) = self.due.filter(|_| next < count) {
                let (from, step) = (due.of(next), STEP.min(count - next));
                if from >= due.start + self.warm_up {
                    self.latencies.record(now.saturating_duration_since(from), step);
                }
                next += step;
            }
            self.visible = count;
        }
        self.visible
    }
}
