//! Calls: scalar functions by their signatures, aggregates into the groups' columns.

use super::expr::{AGGREGATES, Binder, Typed, attempt, visit};
use super::query::literal;
use super::scope::Clause;
use crate::plan::Explode;
use crate::plan::aggregate::{self, AggregateCall, AggregateFunction, Argument, Definition};
use crate::plan::expr::Expr;
use crate::plan::functions::table::{self, TableDefinition};
use crate::plan::functions::{self, Given};
use crate::row::SqlType;
use crate::sql::ast::{self, ExprKind, Ident};
use crate::sql::error::Diagnostic;

impl Binder<'_> {
    pub(super) fn call(&mut self, expr: &ast::Expr, name: &Ident, args: &[ast::Expr]) -> Result<Typed, Diagnostic> {
        if let Some(definition) = aggregate::find(&name.name) {
            return self.aggregate(expr, definition, args);
        }
        if name.name == "AS_VALUE" && args.len() == 1 {
            return self.bind(&args[0]);
        }
        if let Some(definition) = table::find(&name.name) {
            return self.explode(expr, definition, args);
        }
        if functions::find(&name.name).is_none() {
            return Err(unknown_function(name));
        }
        if args.iter().any(|a| matches!(a.kind, ExprKind::Lambda { .. })) {
            return self.with_lambdas(expr, name, args);
        }
        let mut bound = args.iter().map(|e| self.bind(e)).collect::<Result<Vec<_>, _>>()?;
        bound.iter_mut().for_each(inner_call);
        let given: Vec<Option<SqlType>> = bound.iter().map(|t| t.ty().cloned()).collect();
        let resolved = functions::resolve(&name.name, &given).map_err(|message| Diagnostic::at(expr.span, message))?;
        let args = bound
            .into_iter()
            .zip(&resolved.args)
            .map(|(typed, to)| match to {
                Some(ty) => typed.cast(ty),
                None => typed.expr,
            })
            .collect();
        Ok(Typed::new(Expr::Call(resolved.function, args, resolved.ty)))
    }

    /// A call of a table function: a column behind the row.
    fn explode(
        &mut self,
        expr: &ast::Expr,
        definition: &TableDefinition,
        args: &[ast::Expr],
    ) -> Result<Typed, Diagnostic> {
        let name = definition.name;
        if let Some(inner) = args.iter().find_map(first_table_function) {
            return Err(Diagnostic::at(inner.span, format!("Table functions cannot be nested: {}", self.text(expr))));
        }
        let bound = args.iter().map(|a| self.bind(a)).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<Option<SqlType>> = bound.iter().map(|t| t.ty().cloned()).collect();
        let ty = table::resolve(definition, &types).map_err(|message| Diagnostic::at(expr.span, message))?;
        let (clause, width) = (self.clause, self.scope.row.len());
        let (Some(calls), Some(arg)) = (&mut self.explode, bound.into_iter().next()) else {
            return Err(Diagnostic::at(
                expr.span,
                format!("{} does not support table functions: {name}", clause.name()),
            )
            .hint("table functions stand in the select list of a query without GROUP BY"));
        };
        calls.push(Explode { function: definition.function, arg: arg.expr, ty: ty.clone() });
        Ok(Typed::new(Expr::Column(width + calls.len() - 1, ty)))
    }

    /// A call with lambdas, whose parameters' types the other arguments say.
    fn with_lambdas(&mut self, expr: &ast::Expr, name: &Ident, args: &[ast::Expr]) -> Result<Typed, Diagnostic> {
        let mut bound: Vec<Option<Typed>> = Vec::with_capacity(args.len());
        let mut given = Vec::with_capacity(args.len());
        for arg in args {
            if let ExprKind::Lambda { params, .. } = &arg.kind {
                if let Some((i, twice)) =
                    params.iter().enumerate().find(|(i, p)| params[..*i].iter().any(|q| q.name == p.name))
                {
                    debug_assert!(i > 0);
                    return Err(Diagnostic::at(
                        twice.span,
                        format!("Lambda arguments have to be unique: {} is duplicated.", twice.name),
                    ));
                }
                bound.push(None);
                given.push(Given::Lambda(params.len()));
            } else {
                let mut typed = self.bind(arg)?;
                inner_call(&mut typed);
                given.push(Given::Value(typed.ty().cloned()));
                bound.push(Some(typed));
            }
        }
        let mut bodies: Vec<Option<Expr>> = vec![None; args.len()];
        let fail = |message| Diagnostic::at(expr.span, message);
        let resolved = functions::resolve_lambdas(&name.name, &given, fail, |i, types| {
            let ExprKind::Lambda { params, body } = &args[i].kind else { return Ok(SqlType::Boolean) };
            let first = self.parameters.len();
            self.parameters.extend(params.iter().map(|p| p.name.clone()).zip(types.iter().cloned()));
            let value = self.value(body);
            self.parameters.truncate(first);
            let value = value?;
            let ty = value.ty().clone();
            bodies[i] = Some(Expr::Lambda(first, params.len(), Box::new(value)));
            Ok(ty)
        })?;
        let args = bound.into_iter().zip(bodies).zip(&resolved.args).filter_map(|((typed, lambda), to)| {
            lambda.or_else(|| typed.map(|t| if let Some(ty) = to { t.cast(ty) } else { t.expr }))
        });
        Ok(Typed::new(Expr::Call(resolved.function, args.collect(), resolved.ty)))
    }

    fn aggregate(
        &mut self,
        expr: &ast::Expr,
        definition: &Definition,
        args: &[ast::Expr],
    ) -> Result<Typed, Diagnostic> {
        let name = definition.name;
        let Some((keys, limits)) = self.groups.as_ref().map(|g| (g.keys.len(), g.limits)) else {
            return Err(Diagnostic::at(
                expr.span,
                match self.clause {
                    Clause::Select => {
                        format!("Use of aggregate functions requires a GROUP BY clause. Aggregate function(s): {name}")
                    }
                    clause => format!("{} does not support aggregate functions: {name}", clause.name()),
                },
            ));
        };
        let mut inner = Binder::new(self.catalog, self.scope, Clause::Select);
        let bound = args.iter().map(|a| {
            if contains_aggregate(a) {
                return Err(Diagnostic::at(
                    a.span,
                    format!("Aggregate functions can not be nested: {name}({})", self.text(a)),
                ));
            }
            inner.bind(a)
        });
        let mut bound = bound.collect::<Result<Vec<_>, _>>()?;
        // Without an argument an aggregate is of ROWTIME. COUNT(1) counts rows.
        let rows = match bound.as_slice() {
            [] => true,
            [one] => matches!(&one.expr, Expr::Literal(v, _) if !v.is_null()),
            _ => false,
        };
        let call = if name == "COUNT" && rows {
            AggregateCall { function: AggregateFunction::CountRows, args: Vec::new(), ty: SqlType::Bigint }
        } else {
            if bound.is_empty() {
                bound.push(Typed::new(Expr::Rowtime));
            }
            let arguments: Vec<Argument> = (bound.iter().enumerate())
                .map(|(i, t)| Argument {
                    ty: t.ty().cloned(),
                    literal: literal(&t.expr).cloned(),
                    text: args.get(i).map_or_else(String::new, |a| self.text(a)),
                })
                .collect();
            let (function, to, ty) = aggregate::resolve(definition, &arguments, limits)
                .map_err(|message| Diagnostic::at(expr.span, message))?;
            let columns = bound.into_iter().zip(&to).map(|(typed, to)| match to {
                Some(ty) => typed.cast(ty),
                None => typed.expr,
            });
            let mut columns: Vec<Expr> = columns.collect();
            if columns.len() > 1 {
                let fields = columns.iter().enumerate().map(|(i, e)| (format!("F{i}"), e.ty().clone())).collect();
                columns = vec![Expr::Construct(columns, SqlType::Struct(fields))];
            }
            AggregateCall { function, args: columns, ty }
        };
        let ty = call.ty.clone();
        let Some(groups) = &mut self.groups else { return Err(Diagnostic::at(expr.span, "no GROUP BY")) };
        let position = groups.calls.iter().position(|c| *c == call).unwrap_or_else(|| {
            groups.calls.push(call);
            groups.calls.len() - 1
        });
        debug_assert!(keys < AGGREGATES);
        Ok(Typed::new(Expr::Column(AGGREGATES + position, ty)))
    }
}

