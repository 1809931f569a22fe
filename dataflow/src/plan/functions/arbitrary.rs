//! Functions whose value has no meaning: random numbers and identifiers.
//!
//! They are drawn from the row's place in its partition, so that a record that is read again gets the same ones.

use super::{Call, Definition, Parameter as P, Signature, string};
use crate::row::Value;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "RANDOM",
        "A number from 0 to less than 1, another one in each row",
        &[Signature::new(&[], P::Double, |c| Some(Value::Double((draw(c, 0) >> 11) as f64 / (1_u64 << 53) as f64)))],
    )
    .changing(),
    Definition::new(
        "UUID",
        "An identifier, another one in each row; or the one that 16 bytes say",
        &[
            Signature::new(&[], P::String, |c| {
                let random = (u128::from(draw(c, 1)) << 64) | u128::from(draw(c, 2));
                // Version 4, variant 1.
                let bits = (random & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
                Some(string(uuid(bits)))
            }),
            Signature::new(&[P::Bytes], P::String, |c| {
                Some(string(uuid(u128::from_be_bytes(c.bytes(0)?.try_into().ok()?))))
            }),
        ],
    )
    .changing(),
];

fn draw(c: &Call<'_>, salt: u64) -> u64 {
    FixedState::with_seed(salt).hash_one((c.row.partition, c.row.offset, c.row.time, c.row.columns))
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    let parts: Vec<&str> = [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().filter_map(|r| hex.get(r)).collect();
    parts.join("-")
}
