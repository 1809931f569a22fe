//! Text to statements: a lexer and a recursive descent of our own, for ksqlDB's grammar is in no published
//! parser. Every token keeps its place, so every error names a line and a column.

pub mod ast;
pub mod error;
mod lexer;
mod parser;
mod words;

pub use parser::{parse, parse_one};
pub use words::nearest;
