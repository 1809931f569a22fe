//! The load test's package; the measuring program comes with the throughput work.
