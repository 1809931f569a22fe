//! Functions on numbers.

use super::{Call, Definition, Parameter as P, Signature, wider};
use crate::plan::eval::rescale;
use crate::row::{Decimal, SqlType, Value};

/// One form of DOUBLE.
const fn double(f: fn(&Call<'_>) -> Option<Value>) -> Signature {
    Signature::new(&[P::Double], P::Double, f)
}

macro_rules! of_double {
    ($name:literal, $doc:literal, $f:expr) => {
        Definition::new(
            $name,
            $doc,
            &[double(|c| {
                let f: fn(f64) -> f64 = $f;
                Some(Value::Double(f(c.double(0)?)))
            })],
        )
    };
}

/// Forms of any number of values of one type, for the types that have an order.
macro_rules! of_each {
    ($f:expr) => {
        [
            Signature::new(&[P::Int, P::Int], P::Int, $f).variadic(),
            Signature::new(&[P::Bigint, P::Bigint], P::Bigint, $f).variadic(),
            Signature::new(&[P::Decimal, P::Decimal], P::Decimal, $f).variadic().returning(widest),
            Signature::new(&[P::Double, P::Double], P::Double, $f).variadic(),
            Signature::new(&[P::String, P::String], P::String, $f).variadic(),
            Signature::new(&[P::Bytes, P::Bytes], P::Bytes, $f).variadic(),
            Signature::new(&[P::Date, P::Date], P::Date, $f).variadic(),
            Signature::new(&[P::Time, P::Time], P::Time, $f).variadic(),
            Signature::new(&[P::Timestamp, P::Timestamp], P::Timestamp, $f).variadic(),
        ]
    };
}

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "ABS",
        "The number without its sign",
        &[
            Signature::new(&[P::Int], P::Int, |c| Some(Value::Int(c.int(0)?.wrapping_abs()))),
            Signature::new(&[P::Bigint], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?.wrapping_abs()))),
            Signature::new(&[P::Decimal], P::Decimal, |c| {
                let d = c.decimal(0)?;
                Some(Value::Decimal(Decimal { unscaled: d.unscaled.abs(), scale: d.scale }))
            }),
            double(|c| Some(Value::Double(c.double(0)?.abs()))),
        ],
    ),
    Definition::new(
        "CEIL",
        "The least whole number that is not below",
        &[
            Signature::new(&[P::Int], P::Int, |c| Some(Value::Int(c.int(0)?))),
            Signature::new(&[P::Bigint], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?))),
            Signature::new(&[P::Decimal], P::Decimal, |c| whole(c.decimal(0)?, |unit, v| -(-v).div_euclid(unit))),
            double(|c| Some(Value::Double(c.double(0)?.ceil()))),
        ],
    ),
    Definition::new(
        "FLOOR",
        "The greatest whole number that is not above",
        &[
            Signature::new(&[P::Int], P::Int, |c| Some(Value::Int(c.int(0)?))),
            Signature::new(&[P::Bigint], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?))),
            Signature::new(&[P::Decimal], P::Decimal, |c| whole(c.decimal(0)?, |unit, v| v.div_euclid(unit))),
            double(|c| Some(Value::Double(c.double(0)?.floor()))),
        ],
    ),
    Definition::new(
        "ROUND",
        "The nearest number with as many digits behind the point (none: a whole one), half up",
        &[
            Signature::new(&[P::Bigint], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?))),
            Signature::new(&[P::Double], P::Bigint, |c| Some(Value::Bigint((c.double(0)? + 0.5).floor() as i64))),
            Signature::new(&[P::Decimal], P::Decimal, |c| at_digits(c.decimal(0)?, 0, c.ty, half_up))
                .returning(whole_type),
            Signature::new(&[P::Double, P::Int], P::Double, |c| by_decimal(c.double(0)?, c.int(1)?, half_up)),
            Signature::new(&[P::Decimal, P::Int], P::Decimal, |c| at_digits(c.decimal(0)?, c.int(1)?, c.ty, half_up)),
        ],
    ),
    Definition::new(
        "TRUNC",
        "The number cut to as many digits behind the point (none: to a whole one)",
        &[
            Signature::new(&[P::Bigint], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?))),
            Signature::new(&[P::Double], P::Bigint, |c| Some(Value::Bigint(c.double(0)?.trunc() as i64))),
            Signature::new(&[P::Double, P::Int], P::Double, |c| by_decimal(c.double(0)?, c.int(1)?, cut)),
            Signature::new(&[P::Decimal], P::Decimal, |c| at_digits(c.decimal(0)?, 0, c.ty, cut)).returning(whole_type),
            Signature::new(&[P::Decimal, P::Int], P::Decimal, |c| at_digits(c.decimal(0)?, c.int(1)?, c.ty, cut)),
        ],
    ),
    Definition::new(
        "SIGN",
        "-1, 0 or 1: the number's sign",
        &[
            Signature::new(&[P::Int], P::Int, |c| Some(Value::Int(c.int(0)?.signum()))),
            Signature::new(&[P::Bigint], P::Int, |c| Some(Value::Int(c.bigint(0)?.signum() as i32))),
            Signature::new(&[P::Double], P::Int, |c| {
                let v = c.double(0)?;
                Some(Value::Int(i32::from(v > 0.0) - i32::from(v < 0.0)))
            }),
        ],
    ),
    of_double!("SQRT", "The square root", f64::sqrt),
    of_double!("CBRT", "The cube root", f64::cbrt),
    of_double!("EXP", "e to this power", f64::exp),
    of_double!("LN", "The natural logarithm", f64::ln),
    Definition::new(
        "LOG",
        "The natural logarithm, or the logarithm to a base: LOG(base, value)",
        &[
            double(|c| Some(Value::Double(c.double(0)?.ln()))),
            Signature::new(&[P::Double, P::Double], P::Double, |c| {
                let (base, value) = (c.double(0)?, c.double(1)?);
                let defined = base > 0.0 && (base - 1.0).abs() > f64::EPSILON;
                Some(Value::Double(if defined { value.ln() / base.ln() } else { f64::NAN }))
            }),
        ],
    ),
    Definition::new(
        "POWER",
        "The first number to the power of the second",
        &[Signature::new(&[P::Double, P::Double], P::Double, |c| Some(Value::Double(c.double(0)?.powf(c.double(1)?))))],
    ),
    of_double!("SIN", "The sine of radians", f64::sin),
    of_double!("COS", "The cosine of radians", f64::cos),
    of_double!("TAN", "The tangent of radians", f64::tan),
    of_double!("COT", "The cotangent of radians", |v| if v == 0.0 { f64::INFINITY.copysign(v) } else { 1.0 / v.tan() }),
    of_double!("ASIN", "The arc sine in radians", f64::asin),
    of_double!("ACOS", "The arc cosine in radians", f64::acos),
    of_double!("ATAN", "The arc tangent in radians", f64::atan),
    of_double!("SINH", "The hyperbolic sine", f64::sinh),
    of_double!("COSH", "The hyperbolic cosine", f64::cosh),
    of_double!("TANH", "The hyperbolic tangent", f64::tanh),
    of_double!("DEGREES", "Radians in degrees", f64::to_degrees),
    of_double!("RADIANS", "Degrees in radians", f64::to_radians),
    Definition::new(
        "ATAN2",
        "The angle of a point (y, x) in radians",
        &[Signature::new(&[P::Double, P::Double], P::Double, |c| {
            Some(Value::Double(c.double(0)?.atan2(c.double(1)?)))
        })],
    ),
    Definition::new(
        "PI",
        "The circle's number",
        &[Signature::new(&[], P::Double, |_| Some(Value::Double(std::f64::consts::PI)))],
    ),
    Definition::new(
        "GREATEST",
        "The greatest of the values, null ones left out",
        &of_each!(|c| of_type(c.values.iter().filter(|v| !v.is_null()).max()?, c.ty)),
    ),
    Definition::new(
        "LEAST",
        "The least of the values, null ones left out",
        &of_each!(|c| of_type(c.values.iter().filter(|v| !v.is_null()).min()?, c.ty)),
    ),
    Definition::new(
        "GEO_DISTANCE",
        "Distance of two points (latitude, longitude in degrees) in km, or in miles ('MI')",
        &[
            Signature::fallible(&[P::Double, P::Double, P::Double, P::Double], P::Double, |c| distance(c, KM)),
            Signature::fallible(&[P::Double, P::Double, P::Double, P::Double, P::String], P::Double, |c| {
                match c.text(4).map(|unit| unit.trim().to_ascii_lowercase()).unwrap_or_default().as_str() {
                    "mi" | "mile" | "miles" => distance(c, MILES),
                    "" | "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => distance(c, KM),
                    unit => Err(format!("GeoDistance function units parameter must be mi or km, not {unit}")),
                }
            }),
        ],
    ),
];

