//! What a store does for each group of an epoch: `cargo bench -p weir-dataflow`.
//!
//! An epoch of 50,000 groups, by number (a user's id) or by text (a user's name, whose first 16 bytes many share).

use arrow_array::{ArrayRef, Int32Array, StringArray};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use weir_dataflow::arrange::keys::by_group;
use weir_dataflow::arrange::merge::Merge;
use weir_dataflow::arrange::{Accum, Dictionary, Key, KeyList, Keys, PackedKeys, Place, Run, dictionary};
use weir_dataflow::row::SqlType;
use weir_dataflow::row::packer::Packer;

const GROUPS: usize = 50_000;

/// Epochs that are merged.
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
    (0..GROUPS).for_each(|row| keys.push_with(|out| packer.push(out, row)));
    keys
}

/// The numbers of an epoch's groups.
fn numbers(groups: &mut Dictionary, keys: &PackedKeys) -> Vec<u32> {
    let (hashes, mut numbers): (Vec<u64>, _) = (keys.iter().map(dictionary::hash).collect(), Vec::new());
    groups.numbers(keys, &hashes, 0, &mut numbers);
    numbers
}

/// A dictionary that knows all groups, and the numbers of some epochs'.
fn epochs() -> (Dictionary, Vec<Vec<u32>>) {
    let mut groups = Dictionary::default();
    let epochs = (0..RUNS).map(|epoch| numbers(&mut groups, &keys(By::Text, epoch))).collect();
    (groups, epochs)
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
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| {
        assert!((0..GROUPS).all(|row| packer.matches(row, keys.get(row))));
    });
}

/// What a grouping asks of each row whose group it has not seen lately: the group's number, which it has.
#[divan::bench(args = BY)]
fn number(bencher: Bencher<'_, '_>, by: By) {
    let (mut groups, keys) = (Dictionary::default(), keys(by, 0));
    numbers(&mut groups, &keys);
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| numbers(&mut groups, &keys));
}

/// All are of one place.
fn all(numbers: &[u32]) -> Range<u32> {
    0..u32::try_from(numbers.len()).unwrap_or(u32::MAX)
}

/// An epoch's end.
#[divan::bench]
fn put_in_order(bencher: Bencher<'_, '_>) {
    let (groups, epochs) = epochs();
    bencher.counter(ItemsCount::new(GROUPS)).bench_local(|| by_group(&epochs[0], &[all(&epochs[0])], groups.end()));
}

/// What a tier does.
#[divan::bench]
fn merge_runs(bencher: Bencher<'_, '_>) {
    let (groups, epochs) = epochs();
    let run = |(epoch, numbers): (u64, &Vec<u32>)| {
        let mut run: Run<Keys> = Run::new(epoch, numbers.len(), 0);
        for at in by_group(numbers, &[all(numbers)], groups.end()) {
            let place = Place { at: 1_704_067_200_000, mark: 0 };
            run.push(Key { group: numbers[at as usize], place }, Accum { rows: 1, time: 7, parts: None });
        }
        run
    };
    let runs: Vec<Rc<Run<Keys>>> = (0..).zip(&epochs).map(run).map(Rc::new).collect();
    bencher.counter(ItemsCount::new(RUNS * GROUPS)).bench_local(|| {
        let mut merge = Merge::new(runs.clone(), RUNS as u64);
        assert!(merge.work(usize::MAX));
        merge.finish()
    });
}
