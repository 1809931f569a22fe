//! The bounds behind the key of a windowed record.

use weir_dataflow::plan::KeyWindow;
use weir_dataflow::views::change::Bounds;

/// A windowed record's key without its bounds, and these; `None` when it is too short to have them.
///
/// Time windows have eight bytes with their start, sessions eight with their end and eight with their start.
pub fn split_window(key: &[u8], window: KeyWindow) -> Option<(&[u8], Bounds)> {
    let (rest, start) = long(key)?;
    match window {
        KeyWindow::Time(size) => Some((rest, Bounds { start, end: start.saturating_add(size) })),
        KeyWindow::Session => {
            let (rest, end) = long(rest)?;
            Some((rest, Bounds { start, end }))
        }
    }
}

fn long(bytes: &[u8]) -> Option<(&[u8], i64)> {
    let (rest, last) = bytes.split_last_chunk::<8>()?;
    Some((rest, i64::from_be_bytes(*last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_taken_off_keys() {
        let mut key = b"k".to_vec();
        key.extend_from_slice(&7_i64.to_be_bytes());
        assert_eq!(split_window(&key, KeyWindow::Time(5)), Some((&b"k"[..], Bounds { start: 7, end: 12 })));
        assert_eq!(split_window(&key, KeyWindow::Session), None);
        key.extend_from_slice(&3_i64.to_be_bytes());
        assert_eq!(split_window(&key, KeyWindow::Session), Some((&b"k"[..], Bounds { start: 3, end: 7 })));
    }
}
