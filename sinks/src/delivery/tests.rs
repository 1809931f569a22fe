//! Deliveries to a sink that does as it is told.

use super::*;
use crate::conformance::{batch, change, changes, target};
use crate::{Chunk, Progress, SinkError};
use std::collections::VecDeque;

/// What the sink is told, and what it got.
#[derive(Default)]
struct Script {
    /// The errors of the next flushes with rows.
    errors: VecDeque<SinkError>,
    /// Flushes do not end.
    hangs: bool,
    got: Vec<u64>,
    largest_write: usize,
}

struct Scripted {
    script: Arc<Mutex<Script>>,
    accepted: Vec<Chunk>,
}

impl Sink for Scripted {
    fn accept(&mut self, chunk: Chunk) {
        self.accepted.push(chunk);
    }

    async fn flush(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        if self.accepted.is_empty() {
            return Ok(());
        }
        if self.script.lock().unwrap().hangs {
            std::future::pending::<()>().await;
        }
        let mut script = self.script.lock().unwrap();
        if let Some(error) = script.errors.pop_front() {
            return Err(error);
        }
        let rows = self.accepted.iter().map(|c| c.rows.len()).sum();
        script.largest_write = script.largest_write.max(rows);
        progress.delivered += rows as u64;
        script.got.extend(self.accepted.drain(..).map(|c| c.lower));
        Ok(())
    }
}

fn start(options: Options) -> (DeliveryHandle, Arc<Mutex<Script>>) {
    let script: Arc<Mutex<Script>> = Arc::default();
    let sink = Scripted { script: script.clone(), accepted: Vec::new() };
    let handle = Delivery::start(sink, &target(), options, Box::new(|_| {}), &Handle::current());
    (handle, script)
}

fn options() -> Options {
    let mut options = Options::new(std::env::temp_dir());
    options.queue.rows = 50;
    options.write_rows = 30;
    options
}

/// Waits until the status is as wanted; time is the test's own, so waiting costs none.
async fn until(delivery: &DeliveryHandle, wanted: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..100_000 {
        let status = delivery.status();
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{:?}", delivery.status());
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_what_comes() {
    let (delivery, script) = start(options());
    delivery.pause();
    until(&delivery, |s| s.state == State::Paused).await;
    let batches = changes(0..100);
    let rows: usize = batches.iter().map(|b| b.rows.len()).sum();
    batches.into_iter().for_each(|batch| delivery.send(batch));
    let status = until(&delivery, |s| s.spilled_bytes > 0).await;
    assert_eq!((status.pending, status.delivered), (rows as u64, 0));
    delivery.resume();
    let status = until(&delivery, |s| s.pending == 0).await;
    assert_eq!((status.state, status.delivered, status.delivered_to), (State::Running, rows as u64, 100));
    let script = script.lock().unwrap();
    assert_eq!(script.got, (0..100).collect::<Vec<_>>());
    assert!(script.largest_write < 30 + 7);
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_waited_for_and_what_does_not_waits_for_somebody() {
    let (delivery, script) = start(options());
    let away = || SinkError::Unavailable("away".into());
    script.lock().unwrap().errors = [away(), away(), away(), SinkError::Failed("wrong password".into())].into();
    delivery.send(batch(0, vec![change(1, Some(1))]));
    let began = Instant::now();
    until(&delivery, |s| matches!(&s.state, State::Retrying { reason, .. } if reason == "away")).await;
    let failed = State::Failed { trace: "wrong password".into() };
    until(&delivery, |s| s.state == failed).await;
    // 100, 200 and 400 ms, each at least half of it.
    assert!((350..=710).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    delivery.send(batch(1, vec![change(1, Some(2))]));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(delivery.status().pending, 2);
    delivery.resume();
    until(&delivery, |s| s.pending == 0 && s.state == State::Running).await;
    assert_eq!(script.lock().unwrap().got, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_delivers_what_it_can_in_its_time() {
    let (delivery, script) = start(options());
    changes(0..100).into_iter().for_each(|batch| delivery.send(batch));
    let status = delivery.stop(Duration::from_secs(1)).await;
    assert_eq!((status.state, status.pending), (State::Stopped, 0));
    assert_eq!(script.lock().unwrap().got.len(), 100);

    let (delivery, script) = start(options());
    script.lock().unwrap().hangs = true;
    delivery.send(batch(0, vec![change(1, Some(1))]));
    until(&delivery, |s| s.pending == 1).await;
    let began = Instant::now();
    let status = delivery.stop(Duration::from_secs(5)).await;
    assert_eq!((status.state, status.pending, began.elapsed().as_secs()), (State::Stopped, 1, 5));

    let (delivery, script) = start(options());
    script.lock().unwrap().errors = std::iter::repeat_n(SinkError::Unavailable("away".into()), 1000).collect();
    delivery.send(batch(0, vec![change(1, Some(1))]));
    let began = Instant::now();
    assert_eq!(delivery.stop(Duration::from_secs(5)).await.pending, 1);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_ends_the_task() {
    let (delivery, script) = start(options());
    script.lock().unwrap().hangs = true;
    delivery.send(batch(0, vec![change(1, Some(1))]));
    until(&delivery, |s| s.pending == 1).await;
    drop(delivery);
    while Arc::strong_count(&script) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_spill_file_that_cannot_be_written_is_a_failure_with_its_losses() {
    let mut options = options();
    options.queue.directory = "/nowhere/at/all".into();
    let (delivery, _) = start(options);
    delivery.pause();
    until(&delivery, |s| s.state == State::Paused).await;
    let batches = changes(0..40);
    let rows: usize = batches.iter().map(|b| b.rows.len()).sum();
    batches.into_iter().for_each(|batch| delivery.send(batch));
    let status = until(&delivery, |s| s.lost > 0).await;
    assert_eq!((status.pending, status.lost), (0, rows as u64));
    delivery.resume();
    let status = until(&delivery, |s| matches!(s.state, State::Failed { .. })).await;
    let State::Failed { trace } = status.state else { return };
    assert!(trace.contains("No such file or directory") && trace.contains("hint"), "{trace}");
    delivery.send(batch(99, vec![change(1, Some(1))]));
    until(&delivery, |s| s.lost == rows as u64 + 1).await;
}
