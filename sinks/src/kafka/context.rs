//! What the producer says beside its answers: its log, and errors that belong to no record.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::sync::{Arc, Mutex, PoisonError};

/// Remembers the last error, as the reason of a delay.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    last: Arc<Mutex<Option<String>>>,
}

impl Context {
    pub(super) fn last_error(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn forget_error(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        let bad = matches!(level, Level::Emerg | Level::Alert | Level::Critical | Level::Error);
        // A connection that fails is told once, by the delivery that has to wait for it.
        if bad && facility != "FAIL" {
            tracing::warn!(target: "weir::kafka", facility, "{message}");
        } else {
            tracing::debug!(target: "weir::kafka", facility, "{message}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "weir::kafka", %error, reason);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error}: {reason}"));
    }
}