/// A function's (or a field's) error as another function's argument goes no further.
fn inner_call(arg: &mut Typed) {
    if matches!(arg.expr, Expr::Call(..) | Expr::Field(..)) {
        let inner = std::mem::replace(&mut arg.expr, Expr::Rowtime);
        arg.expr = attempt(inner);
    }
}

/// What is said of a function that there is not.
pub(super) fn unknown_function(name: &Ident) -> Diagnostic {
    let error = Diagnostic::at(name.span, format!("Can't find any functions with the name '{}'", name.name));
    match functions::near_function(&name.name) {
        Some(other) => error.hint(format!("did you mean {other}?")),
        None => error.hint("SHOW FUNCTIONS lists what there is"),
    }
}

/// The first call of a table function within an expression.
pub(super) fn first_table_function(expr: &ast::Expr) -> Option<ast::Expr> {
    let mut found = None;
    visit(expr, &mut |e| {
        if let ExprKind::Call { name, .. } = &e.kind
            && found.is_none()
            && table::find(&name.name).is_some()
        {
            found = Some(e.clone());
        }
    });
    found
}

/// True when the expression has an aggregate call or a window bound in it.
pub(super) fn contains_aggregate(expr: &ast::Expr) -> bool {
    let mut found = false;
    visit(expr, &mut |e| {
        if let ExprKind::Call { name, .. } = &e.kind {
            found |= aggregate::find(&name.name).is_some();
        }
    });
    found
}
