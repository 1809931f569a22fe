//! Which column a name means.

use super::show;
use crate::plan::expr::Expr;
use crate::row::{Column, SqlType};
use crate::sql::ast::Ident;
use crate::sql::error::{Diagnostic, Span};
use crate::sql::nearest;

/// The streams and tables of a FROM clause, and the row that their columns make.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Named>,
    /// The key that the last join made, where no column can stand for it.
    pub(super) synthetic: Option<Column>,
    /// The columns of the row.
    pub(super) row: Vec<Column>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// The alias, or the name when there is none.
    pub(super) alias: String,
    /// The stream's or table's name.
    pub(super) name: String,
    /// Its columns, keys first.
    pub(super) columns: Vec<Column>,
    /// How many of them are keys.
    pub(super) keys: usize,
    /// Position of its first column in the row.
    pub(super) offset: usize,
    /// Its rows have windows: WINDOWSTART and WINDOWEND stand behind its columns.
    pub(super) windowed: bool,
    /// Its ROWTIME, ROWPARTITION and ROWOFFSET; those that can be had.
    pub(super) pseudo: [Option<Expr>; 3],
}

/// The columns that every source has beside its own.
pub(super) const PSEUDO: [&str; 3] = ["ROWTIME", "ROWPARTITION", "ROWOFFSET"];

/// The clause that a name stands in, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Select,
    Where,
    GroupBy,
    PartitionBy,
    Having,
    JoinOn,
    Values,
}

impl Clause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Clause::Select => "SELECT",
            Clause::Where => "WHERE",
            Clause::GroupBy => "GROUP BY",
            Clause::PartitionBy => "PARTITION BY",
            Clause::Having => "HAVING",
            Clause::JoinOn => "JOIN ON",
            Clause::Values => "VALUES",
        }
    }
}

/// The bounds of a window as columns.
pub(super) const BOUNDS: [&str; 2] = ["WINDOWSTART", "WINDOWEND"];

impl Scope {
    /// True when names need no alias: there is one relation.
    pub(super) fn is_single(&self) -> bool {
        self.relations.len() < 2
    }

