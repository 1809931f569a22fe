//! Whether and when to try again.

use crate::SinkError;
use std::time::Duration;

/// The pauses between attempts: each twice the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again after this pause.
    After(Duration),
    /// Trying again cannot help.
    GiveUp,
}

impl Backoff {
    /// The decision after the attempt number `attempt` (from 1) without any progress, with `jitter` from 0 to 1.
    ///
    /// What can pass by itself is tried again for ever: giving up would lose rows. The pause is between half of
    /// its length and all of it, so that many deliveries to one server do not come back in step.
    pub fn decide(&self, error: &SinkError, attempt: u32, jitter: f64) -> Retry {
        match error {
            SinkError::Failed(_) => Retry::GiveUp,
            SinkError::Unavailable(_) => {
                let doublings = attempt.saturating_sub(1).min(20);
                let pause = self.first.saturating_mul(1 << doublings).min(self.longest);
                Retry::After(pause.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let away = SinkError::Unavailable("away".into());
        let pause = |attempt, jitter| match Backoff::default().decide(&away, attempt, jitter) {
            Retry::After(pause) => pause.as_millis(),
            Retry::GiveUp => panic!("gave up"),
        };
        let pauses: Vec<u128> = (1..=9).map(|n| pause(n, 1.0)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
        assert_eq!(pause(1, 0.0), 50);
        assert_eq!(pause(u32::MAX, 1.0), 10000);
        assert_eq!(Backoff::default().decide(&SinkError::Failed("no".into()), 1, 0.5), Retry::GiveUp);
    }
}
