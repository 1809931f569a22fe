//! The two ways out: a peek and a subscription.

pub mod change;
pub mod peek;
pub mod rows;
pub mod subscribe;
