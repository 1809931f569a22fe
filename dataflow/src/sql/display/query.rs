//! Queries.

use std::fmt::{self, Display, Formatter};

use super::super::ast::{Emit, Join, JoinKind, Query, Relation, SelectItem, Window, WindowKind, Within};
use super::each;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        each(f, &self.select, |f, item| item.fmt(f))?;
        write!(f, " FROM {}", self.from)?;
        if let Some(window) = &self.window {
            write!(f, " {window}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        for (clause, keys) in [(" GROUP BY ", &self.group_by), (" PARTITION BY ", &self.partition_by)] {
            if !keys.is_empty() {
                f.write_str(clause)?;
                each(f, keys, |f, key| key.fmt(f))?;
            }
        }
        if let Some(having) = &self.having {
            write!(f, " HAVING {having}")?;
        }
        if let Some(emit) = self.emit {
            f.write_str(if emit == Emit::Final { " EMIT FINAL" } else { " EMIT CHANGES" })?;
        }
        match self.limit {
            Some(limit) => write!(f, " LIMIT {limit}"),
            None => Ok(()),
        }
    }
}

impl Display for SelectItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SelectItem::All { qualifier: None, .. } => f.write_str("*"),
            SelectItem::All { qualifier: Some(qualifier), .. } => write!(f, "{qualifier}.*"),
            SelectItem::AllFields { base, .. } => write!(f, "({base})->*"),
            SelectItem::Expr { expr, alias: None } => write!(f, "{expr}"),
            SelectItem::Expr { expr, alias: Some(alias) } => write!(f, "{expr} AS {alias}"),
        }
    }
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Named { name, alias: None } => write!(f, "{name}"),
            Relation::Named { name, alias: Some(alias) } => write!(f, "{name} AS {alias}"),
            Relation::Join(join) => join.fmt(f),
        }
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            JoinKind::Inner => "INNER JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL OUTER JOIN",
        };
        write!(f, "{} {kind} {}", self.left, self.right)?;
        if let Some(within) = &self.within {
            write!(f, " {within}")?;
        }
        write!(f, " ON {}", self.on)
    }
}

impl Display for Within {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.symmetric {
            write!(f, "WITHIN {}", self.before)?;
        } else {
            write!(f, "WITHIN ({}, {})", self.before, self.after)?;
        }
        match &self.grace {
            Some(grace) => write!(f, " GRACE PERIOD {grace}"),
            None => Ok(()),
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            WindowKind::Tumbling { size } => write!(f, "WINDOW TUMBLING (SIZE {size}")?,
            WindowKind::Hopping { size, advance } => {
                write!(f, "WINDOW HOPPING (SIZE {size}, ADVANCE BY {advance}")?;
            }
            WindowKind::Session { gap } => write!(f, "WINDOW SESSION ({gap}")?,
        }
        if let Some(retention) = &self.retention {
            write!(f, ", RETENTION {retention}")?;
        }
        if let Some(grace) = &self.grace {
            write!(f, ", GRACE PERIOD {grace}")?;
        }
        f.write_str(")")
    }
}
