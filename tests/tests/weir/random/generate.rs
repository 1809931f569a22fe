//! Makes a script and its records from a seed.
//!
//! What is left out, because it has no single answer: a stream joined with a table that a stream feeds (what it finds
//! depends on when it comes), sessions with late records over several partitions, GRACE PERIOD of streams joined over
//! several partitions, DOUBLE as a key.

use super::expr::{Expr, Kind, Type, Value};
use super::phrase::reads_a_column;
use super::records;
use super::script::{
    Call, Column, Group, How, Join, Made, Outer, Pair, Relation, Script, Topic, View, Window, WindowKind,
};
use crate::clicks::Random;

const KEY_TYPES: [Type; 3] = [Type::Int, Type::Text, Type::Bigint];
pub(super) const TYPES: [Type; 5] = [Type::Int, Type::Text, Type::Double, Type::Bigint, Type::Boolean];

/// What the generator knows of a relation beside its statement.
#[derive(Clone, Debug)]
struct Known {
    relation: Relation,
    windowed: bool,
    /// It can be looked up by a stream: only declared tables feed it.
    settled: bool,
    /// Its rows may have no value at all.
    tombstones: bool,
    partitions: usize,
}

/// A generator.
pub(super) struct Generator {
    pub(super) random: Random,
    prefix: String,
    made: Vec<Known>,
}

/// The script of a seed; `prefix` begins all names.
pub(crate) fn script(seed: u64, prefix: &str) -> Script {
    let mut generator = Generator { random: Random(seed), prefix: prefix.to_owned(), made: Vec::new() };
    for _ in 0..1 + generator.random.below(2) {
        generator.declare(false);
    }
    for _ in 0..generator.random.below(3) {
        generator.declare(true);
    }
    for _ in 0..4 + generator.random.below(5) {
        generator.view();
    }
    Script { relations: generator.made.into_iter().map(|k| k.relation).collect() }
}

/// Columns in scope: their names in SQL.
pub(super) type Scope = Vec<(String, Type)>;

