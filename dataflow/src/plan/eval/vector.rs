//! The walk over an expression, a column at a time.

use super::row::{self, RowInput};
use super::{EvalErrors, EvalInput, arithmetic, cast, compare, like, logic};
use crate::plan::expr::Expr;
use crate::row::{SqlType, Value, packed, picked};
use crate::sql::ast::BinaryOp;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use std::cell::RefCell;
use std::sync::Arc;

/// A column, or one value for all rows.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Column(ArrayRef),
    Scalar(Value),
}

impl Operand {
    /// As a column of `len` rows.
    pub(super) fn into_array(self, ty: &SqlType, len: usize) -> ArrayRef {
        match self {
            Operand::Column(array) => array,
            Operand::Scalar(Value::Null) => arrow_array::new_null_array(&ty.arrow(), len),
            Operand::Scalar(value) => packed::column(ty, std::iter::repeat_n(&value, len)),
        }
    }

    /// One row's value.
    pub(super) fn value(&self, ty: &SqlType, row: usize) -> Value {
        match self {
            Operand::Column(array) => packed::cell(array, ty, row),
            Operand::Scalar(value) => value.clone(),
        }
    }

    pub(super) fn is_null_scalar(&self) -> bool {
        matches!(self, Operand::Scalar(Value::Null))
    }
}

/// The bits that are true and not null.
pub(super) fn true_bits(array: &BooleanArray) -> BooleanBuffer {
    match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => array.values() & nulls.inner(),
        _ => array.values().clone(),
    }
}

/// Valid where both are.
pub(super) fn both_valid(a: Option<&NullBuffer>, b: Option<&NullBuffer>) -> Option<NullBuffer> {
    NullBuffer::union(a, b)
}

/// What an evaluation knows besides the expression.
pub(super) struct Context<'a> {
    input: &'a EvalInput<'a>,
    errors: &'a mut EvalErrors,
    /// Rows that have failed, a bit a row; empty: none has.
    failed: Vec<u64>,
    /// Rows that reach the operation at hand; `None`: all.
    active: Option<BooleanBuffer>,
}

impl<'a> Context<'a> {
    pub(super) fn new(input: &'a EvalInput<'a>, errors: &'a mut EvalErrors) -> Self {
        Context { input, errors, failed: Vec::new(), active: None }
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.input.times.len()
    }

    /// Marks a row as failed, if it reaches the operation at hand.
    pub(super) fn fail(&mut self, row: usize, message: impl FnOnce() -> String) {
        if self.active.as_ref().is_some_and(|active| !active.value(row)) {
            return;
        }
        if self.failed.is_empty() {
            self.failed = vec![0; self.len().div_ceil(64)];
        }
        let (word, bit) = (row / 64, 1_u64 << (row % 64));
        if self.failed[word] & bit == 0 {
            self.failed[word] |= bit;
            self.errors.add(row, message);
        }
    }

    /// Marks the rows that are null.
    pub(super) fn fail_nulls(&mut self, nulls: Option<&NullBuffer>, message: &str) {
        if let Some(nulls) = nulls
            && nulls.null_count() > 0
        {
            for row in (!nulls.inner()).set_indices() {
                self.fail(row, || message.into());
            }
        }
    }

    /// Marks all rows.
    pub(super) fn fail_all(&mut self, message: &str) {
        (0..self.len()).for_each(|row| self.fail(row, || message.into()));
    }

    /// Runs `f` for those of the active rows that are in `rows`.
    pub(super) fn within<T>(&mut self, rows: BooleanBuffer, f: impl FnOnce(&mut Self) -> T) -> T {
        let narrowed = self.active.as_ref().map_or_else(|| rows.clone(), |active| active & &rows);
        let outer = self.active.replace(narrowed);
        let result = f(self);
        self.active = outer;
        result
    }

    fn failed_bits(&self) -> Option<BooleanBuffer> {
        if self.failed.is_empty() {
            return None;
        }
        let words = &self.failed;
        Some(BooleanBuffer::collect_bool(self.len(), |i| words[i / 64] >> (i % 64) & 1 == 1))
    }

    /// The column with null in the failed rows.
    pub(super) fn without_failed(&self, array: ArrayRef) -> ArrayRef {
        match self.failed_bits() {
            None => array,
            Some(failed) => {
                let failed = BooleanArray::new(failed, None);
                arrow_select::nullif::nullif(&array, &failed).unwrap_or(array)
            }
        }
    }

    /// The bits without the failed rows.
    pub(super) fn but_failed(&self, bits: BooleanBuffer) -> BooleanBuffer {
        self.failed_bits().map_or(bits.clone(), |failed| &bits & &!&failed)
    }

