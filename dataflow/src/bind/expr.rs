//! Expressions: names to columns, functions to their signatures, types to one another.

use super::call::{contains_aggregate, first_table_function};
use super::operators::{arithmetic, common_type, comparison, datetime_literal, type_text, unify};
use super::scope::{BOUNDS, Clause, Scope, span};
use super::show::{ident, show, unit_name};
use super::{Catalog, types};
use crate::plan::Explode;
use crate::plan::aggregate::{AggregateCall, Limits};
use crate::plan::eval::{can_cast, parse_decimal};
use crate::plan::expr::Expr;
use crate::row::{SqlType, Value};
use crate::sql::ast::{self, BinaryOp, ExprKind, Ident, Literal};
use crate::sql::error::{Diagnostic, Span};
use crate::sql::nearest;

/// Position of the first aggregate's column while a grouped query is bound, before the number of aggregates is known.
pub(super) const AGGREGATES: usize = 1 << 20;
/// Position of WINDOWSTART's column then; WINDOWEND's is the next.
pub(super) const WINDOW: usize = 1 << 21;

/// A bound expression; the bare NULL has no type yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) null: bool,
}

impl Typed {
    pub(super) fn new(expr: Expr) -> Self {
        Typed { expr: fold(expr), null: false }
    }

    pub(super) fn null() -> Self {
        Typed { expr: Expr::Literal(Value::Null, SqlType::String), null: true }
    }

    /// Its type; none for NULL.
    pub(super) fn ty(&self) -> Option<&SqlType> {
        if self.null { None } else { Some(self.expr.ty()) }
    }

    /// As another type, to which there is a cast.
    pub(super) fn cast(self, ty: &SqlType) -> Expr {
        if self.null {
            return Expr::Literal(Value::Null, ty.clone());
        }
        if self.expr.ty() == ty {
            return self.expr;
        }
        fold(Expr::Cast(Box::new(self.expr), ty.clone()))
    }

    /// The same, where a literal text must say a value of the type.
    pub(super) fn cast_text(self, ty: &SqlType) -> Result<Expr, String> {
        if let (Expr::Literal(Value::String(text), _), SqlType::Boolean) = (&self.expr, ty)
            && !["true", "false", "yes", "no"].iter().any(|w| w.starts_with(&text.trim().to_lowercase()))
        {
            return Err(format!("invalid input syntax for type {ty}: \"{text}\"."));
        }
        let is_literal = matches!(self.expr, Expr::Literal(..));
        let expr = self.cast(ty);
        match expr {
            Expr::Cast(..) if is_literal => expr.constant().map(|_| expr).map_err(|message| message + "."),
            expr => Ok(expr),
        }
    }
}

/// An operation on literals is the literal of its value; when it has none it stays, to fail for each row.
fn fold(expr: Expr) -> Expr {
    let children = expr.children();
    if children.is_empty() || !children.iter().all(|e| matches!(e, Expr::Literal(..))) || !expr.is_constant() {
        return expr;
    }
    match expr.constant() {
        Ok(value) => Expr::Literal(value, expr.ty().clone()),
        Err(_) => expr,
    }
}

/// An expression whose error goes no further: null stands for it. What cannot fail stays as it is.
pub(super) fn attempt(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(..) | Expr::Column(..) | Expr::Parameter(..) | Expr::Try(..) => expr,
        expr => Expr::Try(Box::new(expr)),
    }
}

/// How a grouped query's expressions see their input: through its groups and aggregates.
#[derive(Debug)]
pub(super) struct Groups {
    /// The grouping expressions, over the input row.
    pub(super) keys: Vec<Expr>,
    /// For each, whether it is written under AS_VALUE.
    pub(super) values: Vec<bool>,
    /// The aggregate calls found so far.
    pub(super) calls: Vec<AggregateCall>,
    /// There is a WINDOW clause.
    pub(super) windowed: bool,
    /// What the session limits.
    pub(super) limits: Limits,
}

