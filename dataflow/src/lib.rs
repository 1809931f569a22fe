//! The engine of weir: rows, SQL, plans and views, incrementally maintained on timely and differential dataflow.
//!
//! No IO, no async, no clock and no environment in here. In reading order: data ([`row`], [`time`]), text to
//! statements ([`sql`]), statements to plans ([`bind`], [`plan`]), state ([`arrange`]), plans to dataflows ([`render`]),
//! what comes out of them ([`views`]), and a worker's whole of it ([`engine`]).

pub mod row;
pub mod time;
pub mod prefetch;
pub mod safepoint;
pub mod sql;
pub mod bind;
pub mod plan;
pub mod arrange;
pub mod render;
pub mod views;
pub mod engine;
