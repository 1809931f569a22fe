//! What a store does for each group of an epoch: `cargo bench -p weir-dataflow`.
//!
//! An epoch of 50,000 groups, by number (a user's id) or by text (a user's name, whose first 16 bytes many share), each
//! with a window's start behind it.

use arrow_array::{ArrayRef, Int32Array, StringArray};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::sync::Arc;
use weir_dataflow::arrange::keys::in_order;
use weir_dataflow::arrange::{Accum, PackedKeys, Run};
use weir_dataflow::row::packer::Packer;
use weir_dataflow::row::{SqlType, packed};

const GROUPS: usize = 50_000;

/// Runs that a store merges in one go.
const RUNS: usize = 8;

fn main() {
    divan::main();
}

#[derive(Clone, Copy, Debug)]
enum By {
    Number,
    Text,
}

const BY: [By; 2] = [By::Number, By::Text];

/// The groups of an epoch, in no order.
fn column(by: By, epoch: usize) -> (ArrayRef, SqlType) {
    let user = move |i: usize| (i * 7919 + epoch * 104_729) % 100_003;
    match by {
        By::Number => {
            let users: Int32Array = (0..GROUPS).map(|i| i32::try_from(user(i)).ok()).collect();
            (Arc::new(users), SqlType::Int)
        }
        By::Text => {
            let name = |user: usize| format!("{}_{user}", ["DimitriSchenz88", "AndySims_345324"][user % 2]);
            let users: StringArray = (0..GROUPS).map(|i| Some(name(user(i)))).collect();
            (Arc::new(users), SqlType::String)
        }
    }
}

fn keys(by: By, epoch: usize) -> PackedKeys {
    let packer = Packer::new(vec![column(by, epoch)]);
    let mut keys = PackedKeys::default();
    for row in 0..GROUPS {
        keys.push_with(|out| {
            packer.push(out, row);
            packed::push_i64(out, 1_704_067_200_000);
        });
    }
    keys
}

fn run(by: By, epoch: usize) -> Run {
    let keys = keys(by, epoch);
    let mut run = Run::new(epoch as u64, keys.len(), keys.bytes());
    for place in in_order(&[&keys]) {
        run.push(keys.get(place.at as usize), Accum { rows: 1, time: 7, parts: None });
    }
    run
}

/// What a grouping asks of each row.
#[divan::bench(args = BY)]
fn hash(bencher: Bencher<'_, '_>, by: By) {
    let packer = Packer::new(vec![column(by, 0)]);
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| packer.hashes(GROUPS));
}

/// Whether a row belongs to the group that it was found in.
#[divan::bench(args = BY)]
fn compare(bencher: Bencher<'_, '_>, by: By) {
    let (packer, keys) = (Packer::new(vec![column(by, 0)]), keys(by, 0));
    let behind = |row: usize| &keys.get(row)[keys.get(row).len() - 8..];
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| {
        assert!((0..GROUPS).all(|row| packer.matches(row, keys.get(row), behind(row))));
    });
}

/// An epoch's end.
#[divan::bench(args = BY)]
fn put_in_order(bencher: Bencher<'_, '_>, by: By) {
    let keys = keys(by, 0);
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| in_order(&[&keys]));
}

/// Every eighth epoch's end.
#[divan::bench(args = BY)]
fn merge_runs(bencher: Bencher<'_, '_>, by: By) {
    let runs: Vec<Run> = (0..RUNS).map(|epoch| run(by, epoch)).collect();
    let runs: Vec<&Run> = runs.iter().collect();
    bencher.counter(ItemsCount::new(RUNS * GROUPS)).bench_local(|| Run::merged(&runs, RUNS as u64));
}