    /// The name of a join's key that no column can stand for: ROWKEY, with a number when sources have such names.
    pub(super) fn synthetic_name(&self) -> String {
        let taken = |name: &str| self.relations.iter().any(|r| r.columns.iter().any(|c| c.name == name));
        let numbered = (1..).map(|n| format!("ROWKEY_{n}"));
        std::iter::once("ROWKEY".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    /// The expression that reads a column.
    pub(super) fn resolve(&self, qualifier: Option<&Ident>, name: &Ident, clause: Clause) -> Result<Expr, Diagnostic> {
        if let Some(q) = qualifier
            && !self.relations.iter().any(|r| r.alias == q.name)
        {
            return Err(self.stranger(q));
        }
        let relations = || self.relations.iter().filter(|r| qualifier.is_none_or(|q| q.name == r.alias));
        let found: Vec<(&Named, Expr)> = relations().filter_map(|r| Some((r, r.column(&name.name)?))).collect();
        match found.as_slice() {
            [(_, expr)] => Ok(expr.clone()),
            [] if qualifier.is_none() && self.synthetic.as_ref().is_some_and(|key| key.name == name.name) => {
                Ok(self.synthetic.as_ref().map_or(Expr::Rowtime, |key| Expr::Column(0, key.ty.clone())))
            }
            [] => self.pseudo(qualifier, name, clause),
            several => {
                let names: Vec<String> = several.iter().map(|(r, _)| format!("{}.{}", r.alias, name.name)).collect();
                Err(Diagnostic::at(
                    name.span,
                    format!("Column '{}' is ambiguous. Could be {}.", name.name, names.join(" or ")),
                )
                .hint("write its stream's or table's name and a point before it"))
            }
        }
    }

    /// What is said of a qualifier that FROM does not have.
    pub(super) fn stranger(&self, qualifier: &Ident) -> Diagnostic {
        let message =
            format!("Failed to prepare statement: '{}' is not a valid stream/table name or alias.", qualifier.name);
        let error = Diagnostic::at(qualifier.span, message);
        let aliases = self.relations.iter().map(|r| r.alias.as_str());
        match nearest(&qualifier.name, aliases.clone()) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint(format!("FROM has {}", aliases.collect::<Vec<_>>().join(", "))),
        }
    }

    /// ROWTIME and its like.
    fn pseudo(&self, qualifier: Option<&Ident>, name: &Ident, clause: Clause) -> Result<Expr, Diagnostic> {
        let relation = match qualifier {
            None => self.relations.first(),
            Some(q) => self.relations.iter().find(|r| r.alias == q.name),
        };
        let which = PSEUDO.iter().position(|p| *p == name.name);
        let (Some(which), Some(relation)) = (which, relation) else {
            return Err(self.unknown(qualifier, name, clause));
        };
        relation.pseudo[which].clone().ok_or_else(|| {
            Diagnostic::at(
                name.span,
                format!("weir does not support {} of a table, nor of the right side of a join with one", name.name),
            )
        })
    }

    fn unknown(&self, qualifier: Option<&Ident>, name: &Ident, clause: Clause) -> Diagnostic {
        let written = match qualifier {
            Some(q) => format!("{}.{}", q.name, name.name),
            None => name.name.clone(),
        };
        let mut message = format!("{} column '{written}' cannot be resolved.", clause.name());
        if matches!(clause, Clause::PartitionBy | Clause::GroupBy) {
            message.push_str(&format!(
                " '{written}' must be a column in the source schema since {} is applied on the input.",
                clause.name()
            ));
        }
        let span = qualifier.map_or(name.span, |q| q.span.to(name.span));
        let columns = self
            .relations
            .iter()
            .filter(|r| qualifier.is_none_or(|q| q.name == r.alias))
            .flat_map(|r| r.columns.iter().map(|c| c.name.as_str()));
        match nearest(&name.name, columns.clone()) {
            Some(other) => Diagnostic::at(span, message).hint(format!("did you mean {}?", show::quoted(other))),
            None => {
                let all: Vec<String> = columns.take(20).map(show::quoted).collect();
                Diagnostic::at(span, message).hint(format!("columns are {}", all.join(", ")))
            }
        }
    }

    /// How a column is written with the name of its relation before it: as it stands in a message about the query.
    pub(super) fn qualified(&self, qualifier: Option<&Ident>, name: &Ident) -> String {
        let owner = match qualifier {
            Some(q) => Some(q.name.clone()),
            None => self.relations.iter().find(|r| r.column(&name.name).is_some()).map(|r| r.alias.clone()),
        };
        match owner {
            Some(owner) => format!("{}.{}", show::quoted(&owner), show::ident(name)),
            None => show::ident(name),
        }
    }

    /// How a column is called behind FROM: its name, in a join with its relation's before it.
    pub(super) fn internal(&self, qualifier: Option<&Ident>, name: &Ident) -> String {
        if self.is_single() {
            return show::ident(name);
        }
        self.qualified(qualifier, name).replacen('.', "_", 1)
    }

    /// The relation and column that stand at a position of the row.
    pub(super) fn at(&self, position: usize) -> Option<(&Named, &Column)> {
        let relation = self.relations.iter().rev().find(|r| r.offset <= position)?;
        Some((relation, relation.columns.get(position - relation.offset)?))
    }

    /// True when several relations have a column of this name.
    pub(super) fn is_shared(&self, name: &str) -> bool {
        self.relations.iter().filter(|r| r.columns.iter().any(|c| c.name == name)).count() > 1
    }
}

impl Named {
    /// Its columns in the row.
    pub(super) fn row(&self) -> impl Iterator<Item = Column> {
        let bounds = BOUNDS.into_iter().filter(|_| self.windowed);
        let bounds = bounds.map(|name| Column { name: name.into(), ty: SqlType::Bigint });
        self.columns.iter().cloned().chain(bounds)
    }

    /// Its columns stand so many places further.
    pub(super) fn relocate(&mut self, by: usize) {
        self.offset += by;
        self.pseudo.iter_mut().flatten().for_each(|e| super::prune::relocate(e, &|i| i + by));
    }

    /// The expression that reads one of its columns.
    pub(super) fn column(&self, name: &str) -> Option<Expr> {
        if let Some(i) = self.columns.iter().position(|c| c.name == name) {
            return Some(Expr::Column(self.offset + i, self.columns[i].ty.clone()));
        }
        if self.windowed {
            let i = BOUNDS.iter().position(|b| *b == name)?;
            return Some(Expr::Column(self.offset + self.columns.len() + i, SqlType::Bigint));
        }
        None
    }

    /// The positions of its key columns in the row.
    pub(super) fn key_positions(&self) -> Vec<usize> {
        (self.offset..self.offset + self.keys).collect()
    }
}

/// The place of a name with its qualifier.
pub(super) fn span(qualifier: Option<&Ident>, name: &Ident) -> Span {
    qualifier.map_or(name.span, |q| q.span.to(name.span))
}