/// The decimal type that takes all of these.
fn widest(types: &[SqlType]) -> SqlType {
    let wide = types.iter().cloned().reduce(|a, b| wider(&a, &b).unwrap_or(a));
    wide.unwrap_or(SqlType::Decimal(38, 10))
}

/// A decimal at the scale of the result's type; any other value as it is.
fn of_type(value: &Value, ty: &SqlType) -> Option<Value> {
    match (value, ty) {
        (Value::Decimal(d), SqlType::Decimal(_, scale)) => {
            Some(Value::Decimal(Decimal { unscaled: rescale(*d, *scale)?, scale: *scale }))
        }
        (value, _) => Some(value.clone()),
    }
}

/// A decimal made whole by its unit, at its own scale.
fn whole(value: Decimal, f: fn(i128, i128) -> i128) -> Option<Value> {
    let unit = 10_i128.checked_pow(u32::from(value.scale))?;
    Some(Value::Decimal(Decimal { unscaled: f(unit, value.unscaled).checked_mul(unit)?, scale: value.scale }))
}

/// The type of a decimal without its fraction.
fn whole_type(args: &[SqlType]) -> SqlType {
    match args.first() {
        Some(SqlType::Decimal(p, s)) => SqlType::Decimal(p.saturating_sub(*s).max(1), 0),
        _ => SqlType::Decimal(38, 0),
    }
}

