//! Signatures: which types a function takes, which it gives, and which one a call means.

use super::{Call, ColumnFunction, Function, RowFunction, SIGNATURES, definitions, find};
use crate::row::{SqlType, Value};
use std::fmt;

/// A function of the dialect.
#[derive(Debug)]
pub struct Definition {
    /// Its name, upper case.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it gives.
    pub description: &'static str,
    /// Its forms.
    pub signatures: &'static [Signature],
    /// Its value depends on its arguments only.
    pub deterministic: bool,
}

impl Definition {
    pub(super) const fn new(name: &'static str, description: &'static str, signatures: &'static [Signature]) -> Self {
        Definition { name, aliases: &[], description, signatures, deterministic: true }
    }

    pub(super) const fn or(self, aliases: &'static [&'static str]) -> Self {
        Definition { aliases, ..self }
    }

    /// Its name as ksqlDB writes it in messages: mostly in lower case.
    fn shown(&self) -> String {
        if ["COALESCE", "AS_VALUE", "IFNULL"].contains(&self.name) {
            self.name.into()
        } else {
            self.name.to_lowercase()
        }
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// One form of a function.
pub struct Signature {
    /// What it takes.
    pub params: &'static [Parameter],
    /// The last parameter may stand any number of times, also never.
    pub variadic: bool,
    /// What it gives.
    pub returns: Returns,
    pub(crate) eval: RowFunction,
    pub(crate) columns: Option<ColumnFunction>,
}

impl Signature {
    /// A form that is null where `eval` gives nothing.
    pub(super) const fn new(
        params: &'static [Parameter],
        returns: Parameter,
        eval: fn(&Call<'_>) -> Option<Value>,
    ) -> Self {
        Signature {
            params,
            variadic: false,
            returns: Returns::Is(returns),
            eval: RowFunction::Maybe(eval),
            columns: None,
        }
    }

    /// A form that can fail.
    pub(super) const fn fallible(
        params: &'static [Parameter],
        returns: Parameter,
        eval: fn(&Call<'_>) -> Result<Value, String>,
    ) -> Self {
        Signature {
            params,
            variadic: false,
            returns: Returns::Is(returns),
            eval: RowFunction::Try(eval),
            columns: None,
        }
    }

    pub(super) const fn variadic(self) -> Self {
        Signature { variadic: true, ..self }
    }

    pub(super) const fn returning(self, f: fn(&[SqlType]) -> SqlType) -> Self {
        Signature { returns: Returns::Of(f), ..self }
    }

    pub(super) const fn on_columns(self, f: ColumnFunction) -> Self {
        Signature { columns: Some(f), ..self }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `(str VARCHAR, pos INT) → …` without names: `(VARCHAR, INT)`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, param) in self.params.iter().enumerate() {
            let dots = if self.variadic && i + 1 == self.params.len() { "..." } else { "" };
            write!(f, "{}{param}{dots}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parameter {
    /// BOOLEAN.
    Boolean,
    /// INTEGER.
    Int,
    /// BIGINT.
    Bigint,
    /// DOUBLE.
    Double,
    /// DECIMAL of any precision and scale.
    Decimal,
    /// STRING.
    String,
    /// BYTES.
    Bytes,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// TIMESTAMP.
    Timestamp,
    /// A unit of time (`DAYS`), which comes as STRING.
    Unit,
    /// Any type, the same wherever the letter stands.
    Generic(char),
    /// Any type.
    Any,
    /// An array.
    Array(&'static Parameter),
    /// A map.
    Map(&'static Parameter, &'static Parameter),
    /// Any struct.
    Struct,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::Boolean => f.write_str("BOOLEAN"),
            Parameter::Int => f.write_str("INT"),
            Parameter::Bigint => f.write_str("BIGINT"),
            Parameter::Double => f.write_str("DOUBLE"),
            Parameter::Decimal => f.write_str("DECIMAL"),
            Parameter::String => f.write_str("VARCHAR"),
            Parameter::Bytes => f.write_str("BYTES"),
            Parameter::Date => f.write_str("DATE"),
            Parameter::Time => f.write_str("TIME"),
            Parameter::Timestamp => f.write_str("TIMESTAMP"),
            Parameter::Unit => f.write_str("INTERVALUNIT"),
            Parameter::Generic(c) => write!(f, "{c}"),
            Parameter::Any => f.write_str("ANY"),
            Parameter::Array(t) => write!(f, "ARRAY<{t}>"),
            Parameter::Map(k, v) => write!(f, "MAP<{k}, {v}>"),
            Parameter::Struct => f.write_str("STRUCT"),
        }
    }
}

/// The type of a function's result.
#[derive(Clone, Copy)]
pub enum Returns {
    /// As written; DECIMAL is that of the first decimal argument.
    Is(Parameter),
    /// Out of the arguments' types.
    Of(fn(&[SqlType]) -> SqlType),
}

/// A call's function.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Which.
    pub function: Function,
    /// The type that each argument is cast to; `None`: taken as it is.
    pub args: Vec<Option<SqlType>>,
    /// The result's type.
    pub ty: SqlType,
}

/// What the letters stand for.
type Letters = Vec<(char, SqlType)>;

/// How badly an argument fits: 0 exactly, more the further it is widened; none when it does not.
fn fit(param: &Parameter, arg: Option<&SqlType>, letters: &mut Letters) -> Option<(u32, Option<SqlType>)> {
    use {Parameter as P, SqlType as T};
    let Some(arg) = arg else { return Some((0, null_type(param, letters))) };
    let widened = |to: SqlType, steps: u32| Some((steps, Some(to)));
    match (param, arg) {
        (P::Boolean, T::Boolean)
        | (P::Int, T::Int)
        | (P::Bigint, T::Bigint)
        | (P::Double, T::Double)
        | (P::Decimal, T::Decimal(..))
        | (P::String | P::Unit, T::String)
        | (P::Bytes, T::Bytes)
        | (P::Date, T::Date)
        | (P::Time, T::Time)
        | (P::Timestamp, T::Timestamp)
        | (P::Struct, T::Struct(_))
        | (P::Any, _) => Some((0, None)),
        (P::Bigint, T::Int) => widened(T::Bigint, 1),
        (P::Decimal, T::Int) => widened(T::Decimal(10, 0), 2),
        (P::Decimal, T::Bigint) => widened(T::Decimal(19, 0), 2),
        (P::Double, T::Int | T::Bigint | T::Decimal(..)) => widened(T::Double, 3),
        (P::Generic(c), t) => match letters.iter().find(|(l, _)| l == c) {
            None => {
                letters.push((*c, t.clone()));
                Some((0, None))
            }
            Some((_, known)) if known == t => Some((0, None)),
            Some((_, known)) if wider(known, t).as_ref() == Some(known) => {
                let known = known.clone();
                widened(known, 1)
            }
            _ => None,
        },
        (P::Array(p), T::Array(t)) => {
            let (cost, to) = fit(p, Some(t), letters)?;
            Some((cost, to.map(|t| T::Array(Box::new(t)))))
        }
        (P::Map(pk, pv), T::Map(k, v)) => {
            let (a, key) = fit(pk, Some(k), letters)?;
            let (b, value) = fit(pv, Some(v), letters)?;
            let to = (key.is_some() || value.is_some())
                .then(|| T::Map(Box::new(key.unwrap_or((**k).clone())), Box::new(value.unwrap_or((**v).clone()))));
            Some((a + b, to))
        }
        _ => None,
    }
}

/// The type of NULL as this parameter.
fn null_type(param: &Parameter, letters: &Letters) -> Option<SqlType> {
    match param {
        Parameter::Generic(c) => letters.iter().find(|(l, _)| l == c).map(|(_, t)| t.clone()),
        Parameter::Any | Parameter::Struct => None,
        _ => concrete(param, letters, &[]),
    }
}

/// The wider of two numeric types; any type is as wide as itself.
pub(crate) fn wider(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use SqlType as T;
    let decimal = |t: &SqlType| match t {
        T::Int => Some((10, 0)),
        T::Bigint => Some((19, 0)),
        T::Decimal(p, s) => Some((*p, *s)),
        _ => None,
    };
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (T::Double, b) if b.is_numeric() => Some(T::Double),
        (a, T::Double) if a.is_numeric() => Some(T::Double),
        (T::Int, T::Bigint) | (T::Bigint, T::Int) => Some(T::Bigint),
        _ => {
            let ((p1, s1), (p2, s2)) = (decimal(a)?, decimal(b)?);
            let scale = s1.max(s2);
            Some(T::Decimal(((p1 - s1).max(p2 - s2) + scale).min(38), scale))
        }
    }
}

fn concrete(param: &Parameter, letters: &Letters, args: &[SqlType]) -> Option<SqlType> {
    use {Parameter as P, SqlType as T};
    Some(match param {
        P::Boolean => T::Boolean,
        P::Int => T::Int,
        P::Bigint => T::Bigint,
        P::Double => T::Double,
        P::Decimal => args.iter().find(|t| matches!(t, T::Decimal(..))).cloned().unwrap_or(T::Decimal(38, 10)),
        P::String | P::Unit => T::String,
        P::Bytes => T::Bytes,
        P::Date => T::Date,
        P::Time => T::Time,
        P::Timestamp => T::Timestamp,
        P::Generic(c) => letters.iter().find(|(l, _)| l == c).map(|(_, t)| t.clone())?,
        P::Array(t) => T::Array(Box::new(concrete(t, letters, args)?)),
        P::Map(k, v) => T::Map(Box::new(concrete(k, letters, args)?), Box::new(concrete(v, letters, args)?)),
        P::Any | P::Struct => return None,
    })
}

pub(super) fn resolve(name: &str, args: &[Option<SqlType>]) -> Result<Resolved, String> {
    let Some(definition) = find(name) else {
        return Err(format!("Can't find any functions with the name '{name}'"));
    };
    let mut best: Option<(u32, Resolved)> = None;
    for (position, (_, signature)) in SIGNATURES.iter().enumerate().filter(|(_, (d, _))| std::ptr::eq(*d, definition)) {
        let Some((cost, args, ty)) = apply(signature, args) else { continue };
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            let function = Function(u16::try_from(position).unwrap_or(u16::MAX));
            best = Some((cost, Resolved { function, args, ty }));
        }
    }
    best.map(|(_, resolved)| resolved).ok_or_else(|| {
        let given: Vec<String> = args.iter().map(|t| t.as_ref().map_or("null".into(), ToString::to_string)).collect();
        let shown = definition.shown();
        if !args.is_empty() && args.iter().all(Option::is_none) {
            return format!(
                "Function '{shown}' cannot be resolved due to ambiguous method parameters ({}).",
                given.join(", ")
            );
        }
        let mut message =
            format!("Function '{shown}' does not accept parameters ({}).\nValid alternatives are:", given.join(", "));
        definition.signatures.iter().for_each(|s| message.push_str(&format!("\n{name}{s}")));
        message
    })
}

type Applied = (u32, Vec<Option<SqlType>>, SqlType);

fn apply(signature: &Signature, args: &[Option<SqlType>]) -> Option<Applied> {
    let fixed = signature.params.len() - usize::from(signature.variadic);
    if args.len() < fixed || (!signature.variadic && args.len() > fixed) {
        return None;
    }
    let mut letters = Letters::new();
    let param = |i: usize| signature.params.get(i.min(signature.params.len().saturating_sub(1)));
    // A letter stands for the widest of the types it meets.
    for _ in 0..2 {
        for (i, arg) in args.iter().enumerate() {
            if let (Some(Parameter::Generic(c)), Some(t)) = (param(i), arg)
                && let Some((_, known)) = letters.iter_mut().find(|(l, _)| l == c)
            {
                *known = wider(known, t)?;
            } else if let (Some(p), Some(t)) = (param(i), arg) {
                fit(p, Some(t), &mut letters)?;
            }
        }
    }
    let mut cost = u32::from(signature.variadic) * 10;
    let mut to = Vec::with_capacity(args.len());
    for (i, arg) in args.iter().enumerate() {
        let (step, target) = fit(param(i)?, arg.as_ref(), &mut letters)?;
        cost += step;
        to.push(target);
    }
    let types: Vec<SqlType> =
        args.iter().zip(&to).map(|(arg, to)| to.clone().or_else(|| arg.clone()).unwrap_or(SqlType::String)).collect();
    let ty = match signature.returns {
        Returns::Is(p) => concrete(&p, &letters, &types)?,
        Returns::Of(f) => f(&types),
    };
    Some((cost, to, ty))
}

/// The function whose name is nearest to one that is not there.
pub fn near_function(name: &str) -> Option<&'static str> {
    crate::sql::nearest(name, definitions().map(|d| d.name))
}
