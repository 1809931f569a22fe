//! Numbers from text by Java's rules: `Integer.parseInt`, `Double.parseDouble`, `BigDecimal`, and what `intValue`
//! and `longValue` make of a JSON number.

use weir_dataflow::row::json::write_string;

/// `Integer.parseInt` and `Long.parseLong` in one: a sign or none, digits, within the range; `None` otherwise.
pub(super) fn parse_long(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    if digits.len() <= 18 {
        for &digit in digits {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, for the least number has no positive counterpart.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// `Integer.parseInt`.
pub(super) fn parse_int(text: &[u8]) -> Option<i32> {
    parse_long(text).and_then(|v| i32::try_from(v).ok())
}

/// `longValue` of a JSON number without fraction and exponent: its low 64 bits. `(int)` of that is its `intValue`.
#[inline(always)]
pub(super) fn integer_bits(number: &[u8]) -> i64 {
    let (negative, digits) = match number {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let value = digits.iter().fold(0_i64, |v, d| v.wrapping_mul(10).wrapping_add(i64::from(d.wrapping_sub(b'0'))));
    if negative { value.wrapping_neg() } else { value }
}

/// A whole number of at most 16 digits, with or without a minus, at `all[from..to]`: eight digits in one go. `None` when it
/// is another text or stands too near the end of `all`, and has to be read digit by digit.
#[inline(always)]
pub(super) fn short_number(all: &[u8], from: usize, to: usize) -> Option<i64> {
    let negative = all.get(from) == Some(&b'-');
    let from = from + usize::from(negative);
    let value = match to.checked_sub(from)? {
        count @ 1..=8 => eight_digits(all, from, count)?,
        count @ 9..=16 => eight_digits(all, from, count - 8)? * 100_000_000 + eight_digits(all, to - 8, 8)?,
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

/// A whole number as JSON has it, of at most 16 digits and without a sign, is at `all[from..to]`. False as well when it stands
/// too near the end of `all`.
#[inline(always)]
pub(super) fn is_short_whole(all: &[u8], from: usize, to: usize) -> bool {
    let are_digits = |from, count| eight(all, from, count).is_some();
    let fit = match to.wrapping_sub(from) {
        count @ 1..=8 => are_digits(from, count),
        count @ 9..=16 => are_digits(from, count - 8) && are_digits(to - 8, 8),
        _ => false,
    };
    fit && (all[from] != b'0' || to == from + 1)
}

/// Eight bytes less `'0'`: what each digit stands for.
#[inline(always)]
pub(super) fn digits(word: u64) -> u64 {
    word ^ 0x3030_3030_3030_3030
}

/// Not zero in the lowest byte that is above 9, and zero in those below it.
#[inline(always)]
pub(super) fn above_nine(digits: u64) -> u64 {
    (digits | digits.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0
}

/// What `count` digits from 1 to 8 at `from` stand for, where at least 8 bytes are: the last one in the highest byte, zeros before
/// the first.
#[inline(always)]
fn eight(all: &[u8], from: usize, count: usize) -> Option<u64> {
    let word = u64::from_le_bytes(*all.get(from..)?.first_chunk()?);
    let digits = digits(word) << (8 * (8 - count));
    (above_nine(digits) == 0).then_some(digits)
}

/// The number of these digits.
#[inline(always)]
fn eight_digits(all: &[u8], from: usize, count: usize) -> Option<i64> {
    let digits = eight(all, from, count)?;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours * 10_000 + (fours >> 32)) & 0xffff_ffff) as i64)
}

/// A decimal number as its digits: `digits × 10^exponent`, without the sign.
pub(super) struct Digits {
    negative: bool,
    /// ASCII digits without leading zeros; empty for zero.
    digits: Vec<u8>,
    /// Places behind the point in the text, less its exponent: Java's scale.
    scale: i64,
}

impl Digits {
    /// What `new BigDecimal(text)` reads; `None` when it throws.
    pub(super) fn parse(text: &[u8]) -> Option<Digits> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&rest[..at], i64::from(parse_int(&rest[at + 1..])?)),
            None => (rest, 0),
        };
        let point = mantissa.iter().position(|b| *b == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let all = || whole.iter().chain(fraction);
        if all().next().is_none() || !all().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = all().copied().skip_while(|d| *d == b'0').collect();
        Some(Digits { negative, digits, scale: i64::try_from(fraction.len()).ok()? - exponent })
    }

    /// `BigDecimal.longValue`: the whole part's low 64 bits.
    pub(super) fn low_bits(&self) -> i64 {
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        let whole = usize::try_from((length - self.scale.max(0)).max(0)).unwrap_or(0);
        let mut value = self.digits[..whole.min(self.digits.len())]
            .iter()
            .fold(0_i64, |v, d| v.wrapping_mul(10).wrapping_add(i64::from(d - b'0')));
        if self.scale < 0 {
            // 2^64 divides 10^64.
            value = u32::try_from(-self.scale)
                .ok()
                .filter(|n| *n < 64)
                .map_or(0, |n| value.wrapping_mul(10_i64.wrapping_pow(n)));
        }
        if self.negative { value.wrapping_neg() } else { value }
    }

    /// The unscaled value at DECIMAL(precision, scale); `None` when it does not fit without rounding.
    pub(super) fn unscaled(&self, precision: u8, scale: u8) -> Option<i128> {
        let zeros = self.digits.iter().rev().take_while(|d| **d == b'0').count();
        let digits = &self.digits[..self.digits.len() - zeros];
        if digits.is_empty() {
            return Some(0);
        }
        let shift = i64::from(scale) - self.scale + i64::try_from(zeros).ok()?;
        let shift = u32::try_from(shift).ok()?;
        let value = digits.iter().try_fold(0_i128, |v, d| v.checked_mul(10)?.checked_add(i128::from(d - b'0')))?;
        let value = value.checked_mul(10_i128.checked_pow(shift)?)?;
        let limit = 10_i128.checked_pow(u32::from(precision))?;
        (value < limit).then_some(if self.negative { -value } else { value })
    }

    /// `BigDecimal.toString`: plain, or with an exponent where the scale is negative or the number very small.
    pub(super) fn text(&self) -> String {
        let digits = if self.digits.is_empty() { &b"0"[..] } else { &self.digits };
        let mut out = String::with_capacity(digits.len() + 8);
        if self.negative && !self.digits.is_empty() {
            out.push('-');
        }
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let adjusted = length - 1 - self.scale;
        let push = |out: &mut String, digits: &[u8]| out.extend(digits.iter().map(|d| char::from(*d)));
        if self.scale >= 0 && adjusted >= -6 {
            // Both are small here: scale ≤ length + 5.
            let scale = usize::try_from(self.scale).unwrap_or(0);
            if digits.len() > scale {
                push(&mut out, &digits[..digits.len() - scale]);
            } else {
                out.push('0');
            }
            if scale > 0 {
                out.push('.');
                out.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
                push(&mut out, &digits[digits.len().saturating_sub(scale)..]);
            }
            return out;
        }
        push(&mut out, &digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            push(&mut out, &digits[1..]);
        }
        if adjusted != 0 {
            out.push_str(&format!("E{adjusted:+}"));
        }
        out
    }
}

/// A JSON number as a double.
pub(super) fn number_double(number: &[u8]) -> Option<f64> {
    let v = std::str::from_utf8(number).ok()?.parse::<f64>().ok()?;
    // Java reads a JSON number as an integer or BigDecimal first, and those have no negative zero.
    Some(if v == 0.0 { 0.0 } else { v })
}

/// `Double.parseDouble`, hexadecimal forms excepted.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    let plain = unsigned.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(unsigned);
    if !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        // Rust would also read "inf", "nan" and a second sign.
        return None;
    }
    let v = plain.parse::<f64>().ok()?;
    Some(if text.starts_with('-') { -v } else { v })
}