    /// The value of an expression for each row; what it is in failed rows has no meaning.
    pub(super) fn values(&mut self, expr: &Expr) -> Operand {
        let n = self.len();
        Operand::Column(match expr {
            Expr::Literal(value, _) => return Operand::Scalar(value.clone()),
            Expr::Column(i, ty) => match self.input.columns.get(*i) {
                Some(Some(array)) => picked::flat(Arc::clone(array)),
                _ => arrow_array::new_null_array(&ty.arrow(), n),
            },
            Expr::Rowtime => Arc::new(Int64Array::from(self.input.times.to_vec())),
            Expr::Rowoffset => Arc::new(Int64Array::from(self.input.offsets.to_vec())),
            Expr::Rowpartition => Arc::new(Int32Array::from(vec![self.input.partition as i32; n])),
            Expr::Not(_) | Expr::IsNull(_) | Expr::Like { .. } | Expr::In(..) => boolean(self.truths(expr)),
            Expr::Binary(op, a, b, ty) => match op {
                BinaryOp::Add
                | BinaryOp::Subtract
                | BinaryOp::Multiply
                | BinaryOp::Divide
                | BinaryOp::Modulo
                | BinaryOp::Concat => {
                    let (x, y) = (self.values(a), self.values(b));
                    match arithmetic::columns(self, *op, &x, &y, ty) {
                        Some(array) => array,
                        None => {
                            return self
                                .each(ty, &[(&x, a.ty()), (&y, b.ty())], |v| row::binary(*op, &v[0], &v[1], ty));
                        }
                    }
                }
                _ => boolean(self.truths(expr)),
            },
            Expr::Negate(e) => {
                let x = self.values(e);
                return self.each(e.ty(), &[(&x, e.ty())], |v| arithmetic::negate(&v[0]));
            }
            Expr::Case(branches, otherwise, ty) => return logic::case(self, branches, otherwise.as_deref(), ty),
            Expr::Cast(e, to) => {
                let x = self.values(e);
                match &x {
                    Operand::Column(array) => match cast::columns(self, array, e.ty(), to) {
                        Some(array) => array,
                        None => return self.each(to, &[(&x, e.ty())], |v| cast::cast(&v[0], e.ty(), to)),
                    },
                    Operand::Scalar(_) => return self.each(to, &[(&x, e.ty())], |v| cast::cast(&v[0], e.ty(), to)),
                }
            }
            Expr::Try(e) => {
                // Its failures are told, but they are not those of what stands around it.
                let outer = std::mem::take(&mut self.failed);
                let array = self.values(e).into_array(e.ty(), n);
                let array = self.without_failed(array);
                self.failed = outer;
                array
            }
            Expr::Field(base, position, ty) => match self.values(base) {
                Operand::Column(array) => match array
                    .as_struct_opt()
                    .and_then(|s| Some((s, s.columns().get(*position)?)))
                {
                    Some((s, field)) if s.null_count() == 0 => Arc::clone(field),
                    _ => return self.each(ty, &[(&Operand::Column(array), base.ty())], |v| field(&v[0], *position)),
                },
                Operand::Scalar(value) => return Operand::Scalar(field(&value, *position).unwrap_or(Value::Null)),
            },
            Expr::Call(function, args, ty) => {
                if let Some(done) = self.call(function.columns(), args, ty) {
                    return done;
                }
                return self.rows(expr);
            }
            Expr::Subscript(..) | Expr::Construct(..) | Expr::Parameter(..) | Expr::Lambda(..) => {
                return self.rows(expr);
            }
        })
    }

    /// The rows for which a condition holds; a null condition fails.
    pub(super) fn truths(&mut self, expr: &Expr) -> BooleanBuffer {
        let n = self.len();
        match expr {
            Expr::Literal(Value::Boolean(b), _) => compare::fill(*b, n),
            Expr::Binary(BinaryOp::And, a, b, _) => logic::and(self, a, b),
            Expr::Binary(BinaryOp::Or, a, b, _) => logic::or(self, a, b),
            Expr::Binary(
                op @ (BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessOrEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
                | BinaryOp::Distinct
                | BinaryOp::NotDistinct),
                a,
                b,
                _,
            ) => {
                let (x, y) = (self.values(a), self.values(b));
                compare::columns(self, *op, &x, &y, a.ty())
            }
            Expr::Not(e) => !&self.truths(e),
            Expr::IsNull(e) => match self.values(e) {
                Operand::Column(array) => array.nulls().map_or_else(|| compare::fill(false, n), |v| !v.inner()),
                Operand::Scalar(value) => compare::fill(value.is_null(), n),
            },
            Expr::Like { operand, pattern, escape } => {
                let (x, y) = (self.values(operand), self.values(pattern));
                logic::like(self, &x, &y, *escape)
            }
            Expr::In(e, list) => {
                let x = self.values(e);
                let mut found = compare::fill(false, n);
                for item in list {
                    let y = self.values(item);
                    found = &found | &compare::columns(self, BinaryOp::Equal, &x, &y, e.ty());
                }
                found
            }
            _ => match self.values(expr) {
                Operand::Scalar(Value::Boolean(b)) => compare::fill(b, n),
                Operand::Scalar(_) => {
                    self.fail_all(row::NULL_CONDITION);
                    compare::fill(false, n)
                }
                Operand::Column(array) => {
                    self.fail_nulls(array.nulls(), row::NULL_CONDITION);
                    array.as_boolean_opt().map_or_else(|| compare::fill(false, n), true_bits)
                }
            },
        }
    }

