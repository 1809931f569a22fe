//! The weir program, in the order in which a request meets it: what was typed, what it means, statements and
//! queries, the ways in and out, and what is counted.

pub mod args;
pub mod config;

pub mod command;
pub mod mesh;
pub mod worker;

pub mod connect;
pub mod http;
pub mod intake;

pub mod serve;
pub mod demo;
pub mod replay;
pub mod conformance;
pub mod generate;

pub mod clock;
pub mod pages;
pub mod threads;
pub mod metrics;
pub mod processing_log;
