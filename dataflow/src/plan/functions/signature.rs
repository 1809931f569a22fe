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

    /// Its value is another one each time.
    pub(super) const fn changing(self) -> Self {
        Definition { deterministic: false, ..self }
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
    /// A lambda: what its parameters are, and its value.
    Lambda(&'static [Parameter], &'static Parameter),
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
            Parameter::Lambda(params, value) => {
                let params: Vec<String> = params.iter().map(ToString::to_string).collect();
                write!(f, "LAMBDA ({}) => {value}", params.join(", "))
            }
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
        (P::Date, T::String) => widened(T::Date, 4),
        (P::Time, T::String) => widened(T::Time, 4),
        (P::Timestamp, T::String) => widened(T::Timestamp, 4),
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
        Parameter::Any | Parameter::Struct | Parameter::Lambda(..) => None,
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
        P::Any | P::Struct | P::Lambda(..) => return None,
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
    let given = || args.iter().map(|t| t.as_ref().map_or("null".into(), ToString::to_string)).collect::<Vec<_>>();
    // Among several forms for one type each, nulls alone do not say which.
    let several = definition.signatures.iter().filter(|s| s.variadic).count() > 1;
    if !args.is_empty() && args.iter().all(Option::is_none) && (several || best.is_none()) {
        return Err(format!(
            "Function '{}' cannot be resolved due to ambiguous method parameters ({}).",
            definition.shown(),
            given().join(", ")
        ));
    }
    best.map(|(_, resolved)| resolved).ok_or_else(|| refused(definition, name, &given()))
}

fn refused(definition: &Definition, name: &str, given: &[String]) -> String {
    let mut message = format!(
        "Function '{}' does not accept parameters ({}).\nValid alternatives are:",
        definition.shown(),
        given.join(", ")
    );
    definition.signatures.iter().for_each(|s| message.push_str(&format!("\n{name}{s}")));
    message
}

/// An argument of a call that has lambdas.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// A value of this type; NULL has none.
    Value(Option<SqlType>),
    /// A lambda of so many parameters.
    Lambda(usize),
}

/// The signature that a call with lambdas means. `body` binds the lambda at a position, given its parameters' types, and
/// tells the type of its value.
pub(crate) fn resolve_lambdas<E>(
    name: &str,
    args: &[Given],
    fail: impl Fn(String) -> E,
    mut body: impl FnMut(usize, &[SqlType]) -> Result<SqlType, E>,
) -> Result<Resolved, E> {
    let Some(definition) = find(name) else {
        return Err(fail(format!("Can't find any functions with the name '{name}'")));
    };
    let mut shown: Vec<String> = Vec::new();
    for (position, (_, signature)) in SIGNATURES.iter().enumerate().filter(|(_, (d, _))| std::ptr::eq(*d, definition)) {
        let alike = |(param, arg): (&Parameter, &Given)| match (param, arg) {
            (Parameter::Lambda(params, _), Given::Lambda(n)) => params.len() == *n,
            (Parameter::Lambda(..), Given::Value(_)) | (_, Given::Lambda(_)) => false,
            _ => true,
        };
        if signature.params.len() != args.len() || !signature.params.iter().zip(args).all(alike) {
            continue;
        }
        let mut letters = Letters::new();
        let mut to = Vec::with_capacity(args.len());
        let pairs = || signature.params.iter().zip(args).enumerate();
        for (_, (param, arg)) in pairs() {
            to.push(match arg {
                Given::Value(ty) => fit(param, ty.as_ref(), &mut letters).map(|(_, to)| to),
                Given::Lambda(_) => Some(None),
            });
        }
        let Some(to) = to.into_iter().collect::<Option<Vec<_>>>() else { continue };
        shown.clear();
        let mut fits = true;
        for (i, (param, arg)) in pairs() {
            match (param, arg) {
                (Parameter::Lambda(params, value), _) => {
                    let types: Option<Vec<SqlType>> = params.iter().map(|p| concrete(p, &letters, &[])).collect();
                    let Some(types) = types else {
                        fits = false;
                        break;
                    };
                    let ty = body(i, &types)?;
                    fits &= fit(value, Some(&ty), &mut letters).is_some_and(|(_, to)| to.is_none());
                    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
                    shown.push(format!("LAMBDA ({}) => {ty}", types.join(", ")));
                }
                (_, Given::Value(ty)) => shown.push(ty.as_ref().map_or("null".into(), ToString::to_string)),
                (_, Given::Lambda(_)) => {}
            }
        }
        if let Returns::Is(returns) = signature.returns
            && fits
            && let Some(ty) = concrete(&returns, &letters, &[])
        {
            return Ok(Resolved { function: Function(u16::try_from(position).unwrap_or(u16::MAX)), args: to, ty });
        }
    }
    if shown.len() != args.len() {
        shown = (args.iter())
            .map(|arg| match arg {
                Given::Value(ty) => ty.as_ref().map_or("null".into(), ToString::to_string),
                Given::Lambda(_) => "LAMBDA".into(),
            })
            .collect();
    }
    Err(fail(refused(definition, name, &shown)))
}

