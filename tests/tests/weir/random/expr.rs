//! Values and expressions of the random scripts: as SQL, and what they mean, a row at a time.
//!
//! The meaning is ksqlDB's, written down once more: logic has two values, whole numbers are Java's, and an operation
//! that has no answer (null in arithmetic or LIKE, division by zero) takes the answer from what stands around it: up to a
//! cast, a function around a function, or the whole expression.

use std::fmt;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Boolean,
    Int,
    Bigint,
    Double,
    Text,
}

/// A cell. `Whole` is INT and BIGINT.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    Boolean(bool),
    Whole(i64),
    Double(f64),
    Text(String),
}

/// What an expression is evaluated on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The columns in scope.
    pub(crate) cells: Vec<Value>,
    /// Results of the aggregates, by number.
    pub(crate) aggregates: Vec<Value>,
    /// Start and end of the group's window.
    pub(crate) window: Option<(i64, i64)>,
    /// ROWTIME.
    pub(crate) time: i64,
    /// What its two sides were joined on.
    pub(crate) key: Value,
}

/// An expression with the type of its value.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    pub(crate) ty: Type,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A column in scope, and how it is written.
    Column(usize, String),
    Literal(Value),
    /// `+ - * / %`.
    Arithmetic(char, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    /// `= <> < <= > >=`.
    Compare(&'static str, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    Like(Box<Expr>, String),
    Case(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Cast(Box<Expr>),
    Call(&'static str, Vec<Expr>),
    /// The aggregate of this number, and how it is written.
    Aggregate(usize, String),
    WindowStart,
    WindowEnd,
    Rowtime,
    /// What two sides were joined on, and how it is written.
    JoinKey(String),
}

/// There is no answer.
pub(crate) struct Failed;

impl Type {
    /// Its name in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Type::Boolean => "BOOLEAN",
            Type::Int => "INT",
            Type::Bigint => "BIGINT",
            Type::Double => "DOUBLE",
            Type::Text => "VARCHAR",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Bigint | Type::Double)
    }
}

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(crate) fn number(&self) -> f64 {
        match self {
            Value::Whole(v) => *v as f64,
            Value::Double(v) => *v,
            _ => f64::NAN,
        }
    }

    pub(super) fn compare(&self, other: &Value) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Whole(a), Value::Whole(b)) => Some(a.cmp(b)),
            (Value::Null, _) | (_, Value::Null) => None,
            (a, b) => a.number().partial_cmp(&b.number()),
        }
    }
}

/// One spelling of each value, for keys and for what is compared in the end.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(v) => write!(f, "{v}"),
            Value::Whole(v) => write!(f, "{v}"),
            // There is one zero.
            Value::Double(v) => write!(f, "{:?}", v + 0.0),
            Value::Text(v) => write!(f, "{v:?}"),
        }
    }
}

impl Expr {
    pub(crate) fn new(kind: Kind, ty: Type) -> Expr {
        Expr { kind, ty }
    }

    pub(crate) fn literal(value: Value, ty: Type) -> Expr {
        Expr::new(Kind::Literal(value), ty)
    }

    /// The value, null when there is no answer.
    pub(crate) fn value(&self, row: &Row) -> Value {
        self.eval(row).unwrap_or(Value::Null)
    }

    /// True when the condition holds.
    pub(crate) fn holds(&self, row: &Row) -> bool {
        matches!(self.eval(row), Ok(Value::Boolean(true)))
    }