impl Generator {
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    pub(super) fn number(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.random.below((to - from + 1).unsigned_abs())).unwrap_or(0)
    }

    fn name(&mut self, kind: &str) -> String {
        format!("{}{kind}{}", self.prefix, self.made.len())
    }

    fn declare(&mut self, table: bool) {
        let name = self.name(if table { "T" } else { "S" });
        let mut columns = Vec::new();
        let keys = if table { 1 + u64::from(self.chance(20)) } else { u64::from(self.chance(60)) };
        for i in 0..keys {
            let ty = if i == 0 { self.random.pick(&KEY_TYPES[..2]) } else { self.random.pick(&KEY_TYPES) };
            columns.push(Column { name: format!("K{i}"), ty, key: true });
        }
        for i in 0..3 + self.random.below(3) {
            let ty = if i < 2 { TYPES[usize::from(i == 1)] } else { self.random.pick(&TYPES) };
            columns.push(Column { name: format!("C{i}"), ty, key: false });
        }
        let timestamp = (!table && self.chance(20)).then_some(columns.len());
        if timestamp.is_some() {
            columns.push(Column { name: "TS".into(), ty: Type::Bigint, key: false });
        }
        let partitions = if self.chance(30) { 3 } else { 1 };
        let records = records::make(self, &columns, table, timestamp, partitions);
        let topic = Topic { name: name.to_lowercase(), partitions: records, timestamp };
        let relation = Relation { name, table, columns, made: Made::Declared(topic), empty_groups: None };
        let tombstones = !table && timestamp.is_none();
        self.made.push(Known { relation, windowed: false, settled: table, tombstones, partitions });
    }

    /// One of those that fit.
    fn choose(&mut self, fits: impl Fn(&Known) -> bool) -> Option<Known> {
        let list: Vec<&Known> =
            self.made.iter().filter(|k| !k.windowed && k.relation.empty_groups.is_none() && fits(k)).collect();
        let at = usize::try_from(self.random.below(list.len() as u64)).unwrap_or(0);
        list.get(at).map(|k| (*k).clone())
    }

    fn view(&mut self) {
        let of_table = self.chance(35);
        let Some(from) = self.choose(|k| k.relation.table == of_table) else { return };
        let made = match self.random.below(10) {
            0..=5 => self.aggregate(from),
            _ => self.plain(from),
        };
        self.made.push(made);
    }

    /// What a view's clauses see of its inputs, with its joins.
    fn inputs(&mut self, from: &mut Known) -> (Scope, Option<Pair>, Vec<Join>) {
        let columns = &from.relation.columns;
        let mut scope: Scope = columns.iter().map(|c| (c.name.clone(), c.ty)).collect();
        let mut joins = Vec::new();
        let pair = if self.chance(30) { self.pair(from, &mut scope) } else { None };
        if from.relation.table || !self.chance(if pair.is_some() { 20 } else { 45 }) {
            return (scope, pair, joins);
        }
        let width = scope.len();
        // Joined once more on the same columns, rows are found by the key, also where a side is missing.
        let same = |at: usize| {
            let outer = pair.as_ref().filter(|p: &&Pair| p.outer != Outer::Neither);
            outer.is_some_and(|p| at == p.on[0].0 || at == p.widths[0] + p.on[1].0)
        };
        for alias in ["T", "U"] {
            // A table is not joined with itself.
            let joined: Vec<String> = joins.iter().map(|j: &Join| j.table.clone()).collect();
            let fits = |k: &Known| k.settled && k.relation.keys() == 1 && !joined.contains(&k.relation.name);
            let Some(table) = self.choose(fits) else { break };
            let key = table.relation.columns[0].clone();
            let fits: Vec<usize> = (0..width).filter(|i| scope[*i].1 == key.ty && !same(*i)).collect();
            if fits.is_empty() {
                break;
            }
            if joins.is_empty() && pair.is_none() {
                scope.iter_mut().for_each(|(name, _)| *name = format!("S.{name}"));
            }
            let left = self.random.pick(&fits);
            let left = Expr::new(Kind::Column(left, scope[left].0.clone()), key.ty);
            let values = table.relation.columns.iter().skip(1);
            scope.extend(values.map(|c| (format!("{alias}.{}", c.name), c.ty)));
            let (inner, width) = (self.chance(50), table.relation.columns.len() - 1);
            joins.push(Join { inner, table: table.relation.name.clone(), alias, left, key: key.name, width });
            if !self.chance(25) {
                break;
            }
        }
        (scope, pair, joins)
    }

    /// A second stream or table to join with. `from` is then what is known of the two together.
    fn pair(&mut self, from: &mut Known, scope: &mut Scope) -> Option<Pair> {
        let table = from.relation.table;
        let alike = |k: &Known| k.relation.table == table && k.relation.name != from.relation.name;
        let right = self.choose(|k| alike(k) && (!table || k.relation.keys() == 1))?;
        if table && from.relation.keys() > 1 {
            return None;
        }
        let (left_columns, right_columns) = (&from.relation.columns, &right.relation.columns);
        let fits: Vec<(usize, usize)> = (0..left_columns.len())
            .flat_map(|l| (0..if table { 1 } else { right_columns.len() }).map(move |r| (l, r)))
            .filter(|(l, r)| left_columns[*l].ty == right_columns[*r].ty && KEY_TYPES.contains(&left_columns[*l].ty))
            .collect();
        if fits.is_empty() {
            return None;
        }
        let (left, place) = self.random.pick(&fits);
        let how = match (table, left) {
            (true, 0) => How::Primary,
            (true, _) => How::Foreign,
            (false, _) => {
                // Over several partitions what is late has no single answer.
                let grace = from.partitions == 1 && right.partitions == 1 && self.chance(70);
                let grace = grace.then(|| self.random.pick(&[0, 1000, 5000, 20_000]));
                How::Within { before: self.number(0, 8) * 1000, after: self.number(0, 8) * 1000, grace }
            }
        };
        let outer = match how {
            How::Foreign => self.random.pick(&[Outer::Neither, Outer::Left]),
            _ => self.random.pick(&[Outer::Neither, Outer::Left, Outer::Right, Outer::Both]),
        };
        let on =
            [(left, format!("S.{}", left_columns[left].name)), (place, format!("R.{}", right_columns[place].name))];
        let widths = [left_columns.len(), right_columns.len()];
        scope.iter_mut().for_each(|(name, _)| *name = format!("S.{name}"));
        scope.extend(right_columns.iter().map(|c| (format!("R.{}", c.name), c.ty)));
        from.settled &= right.settled;
        from.tombstones = false;
        from.partitions = from.partitions.max(right.partitions);
        Some(Pair { right: right.relation.name, outer, on, widths, how })
    }

    /// The column of a pair that is its key.
    fn pair_key(&mut self, pair: &Pair, scope: &Scope) -> Expr {
        let [(left, left_name), (right, right_name)] = &pair.on;
        let right = pair.widths[0] + right;
        match (pair.how, pair.outer) {
            (How::Foreign, _) => Expr::new(Kind::Column(0, scope[0].0.clone()), scope[0].1),
            (_, Outer::Both) => Expr::new(Kind::JoinKey("ROWKEY".into()), scope[*left].1),
            (_, Outer::Right) => Expr::new(Kind::Column(right, right_name.clone()), scope[right].1),
            (_, Outer::Neither) if self.chance(50) => {
                Expr::new(Kind::Column(right, right_name.clone()), scope[right].1)
            }
            _ => Expr::new(Kind::Column(*left, left_name.clone()), scope[*left].1),
        }
    }

    fn plain(&mut self, mut from: Known) -> Known {
        let (scope, pair, joins) = self.inputs(&mut from);
        let filter = self.chance(55).then(|| self.condition(&scope));
        let mut columns = Vec::new();
        let mut items = Vec::new();
        let mut partition_by = None;
        let drops = filter.is_some() || pair.is_some() || !joins.is_empty();
        if let Some(join) = joins.last() {
            let name = if self.chance(50) { join.left.to_string() } else { format!("{}.{}", join.alias, join.key) };
            let Kind::Column(at, _) = join.left.kind else { unreachable!("a join's side is a column") };
            columns.push(Column { name: "K0".into(), ty: join.left.ty, key: true });
            items.push(Expr::new(Kind::Column(at, name), join.left.ty));
        } else if let Some(pair) = &pair {
            let key = self.pair_key(pair, &scope);
            columns.push(Column { name: "K0".into(), ty: key.ty, key: true });
            items.push(key);
        } else if !from.relation.table && (drops || !from.tombstones) && self.chance(25) {
            let keys: Vec<usize> = (0..scope.len()).filter(|i| KEY_TYPES.contains(&scope[*i].1)).collect();
            let at = self.random.pick(&keys);
            let by = Expr::new(Kind::Column(at, scope[at].0.clone()), scope[at].1);
            columns.push(Column { name: "K0".into(), ty: by.ty, key: true });
            items.push(by.clone());
            partition_by = Some(by);
        } else {
            for (i, column) in from.relation.columns.iter().filter(|c| c.key).enumerate() {
                columns.push(Column { name: format!("K{i}"), ty: column.ty, key: true });
                items.push(Expr::new(Kind::Column(i, scope[i].0.clone()), column.ty));
            }
        }
        for i in 0..2 + self.random.below(3) {
            let ty = if i == 0 { Type::Int } else { self.random.pick(&TYPES) };
            // Of two sides ROWTIME is the left one's.
            let expr = if ty == Type::Bigint && !from.relation.table && pair.is_none() && self.chance(20) {
                Expr::new(Kind::Rowtime, ty)
            } else {
                let depth = self.random.below(3);
                self.expr(&scope, ty, depth)
            };
            // What is a key already is a value only as a copy.
            let is_key = |e: &Expr| matches!((&e.kind, &expr.kind), (Kind::Column(a, _), Kind::Column(b, _)) if a == b);
            let copy = items.iter().zip(&columns).any(|(e, c): (&Expr, &Column)| c.key && is_key(e));
            // Where both columns of ON stand, the left one is the key.
            let left = |p: &Pair| matches!(expr.kind, Kind::Column(at, _) if at == p.on[0].0);
            let copy = copy || joins.is_empty() && pair.as_ref().is_some_and(left);
            let expr = if copy { Expr { ty: expr.ty, kind: Kind::Call("AS_VALUE", vec![expr]) } } else { expr };
            columns.push(Column { name: format!("C{i}"), ty: expr.ty, key: false });
            items.push(expr);
        }
        let view = View { from: from.relation.name.clone(), pair, joins, filter, partition_by, group: None, items };
        let (table, name) = (from.relation.table, self.name("V"));
        let relation = Relation { name, table, columns, made: Made::View(Box::new(view)), empty_groups: None };
        Known { relation, windowed: false, tombstones: from.tombstones && !drops, ..from }
    }

    fn aggregate(&mut self, mut from: Known) -> Known {
        let (scope, pair, joins) = self.inputs(&mut from);
        let of_table = from.relation.table;
        let filter = self.chance(40).then(|| self.condition(&scope));
        let mut by: Vec<Expr> = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let ty = self.random.pick(&[Type::Int, Type::Text, Type::Bigint, Type::Boolean]);
            let depth = self.random.below(2);
            let expr = self.expr(&scope, ty, depth);
            if reads_a_column(&expr) && by.iter().all(|e| e.to_string() != expr.to_string()) {
                by.push(expr);
            }
        }
        if by.is_empty() {
            let at = from.relation.keys();
            by.push(Expr::new(Kind::Column(at, scope[at].0.clone()), scope[at].1));
        }
        let window = if of_table || self.chance(25) { None } else { Some(self.window(from.partitions)) };
        let mut calls = vec![Call { name: "COUNT", arg: None, ty: Type::Bigint }];
        for _ in 0..self.random.below(4) {
            let call = self.call(&scope, of_table);
            calls.push(call);
        }
        let group_scope: Scope = by.iter().map(|e| (e.to_string(), e.ty)).collect();
        let mut columns = Vec::new();
        let mut items = Vec::new();
        for (i, (text, ty)) in group_scope.iter().enumerate() {
            columns.push(Column { name: format!("K{i}"), ty: *ty, key: true });
            items.push(Expr::new(Kind::Column(i, text.clone()), *ty));
        }
        let mut value = |expr: Expr, columns: &mut Vec<Column>| {
            columns.push(Column { name: format!("C{}", columns.len()), ty: expr.ty, key: false });
            items.push(expr);
        };
        for i in 0..calls.len() {
            let result = result(&calls, i);
            let expr = if i > 0 && result.ty != Type::Double && self.chance(25) {
                let (ty, times) = (result.ty, Expr::literal(Value::Whole(self.number(2, 9)), Type::Int));
                Expr::new(Kind::Arithmetic('*', Box::new(result), Box::new(times)), ty)
            } else {
                result
            };
            value(expr, &mut columns);
        }
        // ksqlDB has no bounds of windows over a join.
        if window.is_some() && pair.is_none() && joins.is_empty() && self.chance(50) {
            let bound = |kind| Box::new(Expr::new(kind, Type::Bigint));
            let length = Kind::Arithmetic('-', bound(Kind::WindowEnd), bound(Kind::WindowStart));
            value(Expr::new(if self.chance(50) { Kind::WindowStart } else { length }, Type::Bigint), &mut columns);
        }
        if self.chance(30) {
            let ty = group_scope[0].1;
            value(Expr::new(Kind::Call("AS_VALUE", vec![items_key(&group_scope, 0)]), ty), &mut columns);
        }
        let having = self.having(&calls, of_table);
        let count = columns[group_scope.len()].name.clone();
        let empty_groups = (of_table && having.is_none()).then_some(count);
        let windowed = window.is_some();
        let group = Some(Group { by, window, calls, having });
        let view = View { from: from.relation.name.clone(), pair, joins, filter, partition_by: None, group, items };
        let name = self.name("A");
        let relation = Relation { name, table: true, columns, made: Made::View(Box::new(view)), empty_groups };
        Known { relation, windowed, settled: of_table && from.settled, tombstones: false, partitions: 1 }
    }

    fn call(&mut self, scope: &Scope, of_table: bool) -> Call {
        // What a table's row gave must be taken back again: MIN and MAX cannot.
        let names: &[&'static str] =
            if of_table { &["COUNT", "SUM", "AVG"] } else { &["COUNT", "SUM", "AVG", "MIN", "MAX"] };
        let numbers: Vec<usize> = (0..scope.len()).filter(|i| scope[*i].1.is_number()).collect();
        let name = if numbers.is_empty() { "COUNT" } else { self.random.pick(names) };
        let ty = if name == "COUNT" {
            self.random.pick(&TYPES)
        } else {
            self.random.pick(&[Type::Int, Type::Bigint, Type::Double])
        };
        let depth = self.random.below(2);
        let mut arg = self.expr(scope, ty, depth);
        if !reads_a_column(&arg) {
            let at = if numbers.is_empty() { 0 } else { self.random.pick(&numbers) };
            arg = Expr::new(Kind::Column(at, scope[at].0.clone()), scope[at].1);
        }
        let ty = match name {
            "COUNT" => Type::Bigint,
            "AVG" => Type::Double,
            _ => arg.ty,
        };
        Call { name, arg: Some(arg), ty }
    }

    /// HAVING; groups of a table that have no row any more are hidden where it stands.
    fn having(&mut self, calls: &[Call], of_table: bool) -> Option<Expr> {
        if !self.chance(if of_table { 60 } else { 35 }) {
            return None;
        }
        let at_least = if of_table { 1 } else { self.number(1, 4) };
        let compare = |op, a: Expr, n: i64| {
            let n = Expr::literal(Value::Whole(n), Type::Int);
            Expr::new(Kind::Compare(op, Box::new(a), Box::new(n)), Type::Boolean)
        };
        let rows = compare(">=", result(calls, 0), at_least);
        if calls.len() < 2 || self.chance(50) {
            return Some(rows);
        }
        let other = compare(self.random.pick(&["<", ">=", "<>"]), result(calls, 1), self.number(-5, 20));
        if calls[1].ty.is_number() {
            Some(Expr::new(Kind::And(Box::new(rows), Box::new(other)), Type::Boolean))
        } else {
            Some(rows)
        }
    }

    fn window(&mut self, partitions: usize) -> Window {
        let kind = match self.random.below(3) {
            0 => WindowKind::Tumbling(self.number(1, 20) * 1000),
            1 => {
                let advance = self.number(1, 10) * 500;
                WindowKind::Hopping(advance + self.number(0, 20) * 500, advance)
            }
            _ => WindowKind::Session(self.number(0, 8) * 1000 + 1),
        };
        let mut window = Window { kind, grace: None, retention: None };
        let order_matters = matches!(kind, WindowKind::Session(_)) && partitions > 1;
        if !order_matters && self.chance(80) {
            window.grace = Some(self.random.pick(&[0, 0, 1000, 5000, 20_000]));
            if self.chance(50) {
                window.retention = Some(window.length() + window.grace() + self.number(0, 40) * 1000);
            }
        }
        window
    }
}

fn items_key(scope: &Scope, at: usize) -> Expr {
    Expr::new(Kind::Column(at, scope[at].0.clone()), scope[at].1)
}

/// The result of the aggregate of a number.
fn result(calls: &[Call], at: usize) -> Expr {
    let call = &calls[at];
    let text = match &call.arg {
        None => format!("{}(*)", call.name),
        Some(arg) => format!("{}({arg})", call.name),
    };
    Expr::new(Kind::Aggregate(at, text), call.ty)
}