/// The binder of one clause's expressions.
pub(super) struct Binder<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) scope: &'a Scope,
    pub(super) clause: Clause,
    /// Of a grouped query's SELECT and HAVING.
    pub(super) groups: Option<&'a mut Groups>,
    /// In the select list of a query without groups: the table functions found so far, which give the columns behind the
    /// row.
    pub(super) explode: Option<&'a mut Vec<Explode>>,
    /// The parameters of enclosing lambdas.
    pub(super) parameters: Vec<(String, SqlType)>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(catalog: &'a Catalog, scope: &'a Scope, clause: Clause) -> Self {
        Binder { catalog, scope, clause, groups: None, explode: None, parameters: Vec::new() }
    }

    /// An expression as it is printed in messages about types.
    pub(super) fn text(&self, expr: &ast::Expr) -> String {
        show(expr, &|q, n| self.scope.internal(q, n))
    }

    /// Binds an expression; a bare NULL is a STRING.
    pub(super) fn value(&mut self, expr: &ast::Expr) -> Result<Expr, Diagnostic> {
        Ok(self.bind(expr)?.expr)
    }

    /// Binds a condition.
    pub(super) fn condition(&mut self, expr: &ast::Expr) -> Result<Expr, Diagnostic> {
        let bound = self.bind(expr)?;
        if bound.ty() == Some(&SqlType::Boolean) {
            return Ok(bound.expr);
        }
        Err(Diagnostic::at(
            expr.span,
            format!(
                "Type error in {} expression: Should evaluate to boolean but is {} ({}) instead.",
                self.clause.name(),
                self.text(expr),
                type_text(bound.ty())
            ),
        ))
    }

    pub(super) fn bind(&mut self, expr: &ast::Expr) -> Result<Typed, Diagnostic> {
        if let Some(key) = self.group_key(expr) {
            return Ok(Typed::new(key));
        }
        let one = |e: Expr| Ok(Typed::new(e));
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal, expr.span),
            ExprKind::Column { qualifier, name } => self.column(qualifier.as_ref(), name, expr),
            ExprKind::Field { base, field } => {
                let base_expr = self.value(base)?;
                let SqlType::Struct(fields) = base_expr.ty() else {
                    return Err(Diagnostic::at(
                        expr.span,
                        format!(
                            "Can't access field '{}' of {}: it is of type {}, not a STRUCT",
                            field.name,
                            self.text(base),
                            base_expr.ty()
                        ),
                    ));
                };
                let Some(position) = fields.iter().position(|(n, _)| *n == field.name) else {
                    let error = Diagnostic::at(
                        field.span,
                        format!("Could not find field '{}' in '{}'.", field.name, self.text(base)),
                    );
                    return Err(match nearest(&field.name, fields.iter().map(|(n, _)| n.as_str())) {
                        Some(other) => error.hint(format!("did you mean {other}?")),
                        None => error,
                    });
                };
                let ty = fields[position].1.clone();
                one(Expr::Field(Box::new(base_expr), position, ty))
            }
            ExprKind::Subscript { base, index } => self.subscript(base, index),
            ExprKind::Unary { negative, operand } => {
                let inner = self.bind(operand)?;
                match inner.ty() {
                    Some(ty) if ty.is_numeric() && *negative => one(Expr::Negate(Box::new(inner.expr))),
                    Some(ty) if ty.is_numeric() => Ok(inner),
                    ty => Err(Diagnostic::at(
                        expr.span,
                        format!(
                            "Error processing expression: {}. Arithmetic on type {} is not supported.",
                            self.text(expr),
                            type_text(ty)
                        ),
                    )),
                }
            }
            ExprKind::Binary { op, left, right } => self.binary(expr, *op, left, right),
            ExprKind::Not(e) => {
                let inner = self.boolean(e)?;
                one(Expr::Not(Box::new(inner)))
            }
            ExprKind::IsNull { operand, negated } => {
                let inner = Expr::IsNull(Box::new(self.value(operand)?));
                one(if *negated { Expr::Not(Box::new(fold(inner))) } else { inner })
            }
            ExprKind::Between { operand, low, high, negated } => {
                let value = (&**operand, self.bind(operand)?);
                // It is compared twice.
                small(&value.1, operand.span)?;
                let (low, high) = ((&**low, self.bind(low)?), (&**high, self.bind(high)?));
                let low = self.compare_bound(expr, BinaryOp::GreaterOrEqual, value.clone(), low)?;
                let high = self.compare_bound(expr, BinaryOp::LessOrEqual, value, high)?;
                let both = fold(Expr::Binary(BinaryOp::And, Box::new(low), Box::new(high), SqlType::Boolean));
                one(if *negated { Expr::Not(Box::new(both)) } else { both })
            }
            ExprKind::In { operand, list, negated } => {
                let bound = self.within(operand, list)?;
                one(if *negated { Expr::Not(Box::new(bound)) } else { bound })
            }
            ExprKind::Like { operand, pattern, escape, negated } => {
                let (text, like) = (self.bind(operand)?, self.bind(pattern)?);
                for (side, bound) in [(operand, &text), (pattern, &like)] {
                    if bound.ty().is_some_and(|t| *t != SqlType::String) {
                        return Err(Diagnostic::at(
                            side.span,
                            format!(
                                "The column type for Like condition must be VARCHAR. The column type is {}",
                                type_text(bound.ty())
                            ),
                        ));
                    }
                }
                let bound = Expr::Like { operand: Box::new(text.expr), pattern: Box::new(like.expr), escape: *escape };
                one(if *negated { Expr::Not(Box::new(bound)) } else { bound })
            }
            ExprKind::Case { operand, branches, otherwise } => {
                self.case(expr, operand.as_deref(), branches, otherwise.as_deref())
            }
            ExprKind::Cast { operand, ty } => {
                let to = types::resolve(self.catalog, ty)?;
                let inner = self.bind(operand)?;
                match inner.ty() {
                    Some(from) if !can_cast(from, &to) => Err(Diagnostic::at(
                        expr.span,
                        format!(
                            "{}Cast of {from} to {to} is not supported",
                            if self.clause == Clause::Select { "Invalid Select: " } else { "" }
                        ),
                    )),
                    _ => one(attempt(inner.cast(&to))),
                }
            }
            ExprKind::Call { name, args, .. } => self.call(expr, name, args),
            ExprKind::Array(items) => {
                let (ty, items) = self.elements(expr, items, "ARRAY")?;
                one(Expr::Construct(items, SqlType::Array(Box::new(ty))))
            }
            ExprKind::Map(pairs) => {
                let (keys, values): (Vec<ast::Expr>, Vec<ast::Expr>) = pairs.iter().cloned().unzip();
                let ((key, keys), (value, values)) =
                    (self.elements(expr, &keys, "MAP")?, self.elements(expr, &values, "MAP")?);
                let parts = keys.into_iter().zip(values).flat_map(|(k, v)| [k, v]).collect();
                one(Expr::Construct(parts, SqlType::Map(Box::new(key), Box::new(value))))
            }
            ExprKind::Struct(fields) => {
                let parts = fields.iter().map(|(_, e)| self.value(e).map(attempt)).collect::<Result<Vec<_>, _>>()?;
                let types = fields.iter().zip(&parts).map(|((n, _), e)| (n.name.clone(), e.ty().clone()));
                let ty = SqlType::Struct(types.collect());
                for (i, (name, _)) in fields.iter().enumerate() {
                    if fields[..i].iter().any(|(n, _)| n.name == name.name) {
                        return Err(Diagnostic::at(
                            name.span,
                            format!("Duplicate field names found in STRUCT: {}", name.name),
                        ));
                    }
                }
                one(Expr::Construct(parts, ty))
            }
            ExprKind::Lambda { .. } => {
                Err(Diagnostic::at(expr.span, "a lambda can only be an argument of TRANSFORM, FILTER and REDUCE"))
            }
            ExprKind::Unit(unit) => one(Expr::Literal(Value::String(unit_name(*unit).into()), SqlType::String)),
        }
    }

    /// The group's column that an expression of a grouped query is, when it is one of the grouping expressions.
    fn group_key(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let groups = self.groups.as_ref()?;
        if contains_aggregate(expr) {
            return None;
        }
        let bound = Binder::new(self.catalog, self.scope, self.clause).value(expr).ok()?;
        let position = groups.keys.iter().position(|k| *k == bound)?;
        Some(Expr::Column(position, bound.ty().clone()))
    }

    fn literal(&self, literal: &Literal, span: Span) -> Result<Typed, Diagnostic> {
        let bad = |text: &str| Diagnostic::at(span, format!("Invalid numeric literal: {text}"));
        let (value, ty) = match literal {
            Literal::Null => return Ok(Typed::null()),
            Literal::Boolean(b) => (Value::Boolean(*b), SqlType::Boolean),
            Literal::Integer(v) => (Value::Int(*v), SqlType::Int),
            Literal::Bigint(v) => (Value::Bigint(*v), SqlType::Bigint),
            Literal::Decimal(text) => {
                let decimal = parse_decimal(text).ok_or_else(|| bad(text))?;
                let digits = decimal.unscaled.unsigned_abs().to_string().len();
                let precision = u8::try_from(digits).unwrap_or(38).max(decimal.scale);
                (Value::Decimal(decimal), SqlType::Decimal(precision, decimal.scale))
            }
            Literal::Double(text) => (Value::Double(text.parse().map_err(|_| bad(text))?), SqlType::Double),
            Literal::String(text) => (Value::String(text.as_str().into()), SqlType::String),
        };
        Ok(Typed::new(Expr::Literal(value, ty)))
    }

    fn column(&mut self, qualifier: Option<&Ident>, name: &Ident, expr: &ast::Expr) -> Result<Typed, Diagnostic> {
        if qualifier.is_none()
            && let Some(i) = self.parameters.iter().rposition(|(n, _)| *n == name.name)
        {
            return Ok(Typed::new(Expr::Parameter(i, self.parameters[i].1.clone())));
        }
        let bound = BOUNDS.iter().position(|b| *b == name.name);
        if let (Some(i), Some(groups)) = (bound, &self.groups)
            && groups.windowed
            && self.clause == Clause::Select
            && self.scope.is_single()
        {
            return Ok(Typed::new(Expr::Column(WINDOW + i, SqlType::Bigint)));
        }
        let resolved = match self.scope.resolve(qualifier, name, self.clause) {
            Err(_) if bound.is_some() && self.scope.is_single() && self.clause != Clause::Where => {
                return Err(bounds_error(name));
            }
            Err(error) if bound.is_some() && self.groups.is_some() => {
                return Err(
                    error.hint("a window over a join has no bounds in ksqlDB: make the join a stream of its own first")
                );
            }
            resolved => resolved?,
        };
        if self.groups.is_some() {
            return Err(Diagnostic::at(span(qualifier, name), not_grouped(&[self.text(expr)], self.clause))
                .hint(format!("add {} to GROUP BY", ident(name))));
        }
        Ok(Typed::new(resolved))
    }

    fn subscript(&mut self, base: &ast::Expr, index: &ast::Expr) -> Result<Typed, Diagnostic> {
        let (base_expr, index_expr) = (self.value(base)?, self.bind(index)?);
        let (key, item) = match base_expr.ty() {
            SqlType::Array(item) => match index_expr.ty() {
                Some(SqlType::Int | SqlType::Bigint) => (index_expr.expr.ty().clone(), (**item).clone()),
                ty => {
                    return Err(Diagnostic::at(
                        index.span,
                        format!(
                            "Array index must be an INTEGER or BIGINT, but {} is {}",
                            self.text(index),
                            type_text(ty)
                        ),
                    ));
                }
            },
            SqlType::Map(key, item) => match index_expr.ty() {
                Some(ty) if ty != &**key && unify(key, ty).as_ref() != Some(&**key) => {
                    return Err(Diagnostic::at(
                        index.span,
                        format!("Map key must be {key}, but {} is {ty}", self.text(index)),
                    ));
                }
                _ => ((**key).clone(), (**item).clone()),
            },
            ty => {
                return Err(Diagnostic::at(base.span, format!("Subscript expression do not apply to {ty}.")));
            }
        };
        Ok(Typed::new(Expr::Subscript(Box::new(base_expr), Box::new(index_expr.cast(&key)), item)))
    }

    fn boolean(&mut self, expr: &ast::Expr) -> Result<Expr, Diagnostic> {
        let bound = self.bind(expr)?;
        match bound.ty() {
            None | Some(SqlType::Boolean) => Ok(bound.cast(&SqlType::Boolean)),
            Some(ty) => Err(Diagnostic::at(
                expr.span,
                format!(
                    "Type error in {} expression: Should evaluate to boolean but is {} ({ty}) instead.",
                    self.clause.name(),
                    self.text(expr)
                ),
            )),
        }
    }

    fn binary(
        &mut self,
        expr: &ast::Expr,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<Typed, Diagnostic> {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let (a, b) = (self.boolean(left)?, self.boolean(right)?);
                Ok(Typed::new(Expr::Binary(op, Box::new(a), Box::new(b), SqlType::Boolean)))
            }
            BinaryOp::Concat => {
                let (a, b) = (self.bind(left)?, self.bind(right)?);
                match (a.ty(), b.ty()) {
                    (None | Some(SqlType::String), None | Some(SqlType::String)) => {
                        let (a, b) = (a.cast(&SqlType::String), b.cast(&SqlType::String));
                        Ok(Typed::new(Expr::Binary(op, Box::new(a), Box::new(b), SqlType::String)))
                    }
                    (x, y) => Err(Diagnostic::at(
                        expr.span,
                        format!("Function 'concat' does not accept parameters ({}, {}).", type_text(x), type_text(y)),
                    )
                    .hint("CAST(… AS STRING) makes text of a number")),
                }
            }
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => {
                let (a, b) = (self.bind(left)?, self.bind(right)?);
                arithmetic(op, a, b).map(Typed::new).map_err(|message| {
                    Diagnostic::at(expr.span, format!("Error processing expression: {}. {message}", self.text(expr)))
                })
            }
            _ => Ok(Typed::new(self.compare(expr, op, left, right)?)),
        }
    }

    fn compare(
        &mut self,
        expr: &ast::Expr,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<Expr, Diagnostic> {
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        self.compare_bound(expr, op, (left, a), (right, b))
    }

    /// A comparison of bound sides, which come with what is written.
    fn compare_bound(
        &self,
        expr: &ast::Expr,
        op: BinaryOp,
        (left, mut a): (&ast::Expr, Typed),
        (right, mut b): (&ast::Expr, Typed),
    ) -> Result<Expr, Diagnostic> {
        // Bounds and ROWTIME may be compared with a date's text.
        if is_time(left) {
            b = time_text(b, right.span)?;
        } else if is_time(right) {
            a = time_text(a, left.span)?;
        }
        let text = || (self.text(left), self.text(right));
        comparison(op, a, b, text).map(fold).map_err(|message| {
            let message = match self.clause {
                _ if matches!(expr.kind, ExprKind::Between { .. }) => {
                    format!("Invalid expression: {message}\nexpression: {}", self.text(expr))
                }
                Clause::Where | Clause::Having => {
                    format!("Error in {} expression: {message}\nStatement: {}", self.clause.name(), self.text(expr))
                }
                _ => format!("{message}\nStatement: {}", self.text(expr)),
            };
            let error = Diagnostic::at(expr.span, message);
            match (&left.kind, &right.kind) {
                (ExprKind::Literal(Literal::String(_)), _) | (_, ExprKind::Literal(Literal::String(_))) => {
                    error.hint("a number is written without quotes; CAST makes one type of another")
                }
                _ => error,
            }
        })
    }

    /// `operand IN (list)`: text among numbers is read as a number.
    fn within(&mut self, operand: &ast::Expr, list: &[ast::Expr]) -> Result<Expr, Diagnostic> {
        let value = self.bind(operand)?;
        let Some(mut ty) = value.ty().cloned() else {
            return Err(Diagnostic::at(operand.span, "Invalid Predicate: NULL IN (…)").hint("use IS NULL"));
        };
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let bound = self.bind(item)?;
            ty = common_type(&ty, &bound, || self.text(item))
                .map_err(|message| Diagnostic::at(item.span, format!("Invalid Predicate: {message}")))?;
            items.push((bound, item.span));
        }
        let items = items
            .into_iter()
            .map(|(bound, span)| {
                bound.cast_text(&ty).map_err(|m| Diagnostic::at(span, format!("Invalid Predicate: {m}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(fold(Expr::In(Box::new(value.cast(&ty)), items)))
    }

    fn case(
        &mut self,
        expr: &ast::Expr,
        operand: Option<&ast::Expr>,
        branches: &[(ast::Expr, ast::Expr)],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Typed, Diagnostic> {
        if let Some(call) = first_table_function(expr) {
            return Err(Diagnostic::at(
                call.span,
                format!("Table functions cannot be used in CASE: {}", self.text(expr)),
            ));
        }
        let mut conditions = Vec::with_capacity(branches.len());
        let operand = match operand {
            Some(operand) => Some((operand, self.bind(operand)?)),
            None => None,
        };
        if let Some((written, bound)) = &operand {
            // It is compared with every branch's.
            small(bound, written.span)?;
        }
        for (condition, _) in branches {
            conditions.push(match &operand {
                Some(operand) => {
                    let side = (condition, self.bind(condition)?);
                    self.compare_bound(expr, BinaryOp::Equal, operand.clone(), side)?
                }
                None => {
                    let bound = self.bind(condition)?;
                    if bound.ty() != Some(&SqlType::Boolean) {
                        return Err(Diagnostic::at(
                            condition.span,
                            format!(
                                "Invalid Case expression. When operand type should be BOOLEAN but was {}",
                                type_text(bound.ty())
                            ),
                        ));
                    }
                    bound.expr
                }
            });
        }
        let results: Vec<&ast::Expr> = branches.iter().map(|(_, r)| r).chain(otherwise).collect();
        let mut ty: Option<SqlType> = None;
        let mut bound = Vec::with_capacity(results.len());
        for (i, result) in results.iter().enumerate() {
            let typed = self.bind(result)?;
            ty = match (ty, typed.ty()) {
                (known, None) => known,
                (None, Some(t)) => Some(t.clone()),
                (Some(known), Some(t)) => match unify(&known, t) {
                    Some(wider) => Some(wider),
                    None if i < branches.len() => {
                        return Err(Diagnostic::at(
                            result.span,
                            format!(
                                "Invalid Case expression. Type for all 'THEN' clauses should be the same.\nTHEN expression 'WHEN {} THEN {}' has type: {t}.\nPrevious THEN expression(s) type: {known}.",
                                self.text(&branches[i].0),
                                self.text(result)
                            ),
                        ));
                    }
                    None => {
                        return Err(Diagnostic::at(
                            result.span,
                            format!(
                                "Invalid Case expression. Type for the default clause should be the same as for 'THEN' clauses.\nTHEN type: {known}.\nDEFAULT type: {t}."
                            ),
                        ));
                    }
                },
            };
            bound.push(typed);
        }
        let Some(ty) = ty else {
            return Err(Diagnostic::at(expr.span, "Invalid Case expression. All case branches have NULL type"));
        };
        let mut values = bound.into_iter().map(|t| t.cast(&ty));
        let branches: Vec<(Expr, Expr)> = conditions.into_iter().zip(values.by_ref()).collect();
        let otherwise = values.next().map(Box::new);
        Ok(Typed::new(Expr::Case(branches, otherwise, ty)))
    }

    /// A constructor's elements, and their common type.
    fn elements(
        &mut self,
        expr: &ast::Expr,
        items: &[ast::Expr],
        what: &str,
    ) -> Result<(SqlType, Vec<Expr>), Diagnostic> {
        if items.is_empty() {
            let (name, least) = if what == "MAP" { ("Map", "key value pair") } else { ("Array", "element") };
            return Err(Diagnostic::at(
                expr.span,
                format!(
                    "{name} constructor cannot be empty. Please supply at least one {least} (see https://github.com/confluentinc/ksql/issues/4239)."
                ),
            ));
        }
        let mut ty: Option<SqlType> = None;
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            let bound = self.bind(item)?;
            ty = match ty {
                None => bound.ty().cloned(),
                Some(known) => Some(
                    common_type(&known, &bound, || self.text(item))
                        .map_err(|message| Diagnostic::at(item.span, message))?,
                ),
            };
            all.push(bound);
        }
        let Some(ty) = ty else {
            return Err(Diagnostic::at(
                expr.span,
                format!(
                    "Cannot construct {what} with all NULL elements (see https://github.com/confluentinc/ksql/issues/4239). As a workaround, you may cast a NULL value to the desired type."
                ),
            ));
        };
        let cast = |(typed, item): (Typed, &ast::Expr)| {
            typed.cast_text(&ty).map(attempt).map_err(|message| Diagnostic::at(item.span, message))
        };
        let all = all.into_iter().zip(items).map(cast).collect::<Result<_, _>>()?;
        Ok((ty, all))
    }
}

/// Refuses an operand that is to be evaluated several times and is too large for that.
fn small(typed: &Typed, span: Span) -> Result<(), Diagnostic> {
    /// Nodes of an expression.
    const MOST: usize = 1000;
    let mut nodes = 0;
    typed.expr.visit(&mut |_| nodes += 1);
    if nodes > MOST {
        return Err(Diagnostic::at(span, "this expression is too large to be compared several times")
            .hint("give it a name in a stream of its own first"));
    }
    Ok(())
}

/// What is said of WINDOWSTART and WINDOWEND where they are not.
pub(super) fn bounds_error(name: &Ident) -> Diagnostic {
    Diagnostic::at(
        name.span,
        format!("Window bounds column {} can only be used in the SELECT clause of windowed aggregations", name.name),
    )
}

/// What is said of expressions that are neither grouped by nor aggregated.
pub(super) fn not_grouped(texts: &[String], clause: Clause) -> String {
    match clause {
        Clause::Having => format!("Non-aggregate HAVING expression not part of GROUP BY: {}", texts.join(", ")),
        _ => format!(
            "Non-aggregate SELECT expression(s) not part of GROUP BY: {}\nEither add the column(s) to the GROUP BY or remove them from the SELECT.",
            texts.join(", ")
        ),
    }
}

/// ROWTIME, WINDOWSTART, WINDOWEND.
fn is_time(expr: &ast::Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { name, .. } if name.name == "ROWTIME" || BOUNDS.contains(&name.name.as_str()))
}

fn time_text(typed: Typed, span: Span) -> Result<Typed, Diagnostic> {
    match &typed.expr {
        Expr::Literal(Value::String(text), _) => match datetime_literal(text) {
            Some(value) => Ok(Typed::new(Expr::Literal(value, SqlType::Bigint))),
            None => Err(Diagnostic::at(
                span,
                format!(
                    "Failed to parse timestamp '{text}': Required format is: \"yyyy-MM-dd'T'HH:mm:ss.SSS\", with an optional numeric or 'Z' timezone. Partials are also supported, for example \"2020-05-26\""
                ),
            )),
        },
        _ => Ok(typed),
    }
}

/// Calls `f` with the expression and all within it.
pub(super) fn visit(expr: &ast::Expr, f: &mut impl FnMut(&ast::Expr)) {
    f(expr);
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Column { .. } | ExprKind::Unit(_) => {}
        ExprKind::Field { base: e, .. }
        | ExprKind::Unary { operand: e, .. }
        | ExprKind::Not(e)
        | ExprKind::IsNull { operand: e, .. }
        | ExprKind::Cast { operand: e, .. }
        | ExprKind::Lambda { body: e, .. } => visit(e, f),
        ExprKind::Subscript { base: a, index: b }
        | ExprKind::Binary { left: a, right: b, .. }
        | ExprKind::Like { operand: a, pattern: b, .. } => [a, b].into_iter().for_each(|e| visit(e, f)),
        ExprKind::Between { operand, low, high, .. } => [operand, low, high].into_iter().for_each(|e| visit(e, f)),
        ExprKind::In { operand, list, .. } => {
            visit(operand, f);
            list.iter().for_each(|e| visit(e, f));
        }
        ExprKind::Case { operand, branches, otherwise } => {
            operand.iter().chain(otherwise).for_each(|e| visit(e, f));
            for (condition, result) in branches {
                visit(condition, f);
                visit(result, f);
            }
        }
        ExprKind::Call { args: items, .. } | ExprKind::Array(items) => items.iter().for_each(|e| visit(e, f)),
        ExprKind::Map(pairs) => {
            for (key, value) in pairs {
                visit(key, f);
                visit(value, f);
            }
        }
        ExprKind::Struct(fields) => fields.iter().for_each(|(_, e)| visit(e, f)),
    }
}
