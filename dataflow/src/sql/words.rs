//! Which words are no names, and which word was meant.

use super::error::Span;
use super::lexer::{Token, TokenKind, lex};

/// Words that need quotes to be a name, because a statement could not be read otherwise. All are reserved in
/// ksqlDB too, which reserves some more (SIZE, TOPIC, …) that are plain names here.
#[rustfmt::skip]
const RESERVED: [&str; 62] = [
    "ALL", "AND", "AS", "AT", "BETWEEN", "BY", "CASE", "CAST", "CREATE", "DAYS", "DELETE", "DESCRIBE", "DISTINCT",
    "DROP", "ELSE", "END", "EXISTS", "EXTENDED", "FALSE", "FROM", "FULL", "GROUP", "HAVING", "HOPPING", "HOURS", "IN",
    "INNER", "INSERT", "INTO", "IS", "JOIN", "LEFT", "LIKE", "LIMIT", "LIST", "MILLISECOND", "MILLISECONDS",
    "MINUTES", "NOT", "NULL", "ON", "OR", "OUTER", "PAUSE", "PRINT", "RESUME", "RIGHT", "SECONDS", "SELECT", "STREAM",
    "TABLE", "TERMINATE", "THEN", "TRUE", "TUMBLING", "UNSET", "VALUES", "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN",
];

/// True when the word, in any case, cannot be a name without quotes.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// True when the name is read back as itself without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    let folded = !name.bytes().any(|byte| byte.is_ascii_lowercase());
    let token = |kind| Token { kind, span: Span { start: 0, end: u32::try_from(name.len()).unwrap_or(u32::MAX) } };
    let one = |kind| lex(name).first() == Some(&token(kind));
    folded && (one(TokenKind::Word) && !is_reserved(name) || one(TokenKind::DigitWord))
}

/// The candidate that was most likely meant by a misspelt word; none when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_uppercase();
    let near = |candidate: &&'a str| {
        let allowed = if candidate.len().min(word.len()) <= 3 { 1 } else { 2 };
        let distance = distance(&word, &candidate.to_ascii_uppercase());
        (distance > 0 && distance <= allowed).then_some(distance)
    };
    candidates.into_iter().filter_map(|c| near(&c).map(|d| (d, c))).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// How many letters to insert, delete, replace or swap with their neighbour to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let above = &rows[i];
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let words = ["CREATE", "STREAM", "TABLE", "FROM", "BY"];
        assert_eq!(nearest("craete", words), Some("CREATE"));
        assert_eq!(nearest("STREM", words), Some("STREAM"));
        assert_eq!(nearest("FORM", words), Some("FROM"));
        assert_eq!(nearest("BYE", words), Some("BY"));
        assert_eq!(nearest("customers", words), None);
        assert_eq!(nearest("FROM", words), None);
    }

    #[test]
    fn plain_names_need_no_quotes() {
        assert!(["A", "_TIME", "TIME", "SIZE", "A1@B", "1R"].into_iter().all(is_plain));
        assert!(!["", "a", "1", "1E3", "SELECT", "A-B", " A", "A ", "Ä"].into_iter().any(is_plain));
    }
}
