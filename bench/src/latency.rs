//! Latencies, kept in a histogram from a microsecond to ten minutes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Latencies of one kind.
pub(crate) struct Latencies(Histogram<u64>);

/// What is told of them, milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// How many took how long: upper bound in ms, count; where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Latencies(Histogram::new_with_bounds(1, 600_000_000, 3)?))
    }

    /// Takes in so many of this length.
    pub(crate) fn record(&mut self, took: Duration, times: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.0.saturating_record_n(micros, times);
    }

    /// `None` where there are none.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        if self.0.is_empty() {
            return None;
        }
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |q| ms(self.0.value_at_quantile(q));
        let step = (self.0.max() / 60).max(1);
        let bars = self.0.iter_linear(step).map(|v| (ms(v.value_iterated_to()), v.count_since_last_iteration()));
        Some(Quantiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: ms(self.0.max()),
            buckets: bars.filter(|(_, n)| *n > 0).collect(),
        })
    }
}
