//! Random expressions of a type, over the columns in scope.

use super::expr::{Expr, Kind, Type, Value};
use super::generate::{Generator, Scope, TYPES};
use super::records;

impl Generator {
    /// A condition that reads a column.
    pub(super) fn condition(&mut self, scope: &Scope) -> Expr {
        loop {
            let depth = 1 + self.random.below(2);
            let condition = self.expr(scope, Type::Boolean, depth);
            if reads_a_column(&condition) && !matches!(condition.kind, Kind::Column(..)) {
                return condition;
            }
        }
    }

    /// An expression of a type.
    pub(super) fn expr(&mut self, scope: &Scope, ty: Type, depth: u64) -> Expr {
        if depth == 0 {
            let fits: Vec<usize> = (0..scope.len()).filter(|i| scope[*i].1 == ty).collect();
            if !fits.is_empty() && self.chance(85) {
                let at = self.random.pick(&fits);
                return Expr::new(Kind::Column(at, scope[at].0.clone()), ty);
            }
            return self.literal(ty);
        }
        match ty {
            Type::Boolean => self.truth(scope, depth - 1),
            Type::Text => self.text(scope, depth - 1),
            _ => self.arithmetic(scope, ty, depth - 1),
        }
    }

    fn boxed(&mut self, scope: &Scope, ty: Type, depth: u64) -> Box<Expr> {
        Box::new(self.expr(scope, ty, depth))
    }

    fn literal(&mut self, ty: Type) -> Expr {
        let value = match ty {
            Type::Boolean => Value::Boolean(self.chance(50)),
            Type::Int | Type::Bigint => Value::Whole(self.number(0, 12)),
            Type::Double => Value::Double(self.number(0, 40) as f64 / 4.0),
            Type::Text => Value::Text(self.random.pick(&records::TEXTS).into()),
        };
        // There is no short way to write a small BIGINT.
        match ty {
            Type::Bigint => Expr::new(Kind::Cast(Box::new(Expr::literal(value, Type::Int))), ty),
            _ => Expr::literal(value, ty),
        }
    }

    fn number_type(&mut self) -> Type {
        self.random.pick(&[Type::Int, Type::Bigint, Type::Double])
    }

    fn truth(&mut self, scope: &Scope, depth: u64) -> Expr {
        let kind = match self.random.below(10) {
            0..=2 => {
                let (a, b) = (self.number_type(), self.number_type());
                let op = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                Kind::Compare(op, self.boxed(scope, a, depth), self.boxed(scope, b, depth))
            }
            3 => Kind::Compare(
                self.random.pick(&["=", "<>", "<", ">="]),
                self.boxed(scope, Type::Text, depth),
                self.boxed(scope, Type::Text, depth),
            ),
            4 if depth > 0 => {
                let (a, b) = (Box::new(self.truth(scope, depth - 1)), Box::new(self.truth(scope, depth - 1)));
                if self.chance(50) { Kind::And(a, b) } else { Kind::Or(a, b) }
            }
            5 if depth > 0 => Kind::Not(Box::new(self.truth(scope, depth - 1))),
            6 => {
                let ty = self.random.pick(&TYPES);
                Kind::IsNull(self.boxed(scope, ty, depth))
            }
            7 => {
                let low = self.number(-3, 6);
                let bound = |n| Box::new(Expr::literal(Value::Whole(n), Type::Int));
                let high = low.max(0) + self.number(0, 6);
                Kind::Between(self.boxed(scope, Type::Int, depth), bound(low.max(0)), bound(high))
            }
            8 => {
                let list = (0..2 + self.random.below(2)).map(|_| self.literal(Type::Int)).collect();
                Kind::In(self.boxed(scope, Type::Int, depth), list)
            }
            _ => Kind::Like(
                self.boxed(scope, Type::Text, depth),
                self.random.pick(&["%a%", "a%", "_b", "%1", "b_"]).into(),
            ),
        };
        Expr::new(kind, Type::Boolean)
    }