/// A quoted excerpt of a text for a reason.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    match text.char_indices().nth(40) {
        Some((at, _)) => write_string(&mut out, &format!("{}…", &text[..at])),
        None => write_string(&mut out, text),
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_read_as_in_java() {
        for (text, expected) in [
            ("302", Some(302)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("007", Some(7)),
            ("5.0", None),
            (" 5", None),
            ("", None),
            ("-", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("00000000000000000000000001", Some(1)),
        ] {
            assert_eq!(parse_long(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse_int(b"2147483648"), None);
    }

    proptest! {
        #[test]
        fn short_numbers_are_those_read_digit_by_digit(text in "[-+]?[0-9]{0,17}|0?[1-9]|-?[0-9]{0,8}[ -~]?[0-9]{0,8}", behind in "[ -~]{0,9}") {
            let all = format!("x{text}{behind}");
            let (from, to) = (1, 1 + text.len());
            let short = short_number(all.as_bytes(), from, to);
            prop_assert!(short.is_none() || short == parse_long(text.as_bytes()));
            let digits = text.strip_prefix('-').unwrap_or(&text);
            if (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && behind.len() >= 7 {
                prop_assert_eq!(short, Some(integer_bits(text.as_bytes())));
            }
            let is_whole = (1..=16).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit())
                && (text == "0" || !text.starts_with('0'));
            let whole = is_short_whole(all.as_bytes(), from, to);
            prop_assert!(whole == is_whole || is_whole && behind.len() < 7, "{:?}", text);
            prop_assert!(!is_short_whole(all.as_bytes(), usize::MAX - 3, to) && !is_short_whole(all.as_bytes(), to + 1, to));
        }
    }

    #[test]
    fn numbers_are_cut_to_their_low_bits() {
        let low = |t: &str| Digits::parse(t.as_bytes()).unwrap().low_bits();
        assert_eq!(low("1.99"), 1);
        assert_eq!(low("-1.99"), -1);
        assert_eq!(low("0.5"), 0);
        assert_eq!(low("1.5e3"), 1500);
        assert_eq!(low("1e-5"), 0);
        assert_eq!(low("1e19"), 10_000_000_000_000_000_000_u64 as i64);
        assert_eq!(low("1e400"), 0);
        assert_eq!(integer_bits(b"18446744073709551617"), 1);
        assert_eq!(integer_bits(b"-4294967297") as i32, -1);
    }

    #[test]
    fn decimals_fit_or_do_not() {
        let fit = |t: &str| Digits::parse(t.as_bytes()).and_then(|d| d.unscaled(4, 2));
        assert_eq!(fit("1.5"), Some(150));
        assert_eq!(fit("-1.500"), Some(-150));
        assert_eq!(fit("99.99"), Some(9999));
        assert_eq!(fit("100"), None);
        assert_eq!(fit("1.005"), None);
        assert_eq!(fit(".5"), Some(50));
        assert_eq!(fit("1e1"), Some(1000));
        assert_eq!(fit("0e99"), Some(0));
        assert_eq!(fit("1e99"), None);
        assert_eq!(fit("x"), None);
        assert_eq!(fit("1e"), None);
        assert_eq!(fit("."), None);
    }

    #[test]
    fn numbers_print_as_bigdecimal_does() {
        for (text, expected) in [
            ("1.50", "1.50"),
            ("1e3", "1E+3"),
            ("1.5e3", "1.5E+3"),
            ("1.5e-10", "1.5E-10"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("-0.0", "0.0"),
            ("0e5", "0E+5"),
            ("12.5e1", "125"),
            ("-12.34", "-12.34"),
            ("123e-2", "1.23"),
        ] {
            assert_eq!(Digits::parse(text.as_bytes()).unwrap().text(), expected);
        }
    }

    #[test]
    fn doubles_read_as_in_java() {
        assert_eq!(parse_double(" 1.5\n"), Some(1.5));
        assert_eq!(parse_double("-1e3d"), Some(-1000.0));
        assert_eq!(parse_double("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(parse_double("NaN").is_some_and(f64::is_nan));
        for bad in ["", "inf", "nan", "--1", "1_0", "e5", ".", "Infinityd"] {
            assert_eq!(parse_double(bad), None, "{bad}");
        }
    }
}