/// A number divided by its unit, cut.
fn cut(value: i128, unit: i128) -> i128 {
    value / unit
}

/// A number divided by its unit, rounded: a half goes up, as ksqlDB's does.
fn half_up(value: i128, unit: i128) -> i128 {
    let rest = value % unit;
    if rest > 0 && rest >= unit - rest {
        value / unit + 1
    } else if -rest > unit + rest {
        value / unit - 1
    } else {
        value / unit
    }
}

/// A decimal with so many digits behind the point (before it, when negative), at the scale of the result's type.
fn at_digits(value: Decimal, digits: i32, ty: &SqlType, round: fn(i128, i128) -> i128) -> Option<Value> {
    let SqlType::Decimal(_, scale) = *ty else { return None };
    let dropped = i32::from(value.scale).checked_sub(digits)?;
    let rounded = match u32::try_from(dropped) {
        Ok(dropped) if dropped > 38 => Decimal { unscaled: 0, scale: value.scale },
        Ok(dropped) if dropped > 0 => {
            let unit = 10_i128.checked_pow(dropped)?;
            Decimal { unscaled: round(value.unscaled, unit).checked_mul(unit)?, scale: value.scale }
        }
        _ => value,
    };
    Some(Value::Decimal(Decimal { unscaled: rescale(rounded, scale)?, scale }))
}

/// A double by its shortest text, as Java's BigDecimal does it.
fn by_decimal(value: f64, digits: i32, round: fn(i128, i128) -> i128) -> Option<Value> {
    let text = crate::row::text::double_text(value);
    let Some(decimal) = crate::plan::eval::parse_decimal(&text) else { return Some(Value::Double(value)) };
    match at_digits(decimal, digits, &SqlType::Decimal(38, decimal.scale), round) {
        Some(Value::Decimal(rounded)) => Some(Value::Double(rounded.to_string().parse().ok()?)),
        _ => Some(Value::Double(value)),
    }
}

/// The earth's radius.
const KM: f64 = 6371.0;
const MILES: f64 = 3959.0;

fn distance(c: &Call<'_>, radius: f64) -> Result<Value, String> {
    let (Some(lat1), Some(lon1), Some(lat2), Some(lon2)) = (c.double(0), c.double(1), c.double(2), c.double(3)) else {
        return Ok(Value::Null);
    };
    if lat1.abs() > 90.0 || lat2.abs() > 90.0 {
        return Err(
            "valid latitude values for GeoDistance function are in the range of -90 to 90 decimal degrees".into()
        );
    }
    if lon1.abs() > 180.0 || lon2.abs() > 180.0 {
        return Err(
            "valid longitude values for GeoDistance function are in the range of -180 to +180 decimal degrees".into()
        );
    }
    let (dlat, dlon) = ((lat2 - lat1).to_radians(), (lon2 - lon1).to_radians());
    let a = (dlat / 2.0).sin().powi(2) + (dlon / 2.0).sin().powi(2) * lat1.to_radians().cos() * lat2.to_radians().cos();
    Ok(Value::Double(radius * 2.0 * a.sqrt().atan2((1.0 - a).sqrt())))
}
