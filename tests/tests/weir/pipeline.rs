//! Real Kafka in, real Elasticsearch or OpenSearch out, and what goes wrong on the way.

use libtest_mimic::Trial;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}
