//! Text to statements: a lexer and a recursive descent of our own, for ksqlDB's grammar is in no published
//! parser. Every token keeps its place, so every error names a line and a column.

pub mod ast;
#[cfg(test)]
mod cases;
mod display;
pub mod error;
mod lexer;
mod parser;
mod spans;
mod words;

pub use parser::{Variables, define, parse, parse_one, parse_with, substitute};
pub use spans::without_spans;
pub use words::nearest;
