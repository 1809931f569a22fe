//! Calls: scalar functions by their signatures, aggregates into the groups' columns.

use super::expr::{AGGREGATES, Binder, Typed, visit};
use super::operators::type_text;
use super::scope::Clause;
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::plan::expr::Expr;
use crate::plan::functions;
use crate::row::SqlType;
use crate::sql::ast::{self, ExprKind, Ident};
use crate::sql::error::Diagnostic;

impl Binder<'_> {
    pub(super) fn call(
        &mut self,
        expr: &ast::Expr,
        name: &Ident,
        args: &[ast::Expr],
        star: bool,
    ) -> Result<Typed, Diagnostic> {
        if let Some(function) = aggregate_function(&name.name) {
            return self.aggregate(expr, name, function, args, star);
        }
        if UNSUPPORTED_AGGREGATES.contains(&name.name.as_str()) {
            return Err(Diagnostic::at(
                name.span,
                format!("weir does not support the aggregate function {}", name.name),
            )
            .hint("COUNT, SUM, AVG, MIN and MAX are there"));
        }
        if name.name == "AS_VALUE" && args.len() == 1 {
            return self.bind(&args[0]);
        }
        if let Some(lambda) = args.iter().find(|a| matches!(a.kind, ExprKind::Lambda { .. })) {
            return Err(Diagnostic::at(lambda.span, "weir does not support lambda functions"));
        }
        if functions::find(&name.name).is_none() {
            return Err(unknown_function(name));
        }
        let bound = args.iter().map(|e| self.bind(e)).collect::<Result<Vec<_>, _>>()?;
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

    fn aggregate(
        &mut self,
        expr: &ast::Expr,
        name: &Ident,
        function: AggregateFunction,
        args: &[ast::Expr],
        star: bool,
    ) -> Result<Typed, Diagnostic> {
        let Some(keys) = self.groups.as_ref().map(|g| g.keys.len()) else {
            return Err(Diagnostic::at(
                expr.span,
                match self.clause {
                    Clause::Select => {
                        "Use of aggregate functions requires a GROUP BY clause. Aggregate function(s): ".to_string()
                            + &name.name
                    }
                    clause => format!("{} does not support aggregate functions: {}", clause.name(), name.name),
                },
            ));
        };
        let mut inner = Binder::new(self.catalog, self.scope, Clause::Select);
        let bound = args.iter().map(|a| {
            if contains_aggregate(a) {
                return Err(Diagnostic::at(
                    a.span,
                    format!("Aggregate functions can not be nested: {}({})", name.name, self.text(a)),
                ));
            }
            inner.bind(a).map(|t| (t, a))
        });
        let mut bound = bound.collect::<Result<Vec<_>, _>>()?;
        let call = match (function, bound.len()) {
            (AggregateFunction::Count, 0) => {
                AggregateCall { function: AggregateFunction::CountRows, args: Vec::new(), ty: SqlType::Bigint }
            }
            (_, 1) if !star => {
                let (arg, source) = bound.remove(0);
                // COUNT(1) counts rows.
                if function == AggregateFunction::Count && matches!(&arg.expr, Expr::Literal(v, _) if !v.is_null()) {
                    AggregateCall { function: AggregateFunction::CountRows, args: Vec::new(), ty: SqlType::Bigint }
                } else {
                    let ty = aggregate_type(function, arg.ty()).ok_or_else(|| {
                        Diagnostic::at(
                            source.span,
                            format!("Function '{}' does not accept parameters ({}).", name.name, type_text(arg.ty())),
                        )
                    })?;
                    AggregateCall { function, args: vec![arg.expr], ty }
                }
            }
            _ => {
                return Err(Diagnostic::at(
                    expr.span,
                    format!(
                        "Function '{}' does not accept parameters ({}).",
                        name.name,
                        bound.iter().map(|(t, _)| type_text(t.ty())).collect::<Vec<_>>().join(", ")
                    ),
                ));
            }
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

/// What is said of a function that there is not.
pub(super) fn unknown_function(name: &Ident) -> Diagnostic {
    if TABLE_FUNCTIONS.contains(&name.name.as_str()) {
        return Diagnostic::at(name.span, format!("weir does not support the table function {}", name.name));
    }
    let error = Diagnostic::at(name.span, format!("Can't find any functions with the name '{}'", name.name));
    match functions::near_function(&name.name) {
        Some(other) => error.hint(format!("did you mean {other}?")),
        None => error.hint("SHOW FUNCTIONS lists what there is"),
    }
}

/// The aggregate functions that there are.
pub(super) fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    Some(match name {
        "COUNT" => AggregateFunction::Count,
        "SUM" => AggregateFunction::Sum,
        "AVG" => AggregateFunction::Avg,
        "MIN" => AggregateFunction::Min,
        "MAX" => AggregateFunction::Max,
        _ => return None,
    })
}

/// ksqlDB's other aggregate functions.
const UNSUPPORTED_AGGREGATES: [&str; 14] = [
    "ATTR",
    "COLLECT_LIST",
    "COLLECT_SET",
    "CORRELATION",
    "COUNT_DISTINCT",
    "EARLIEST_BY_OFFSET",
    "HISTOGRAM",
    "LATEST_BY_OFFSET",
    "STDDEV_SAMP",
    "STDDEV_SAMPLE",
    "SUM_LIST",
    "TOPK",
    "TOPKDISTINCT",
    "STDDEV_POP",
];

const TABLE_FUNCTIONS: [&str; 2] = ["EXPLODE", "CUBE_EXPLODE"];

/// The type of an aggregate's result; none when it does not take the type.
fn aggregate_type(function: AggregateFunction, arg: Option<&SqlType>) -> Option<SqlType> {
    let numeric = arg.filter(|t| t.is_numeric());
    match function {
        AggregateFunction::CountRows | AggregateFunction::Count => Some(SqlType::Bigint),
        AggregateFunction::Sum => numeric.cloned(),
        AggregateFunction::Avg => numeric.map(|_| SqlType::Double),
        AggregateFunction::Min | AggregateFunction::Max => match arg {
            Some(SqlType::Boolean | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_)) | None => None,
            Some(ty) => Some(ty.clone()),
        },
    }
}

/// True when the expression has an aggregate call or a window bound in it.
pub(super) fn contains_aggregate(expr: &ast::Expr) -> bool {
    let mut found = false;
    visit(expr, &mut |e| {
        if let ExprKind::Call { name, .. } = &e.kind {
            found |= aggregate_function(&name.name).is_some() || UNSUPPORTED_AGGREGATES.contains(&name.name.as_str());
        }
    });
    found
}