    pub(crate) fn eval(&self, row: &Row) -> Result<Value, Failed> {
        let truth = |e: &Expr| Ok::<bool, Failed>(matches!(e.eval(row)?, Value::Boolean(true)));
        let answer = match &self.kind {
            Kind::Column(i, _) => row.cells[*i].clone(),
            Kind::Literal(v) => v.clone(),
            Kind::Aggregate(i, _) => row.aggregates[*i].clone(),
            Kind::WindowStart => row.window.map_or(Value::Null, |w| Value::Whole(w.0)),
            Kind::WindowEnd => row.window.map_or(Value::Null, |w| Value::Whole(w.1)),
            Kind::Rowtime => Value::Whole(row.time),
            Kind::JoinKey(_) => row.key.clone(),
            Kind::Arithmetic(op, a, b) => arithmetic(*op, &a.eval(row)?, &b.eval(row)?, self.ty)?,
            Kind::Negate(e) => match e.eval(row)? {
                Value::Whole(v) => wrapped(v.wrapping_neg(), self.ty),
                Value::Double(v) => Value::Double(-v),
                _ => return Err(Failed),
            },
            Kind::Compare(op, a, b) => Value::Boolean(compares(op, &a.eval(row)?, &b.eval(row)?)),
            Kind::And(a, b) => Value::Boolean(truth(a)? && truth(b)?),
            Kind::Or(a, b) => Value::Boolean(truth(a)? || truth(b)?),
            Kind::Not(e) => Value::Boolean(!truth(e)?),
            Kind::IsNull(e) => Value::Boolean(e.eval(row)?.is_null()),
            Kind::Between(e, a, b) => {
                let (v, a, b) = (e.eval(row)?, a.eval(row)?, b.eval(row)?);
                Value::Boolean(compares(">=", &v, &a) && compares("<=", &v, &b))
            }
            Kind::In(e, list) => {
                let v = e.eval(row)?;
                let mut found = false;
                for item in list {
                    found |= compares("=", &v, &item.eval(row)?);
                }
                Value::Boolean(found)
            }
            Kind::Like(e, pattern) => match e.eval(row)? {
                Value::Text(text) => Value::Boolean(like(text.as_bytes(), pattern.as_bytes())),
                _ => return Err(Failed),
            },
            Kind::Case(condition, then, otherwise) => match (truth(condition)?, otherwise) {
                (true, _) => then.eval(row)?,
                (false, Some(e)) => e.eval(row)?,
                (false, None) => Value::Null,
            },
            Kind::Cast(e) => e.eval(row).and_then(|v| cast(v, self.ty)).unwrap_or(Value::Null),
            Kind::Call(name, args) => {
                let arg = |a: &Expr| match a.kind {
                    Kind::Call(..) => Ok(a.value(row)),
                    _ => a.eval(row),
                };
                let args = args.iter().map(arg).collect::<Result<Vec<_>, _>>()?;
                match call(name, &args) {
                    Value::Whole(v) => wrapped(v, self.ty),
                    other => other,
                }
            }
        };
        Ok(answer)
    }
}

fn wrapped(v: i64, ty: Type) -> Value {
    Value::Whole(if ty == Type::Int { i64::from(v as i32) } else { v })
}

fn arithmetic(op: char, a: &Value, b: &Value, ty: Type) -> Result<Value, Failed> {
    if a.is_null() || b.is_null() {
        return Err(Failed);
    }
    if ty == Type::Double {
        let (a, b) = (a.number(), b.number());
        return Ok(Value::Double(match op {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            '/' => a / b,
            _ => a % b,
        }));
    }
    let (Value::Whole(a), Value::Whole(b)) = (a, b) else { return Err(Failed) };
    let v = match op {
        '+' => a.wrapping_add(*b),
        '-' => a.wrapping_sub(*b),
        '*' => a.wrapping_mul(*b),
        _ if *b == 0 => return Err(Failed),
        '/' => a.wrapping_div(*b),
        _ => a.wrapping_rem(*b),
    };
    Ok(wrapped(v, ty))
}

