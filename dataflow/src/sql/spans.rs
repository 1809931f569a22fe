//! All places in a syntax tree, to move them or to forget them.

use super::ast::{
    Duration, Expr, ExprKind, Ident, Properties, Query, QueryRef, Relation, SelectItem, Statement, StatementKind,
    TypeKind, TypeName, Window, WindowKind,
};
use super::error::Span;

/// The statement with all spans zero and all texts empty: equal for two statements that say the same.
pub fn without_spans(statement: &Statement) -> Statement {
    let mut statement = statement.clone();
    each_span(&mut statement, &mut |span| *span = Span::default());
    forget_text(&mut statement);
    statement
}

fn forget_text(statement: &mut Statement) {
    statement.text.clear();
    if let StatementKind::Explain(inner) = &mut statement.kind {
        forget_text(inner);
    }
}

/// Does something to every span of a statement.
pub(super) fn each_span(statement: &mut Statement, change: &mut dyn FnMut(&mut Span)) {
    change(&mut statement.span);
    Spans(change).kind(&mut statement.kind);
}

struct Spans<'a>(&'a mut dyn FnMut(&mut Span));

impl Spans<'_> {
    fn kind(&mut self, kind: &mut StatementKind) {
        match kind {
            StatementKind::CreateSource(created) => {
                self.ident(&mut created.name);
                for column in &mut created.columns {
                    self.ident(&mut column.name);
                    self.ty(&mut column.ty);
                }
                self.properties(&mut created.with);
            }
            StatementKind::CreateAs(created) => {
                self.ident(&mut created.name);
                self.properties(&mut created.with);
                self.query(&mut created.query);
            }
            StatementKind::InsertInto { target, with, query } => {
                self.ident(target);
                self.properties(with);
                self.query(query);
            }
            StatementKind::InsertValues { target, columns, values } => {
                self.ident(target);
                columns.iter_mut().for_each(|column| self.ident(column));
                self.exprs(values);
            }
            StatementKind::Query(query) => self.query(query),
            StatementKind::CreateConnector { name, with, .. } => {
                self.ident(name);
                self.properties(with);
            }
            StatementKind::Drop { name, .. }
            | StatementKind::Describe { name, .. }
            | StatementKind::Print { topic: name, .. }
            | StatementKind::DescribeFunction(name)
            | StatementKind::DescribeConnector(name)
            | StatementKind::ExplainQuery(name)
            | StatementKind::Define(name, _)
            | StatementKind::Undefine(name)
            | StatementKind::Terminate(QueryRef::Id(name))
            | StatementKind::Pause(QueryRef::Id(name))
            | StatementKind::Resume(QueryRef::Id(name)) => self.ident(name),
            StatementKind::Explain(inner) => {
                (self.0)(&mut inner.span);
                self.kind(&mut inner.kind);
            }
            StatementKind::CreateType { name, ty, .. } => {
                self.ident(name);
                self.ty(ty);
            }
            StatementKind::AlterAdd { name, columns, .. } => {
                self.ident(name);
                for (column, ty) in columns {
                    self.ident(column);
                    self.ty(ty);
                }
            }
            StatementKind::Show { .. }
            | StatementKind::DescribeAll { .. }
            | StatementKind::Set(..)
            | StatementKind::AlterSystem(..)
            | StatementKind::Unset(_)
            | StatementKind::Terminate(QueryRef::All)
            | StatementKind::Pause(QueryRef::All)
            | StatementKind::Resume(QueryRef::All)
            | StatementKind::Assert(_)
            | StatementKind::RunScript(_) => {}
        }
    }

    fn ident(&mut self, ident: &mut Ident) {
        (self.0)(&mut ident.span);
    }

    fn duration(&mut self, duration: &mut Duration) {
        (self.0)(&mut duration.span);
    }

    fn properties(&mut self, properties: &mut Properties) {
        for property in &mut properties.0 {
            (self.0)(&mut property.span);
            (self.0)(&mut property.value_span);
        }
    }

    fn ty(&mut self, ty: &mut TypeName) {
        (self.0)(&mut ty.span);
        match &mut ty.kind {
            TypeKind::Name(name) | TypeKind::Sized(name, _) => self.ident(name),
            TypeKind::Decimal(..) => {}
            TypeKind::Array(element) => self.ty(element),
            TypeKind::Map(key, value) => {
                self.ty(key);
                self.ty(value);
            }
            TypeKind::Struct(fields) => {
                for (name, ty) in fields {
                    self.ident(name);
                    self.ty(ty);
                }
            }
        }
    }

    fn query(&mut self, query: &mut Query) {
        (self.0)(&mut query.span);
        for item in &mut query.select {
            match item {
                SelectItem::All { qualifier, span } => {
                    (self.0)(span);
                    qualifier.iter_mut().for_each(|name| self.ident(name));
                }
                SelectItem::AllFields { base, span } => {
                    (self.0)(span);
                    self.expr(base);
                }
                SelectItem::Expr { expr, alias } => {
                    self.expr(expr);
                    alias.iter_mut().for_each(|name| self.ident(name));
                }
            }
        }
        self.relation(&mut query.from);
        query.window.iter_mut().for_each(|window| self.window(window));
        query.filter.iter_mut().for_each(|filter| self.expr(filter));
        self.exprs(&mut query.group_by);
        self.exprs(&mut query.partition_by);
        query.having.iter_mut().for_each(|having| self.expr(having));
    }

    fn relation(&mut self, relation: &mut Relation) {
        match relation {
            Relation::Named { name, alias } => {
                self.ident(name);
                alias.iter_mut().for_each(|name| self.ident(name));
            }
            Relation::Join(join) => {
                (self.0)(&mut join.span);
                self.relation(&mut join.left);
                self.relation(&mut join.right);
                if let Some(within) = &mut join.within {
                    self.duration(&mut within.before);
                    self.duration(&mut within.after);
                    within.grace.iter_mut().for_each(|grace| self.duration(grace));
                }
                self.expr(&mut join.on);
            }
        }
    }

    fn window(&mut self, window: &mut Window) {
        (self.0)(&mut window.span);
        match &mut window.kind {
            WindowKind::Tumbling { size: one } | WindowKind::Session { gap: one } => self.duration(one),
            WindowKind::Hopping { size, advance } => {
                self.duration(size);
                self.duration(advance);
            }
        }
        window.retention.iter_mut().chain(&mut window.grace).for_each(|duration| self.duration(duration));
    }

    fn exprs(&mut self, exprs: &mut [Expr]) {
        exprs.iter_mut().for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &mut Expr) {
        (self.0)(&mut expr.span);
        match &mut expr.kind {
            ExprKind::Literal(_) | ExprKind::Unit(_) => {}
            ExprKind::Column { qualifier, name } => {
                qualifier.iter_mut().for_each(|qualifier| self.ident(qualifier));
                self.ident(name);
            }
            ExprKind::Field { base, field } => {
                self.expr(base);
                self.ident(field);
            }
            ExprKind::Subscript { base: one, index: other } | ExprKind::Binary { left: one, right: other, .. } => {
                self.expr(one);
                self.expr(other);
            }
            ExprKind::Unary { operand, .. } | ExprKind::Not(operand) | ExprKind::IsNull { operand, .. } => {
                self.expr(operand);
            }
            ExprKind::Between { operand, low, high, .. } => {
                self.expr(operand);
                self.expr(low);
                self.expr(high);
            }
            ExprKind::In { operand, list, .. } => {
                self.expr(operand);
                self.exprs(list);
            }
            ExprKind::Like { operand, pattern, .. } => {
                self.expr(operand);
                self.expr(pattern);
            }
            ExprKind::Case { operand, branches, otherwise } => {
                operand.iter_mut().for_each(|operand| self.expr(operand));
                for (when, then) in branches {
                    self.expr(when);
                    self.expr(then);
                }
                otherwise.iter_mut().for_each(|otherwise| self.expr(otherwise));
            }
            ExprKind::Cast { operand, ty } => {
                self.expr(operand);
                self.ty(ty);
            }
            ExprKind::Call { name, args, .. } => {
                self.ident(name);
                self.exprs(args);
            }
            ExprKind::Array(items) => self.exprs(items),
            ExprKind::Map(entries) => {
                for (key, value) in entries {
                    self.expr(key);
                    self.expr(value);
                }
            }
            ExprKind::Struct(fields) => {
                for (name, value) in fields {
                    self.ident(name);
                    self.expr(value);
                }
            }
            ExprKind::Lambda { params, body } => {
                params.iter_mut().for_each(|param| self.ident(param));
                self.expr(body);
            }
        }
    }
}