    fn text(&mut self, scope: &Scope, depth: u64) -> Expr {
        let kind = match self.random.below(6) {
            0 => Kind::Call("UCASE", vec![self.expr(scope, Type::Text, depth)]),
            1 => Kind::Call("LCASE", vec![self.expr(scope, Type::Text, depth)]),
            2 => Kind::Call("CONCAT", vec![self.expr(scope, Type::Text, depth), self.expr(scope, Type::Text, depth)]),
            3 => Kind::Call(
                "SUBSTRING",
                vec![
                    self.expr(scope, Type::Text, depth),
                    Expr::literal(Value::Whole(self.number(1, 2)), Type::Int),
                    Expr::literal(Value::Whole(self.number(1, 2)), Type::Int),
                ],
            ),
            4 => {
                let from = self.random.pick(&[Type::Int, Type::Bigint]);
                Kind::Cast(self.boxed(scope, from, depth))
            }
            _ => self.choice(scope, Type::Text, depth),
        };
        Expr::new(kind, Type::Text)
    }

    /// CASE, COALESCE or IFNULL.
    fn choice(&mut self, scope: &Scope, ty: Type, depth: u64) -> Kind {
        match self.random.below(3) {
            0 => {
                let condition = Box::new(self.truth(scope, depth.min(1)));
                let then = self.boxed(scope, ty, depth);
                let otherwise = self.chance(70).then(|| self.boxed(scope, ty, depth));
                Kind::Case(condition, then, otherwise)
            }
            1 => Kind::Call("COALESCE", vec![self.expr(scope, ty, depth), self.expr(scope, ty, depth)]),
            _ => Kind::Call("IFNULL", vec![self.expr(scope, ty, depth), self.literal(ty)]),
        }
    }

    fn arithmetic(&mut self, scope: &Scope, ty: Type, depth: u64) -> Expr {
        let narrower = match ty {
            Type::Double => self.number_type(),
            Type::Bigint => self.random.pick(&[Type::Int, Type::Bigint]),
            _ => Type::Int,
        };
        let kind = match self.random.below(8) {
            0..=2 => {
                let op = self.random.pick(&['+', '-', '*']);
                Kind::Arithmetic(op, self.boxed(scope, ty, depth), self.boxed(scope, narrower, depth))
            }
            // A DOUBLE is never divided by 0, which would be infinity.
            3 if ty == Type::Double => {
                let by = Expr::literal(Value::Double(self.number(1, 12) as f64 / 4.0), ty);
                Kind::Arithmetic('/', self.boxed(scope, ty, depth), Box::new(by))
            }
            3 => {
                let op = self.random.pick(&['/', '%']);
                Kind::Arithmetic(op, self.boxed(scope, ty, depth), self.boxed(scope, narrower, depth))
            }
            4 => Kind::Negate(self.boxed(scope, ty, depth)),
            5 => Kind::Call("ABS", vec![self.expr(scope, ty, depth)]),
            6 if ty == Type::Int => match self.random.below(3) {
                0 => Kind::Call("LEN", vec![self.expr(scope, Type::Text, depth)]),
                1 => Kind::Cast(self.boxed(scope, Type::Text, depth)),
                _ => Kind::Cast(self.boxed(scope, Type::Bigint, depth)),
            },
            6 => Kind::Cast(self.boxed(scope, Type::Int, depth)),
            _ => self.choice(scope, ty, depth),
        };
        Expr::new(kind, ty)
    }
}

/// True when a column stands in the expression.
pub(super) fn reads_a_column(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Column(..) => true,
        Kind::Arithmetic(_, a, b) | Kind::Compare(_, a, b) | Kind::And(a, b) | Kind::Or(a, b) => {
            reads_a_column(a) || reads_a_column(b)
        }
        Kind::Negate(e) | Kind::Not(e) | Kind::IsNull(e) | Kind::Like(e, _) | Kind::Cast(e) => reads_a_column(e),
        Kind::Between(e, a, b) => [e, a, b].into_iter().any(|e| reads_a_column(e)),
        Kind::In(e, list) => reads_a_column(e) || list.iter().any(reads_a_column),
        Kind::Case(a, b, c) => [Some(a), Some(b), c.as_ref()].into_iter().flatten().any(|e| reads_a_column(e)),
        Kind::Call(_, args) => args.iter().any(reads_a_column),
        Kind::Literal(_) | Kind::Aggregate(..) | Kind::WindowStart | Kind::WindowEnd => false,
        Kind::Rowtime | Kind::JoinKey(_) => false,
    }
}