type Applied = (u32, Vec<Option<SqlType>>, SqlType);

fn apply(signature: &Signature, args: &[Option<SqlType>]) -> Option<Applied> {
    let fixed = signature.params.len() - usize::from(signature.variadic);
    if args.len() < fixed || (!signature.variadic && args.len() > fixed) {
        return None;
    }
    let last = signature.params.last().filter(|_| signature.variadic).copied();
    let more = std::iter::repeat_n(last, args.len() - fixed).flatten();
    let params: Vec<Parameter> = signature.params[..fixed].iter().copied().chain(more).collect();
    let (cost, to, ty) = accept(&params, &signature.returns, args)?;
    Some((cost + u32::from(signature.variadic) * 10, to, ty))
}

/// How badly arguments fit parameters, as many as these: the types they are cast to, and the result's type.
pub(crate) fn accept(params: &[Parameter], returns: &Returns, args: &[Option<SqlType>]) -> Option<Applied> {
    let mut letters = Letters::new();
    // A letter stands for the widest of the types it meets.
    for _ in 0..2 {
        for (param, arg) in params.iter().zip(args) {
            if let (Parameter::Generic(c), Some(t)) = (param, arg)
                && let Some((_, known)) = letters.iter_mut().find(|(l, _)| l == c)
            {
                *known = wider(known, t)?;
            } else if let Some(t) = arg {
                fit(param, Some(t), &mut letters)?;
            }
        }
    }
    let mut cost = 0;
    let mut to = Vec::with_capacity(args.len());
    for (param, arg) in params.iter().zip(args) {
        let (step, target) = fit(param, arg.as_ref(), &mut letters)?;
        cost += step;
        to.push(target);
    }
    // NULL among decimals is one of theirs.
    let known = to.iter().zip(args).find_map(|(to, arg)| match (to, arg) {
        (Some(to @ SqlType::Decimal(..)), Some(_)) => Some(to.clone()),
        (None, Some(arg @ SqlType::Decimal(..))) => Some(arg.clone()),
        _ => None,
    });
    for (to, arg) in to.iter_mut().zip(args) {
        if let (Some(SqlType::Decimal(..)), None, Some(known)) = (&to, arg, &known) {
            *to = Some(known.clone());
        }
    }
    let types: Vec<SqlType> =
        args.iter().zip(&to).map(|(arg, to)| to.clone().or_else(|| arg.clone()).unwrap_or(SqlType::String)).collect();
    let ty = match returns {
        Returns::Is(p) => concrete(p, &letters, &types)?,
        Returns::Of(f) => f(&types),
    };
    Some((cost, to, ty))
}

/// The function whose name is nearest to one that is not there.
pub fn near_function(name: &str) -> Option<&'static str> {
    crate::sql::nearest(name, definitions().map(|d| d.name))
}