    /// Row by row over operands that are columns already; one value when all are scalars.
    pub(super) fn each(
        &mut self,
        ty: &SqlType,
        operands: &[(&Operand, &SqlType)],
        f: impl Fn(&[Value]) -> Result<Value, String>,
    ) -> Operand {
        if operands.iter().all(|(o, _)| matches!(o, Operand::Scalar(_))) {
            let values: Vec<Value> = operands.iter().map(|(o, t)| o.value(t, 0)).collect();
            return Operand::Scalar(f(&values).unwrap_or_else(|message| {
                self.fail_all(&message);
                Value::Null
            }));
        }
        let mut values = vec![Value::Null; operands.len()];
        let mut results = Vec::with_capacity(self.len());
        for row in 0..self.len() {
            for (value, (operand, ty)) in values.iter_mut().zip(operands) {
                if let Operand::Column(array) = operand {
                    *value = packed::cell(array, ty, row);
                } else if row == 0 {
                    *value = operand.value(ty, row);
                }
            }
            results.push(f(&values).unwrap_or_else(|message| {
                self.fail(row, || message);
                Value::Null
            }));
        }
        Operand::Column(packed::column(ty, results.iter()))
    }

    /// A function that has a form for whole columns, when its arguments are columns it takes.
    fn call(
        &mut self,
        columns: Option<crate::plan::functions::ColumnFunction>,
        args: &[Expr],
        ty: &SqlType,
    ) -> Option<Operand> {
        let f = columns?;
        let arrays: Vec<ArrayRef> = args
            .iter()
            .map(|e| match e {
                Expr::Literal(..) => None,
                _ => match self.values(e) {
                    Operand::Column(array) => Some(array),
                    Operand::Scalar(_) => None,
                },
            })
            .collect::<Option<_>>()?;
        f(&arrays, ty).map(Operand::Column)
    }

    /// The whole expression row by row: only the columns it reads become values.
    fn rows(&mut self, expr: &Expr) -> Operand {
        let ty = expr.ty().clone();
        if expr.is_constant() {
            let failures = RefCell::default();
            let input = RowInput { failures: Some(&failures), ..RowInput::default() };
            let value = row::eval(expr, &input).unwrap_or_else(|message| {
                self.fail_all(&message);
                Value::Null
            });
            for message in failures.take() {
                (0..self.len()).for_each(|row| self.errors.add(row, || message.clone()));
            }
            return Operand::Scalar(value);
        }
        let mut reads: Vec<(usize, SqlType)> = Vec::new();
        expr.visit(&mut |e| {
            if let Expr::Column(i, ty) = e
                && !reads.iter().any(|(j, _)| i == j)
            {
                reads.push((*i, ty.clone()));
            }
        });
        let mut columns = vec![Value::Null; reads.iter().map(|(i, _)| i + 1).max().unwrap_or(0)];
        let mut results = Vec::with_capacity(self.len());
        let failures = RefCell::new(Vec::new());
        for row in 0..self.len() {
            if self.active.as_ref().is_some_and(|active| !active.value(row)) {
                results.push(Value::Null);
                continue;
            }
            for (i, ty) in &reads {
                if let Some(Some(array)) = self.input.columns.get(*i) {
                    columns[*i] = packed::cell(array, ty, row);
                }
            }
            let input = RowInput {
                columns: &columns,
                time: self.input.times[row],
                offset: self.input.offsets.get(row).copied().unwrap_or(0),
                partition: self.input.partition,
                parameters: &[],
                failures: Some(&failures),
            };
            results.push(row::eval(expr, &input).unwrap_or_else(|message| {
                self.fail(row, || message);
                Value::Null
            }));
            failures.borrow_mut().drain(..).for_each(|message| self.errors.add(row, || message));
        }
        Operand::Column(packed::column(&ty, results.iter()))
    }
}

fn boolean(bits: BooleanBuffer) -> ArrayRef {
    Arc::new(BooleanArray::new(bits, None))
}

fn field(value: &Value, position: usize) -> Result<Value, String> {
    Ok(match value {
        Value::Struct(fields) => fields.get(position).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    })
}

/// A LIKE pattern that is the same for all rows.
pub(super) fn pattern(operand: &Operand, escape: Option<char>) -> Option<like::Pattern> {
    match operand {
        Operand::Scalar(Value::String(text)) => Some(like::Pattern::new(text, escape)),
        _ => None,
    }
}