fn compares(op: &str, a: &Value, b: &Value) -> bool {
    a.compare(b).is_some_and(|order| match op {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// `%` is any text, `_` one character; the whole text fits. ASCII without line breaks.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'%', rest)) => (0..=text.len()).any(|i| like(&text[i..], rest)),
        Some((c, rest)) => text.split_first().is_some_and(|(t, more)| (*c == b'_' || c == t) && like(more, rest)),
    }
}

fn cast(value: Value, to: Type) -> Result<Value, Failed> {
    Ok(match (value, to) {
        (Value::Null, _) => Value::Null,
        (Value::Whole(v), Type::Int | Type::Bigint) => wrapped(v, to),
        (Value::Whole(v), Type::Double) => Value::Double(v as f64),
        (Value::Whole(v), Type::Text) => Value::Text(v.to_string()),
        (Value::Double(v), Type::Int) => Value::Whole(i64::from(v as i32)),
        (Value::Double(v), Type::Bigint) => Value::Whole(v as i64),
        (Value::Boolean(v), Type::Text) => Value::Text(v.to_string()),
        (Value::Text(t), Type::Int) => Value::Whole(t.trim().parse::<i32>().map_err(|_| Failed)?.into()),
        (Value::Text(t), Type::Bigint) => Value::Whole(t.trim().parse().map_err(|_| Failed)?),
        (v, _) => v,
    })
}

fn call(name: &str, args: &[Value]) -> Value {
    match (name, args) {
        ("UCASE", [Value::Text(t)]) => Value::Text(t.to_uppercase()),
        ("LCASE", [Value::Text(t)]) => Value::Text(t.to_lowercase()),
        ("LEN", [Value::Text(t)]) => Value::Whole(t.len() as i64),
        ("SUBSTRING", [Value::Text(t), Value::Whole(from), Value::Whole(length)]) => {
            let (from, length) = ((*from - 1).max(0) as usize, *length as usize);
            Value::Text(t.chars().skip(from).take(length).collect())
        }
        ("ABS", [Value::Whole(v)]) => Value::Whole(v.wrapping_abs()),
        ("ABS", [Value::Double(v)]) => Value::Double(v.abs()),
        ("CONCAT", texts) => {
            let texts = texts.iter().filter_map(|t| if let Value::Text(t) = t { Some(t.as_str()) } else { None });
            Value::Text(texts.collect())
        }
        ("COALESCE" | "IFNULL", values) => values.iter().find(|v| !v.is_null()).cloned().unwrap_or(Value::Null),
        ("AS_VALUE", [v]) => v.clone(),
        _ => Value::Null,
    }
}

/// As SQL, with parentheses around all that has parts.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Column(_, name) | Kind::Aggregate(_, name) | Kind::JoinKey(name) => f.write_str(name),
            Kind::Literal(Value::Text(t)) => write!(f, "'{}'", t.replace('\'', "''")),
            // Without an exponent it would be a DECIMAL.
            Kind::Literal(Value::Double(v)) => write!(f, "{v:?}E0"),
            Kind::Literal(v) => write!(f, "{v}"),
            Kind::Arithmetic(op, a, b) => write!(f, "({a} {op} {b})"),
            Kind::Negate(e) => write!(f, "(- {e})"),
            Kind::Compare(op, a, b) => write!(f, "({a} {op} {b})"),
            Kind::And(a, b) => write!(f, "({a} AND {b})"),
            Kind::Or(a, b) => write!(f, "({a} OR {b})"),
            Kind::Not(e) => write!(f, "(NOT {e})"),
            Kind::IsNull(e) => write!(f, "({e} IS NULL)"),
            Kind::Between(e, a, b) => write!(f, "({e} BETWEEN {a} AND {b})"),
            Kind::In(e, list) => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                write!(f, "({e} IN ({}))", list.join(", "))
            }
            Kind::Like(e, pattern) => write!(f, "({e} LIKE '{pattern}')"),
            Kind::Case(condition, then, None) => write!(f, "(CASE WHEN {condition} THEN {then} END)"),
            Kind::Case(condition, then, Some(e)) => write!(f, "(CASE WHEN {condition} THEN {then} ELSE {e} END)"),
            Kind::Cast(e) => write!(f, "CAST({e} AS {})", self.ty.sql()),
            Kind::Call(name, args) => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{name}({})", args.join(", "))
            }
            Kind::WindowStart => f.write_str("WINDOWSTART"),
            Kind::WindowEnd => f.write_str("WINDOWEND"),
            Kind::Rowtime => f.write_str("ROWTIME"),
        }
    }
}
