//! The vectorised evaluation against the plain one of [`row`], on random expressions and columns.

use super::*;
use crate::row::{Decimal, packed};
use crate::sql::ast::BinaryOp;
use proptest::prelude::*;

const TYPES: [SqlType; 6] =
    [SqlType::Int, SqlType::Bigint, SqlType::Double, SqlType::String, SqlType::Boolean, SqlType::Decimal(5, 2)];

fn value(ty: &SqlType) -> BoxedStrategy<Value> {
    match ty {
        SqlType::Int => prop_oneof![-2..3_i32, Just(i32::MAX), Just(i32::MIN)].prop_map(Value::Int).boxed(),
        SqlType::Bigint => prop_oneof![-2..3_i64, Just(i64::MIN), Just(1 << 40)].prop_map(Value::Bigint).boxed(),
        SqlType::Double => {
            prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::NAN), Just(-1e9)].prop_map(Value::Double).boxed()
        }
        SqlType::String => prop_oneof!["[ab\n]{0,3}", "-?[0-9]{1,2}"].prop_map(|s| Value::String(s.into())).boxed(),
        SqlType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        _ => (-999..1000_i128).prop_map(|unscaled| Value::Decimal(Decimal { unscaled, scale: 2 })).boxed(),
    }
}

fn nullable(ty: &SqlType) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 4 => value(ty)].boxed()
}

/// Two columns of each type.
fn column(ty: &SqlType) -> BoxedStrategy<Expr> {
    let at = TYPES.iter().position(|t| t == ty).expect("a known type");
    let ty = ty.clone();
    (0..2_usize).prop_map(move |i| Expr::Column(2 * at + i, ty.clone())).boxed()
}

fn expr(ty: SqlType, depth: u32) -> BoxedStrategy<Expr> {
    let t = ty.clone();
    let literal = nullable(&ty).prop_map(move |v| Expr::Literal(v, t.clone()));
    let leaf = prop_oneof![3 => column(&ty), 1 => literal].boxed();
    if depth == 0 {
        return leaf;
    }
    let sub = |ty: &SqlType| expr(ty.clone(), depth - 1);
    let t = ty.clone();
    let case = (prop::collection::vec((sub(&SqlType::Boolean), sub(&ty)), 1..4), prop::option::of(sub(&ty)))
        .prop_map(move |(branches, otherwise)| Expr::Case(branches, otherwise.map(Box::new), t.clone()));
    let own = match &ty {
        SqlType::Boolean => {
            let ops = prop::sample::select(vec![
                BinaryOp::Equal,
                BinaryOp::NotEqual,
                BinaryOp::Less,
                BinaryOp::LessOrEqual,
                BinaryOp::Greater,
                BinaryOp::GreaterOrEqual,
                BinaryOp::Distinct,
                BinaryOp::NotDistinct,
            ]);
            let operands = prop::sample::select(TYPES.to_vec())
                .prop_flat_map(move |t| (expr(t.clone(), depth - 1), expr(t, depth - 1)));
            let binary = |op, a, b| Expr::Binary(op, Box::new(a), Box::new(b), SqlType::Boolean);
            let b = || expr(SqlType::Boolean, depth - 1);
            let text = || expr(SqlType::String, depth - 1);
            prop_oneof![
                4 => (ops, operands).prop_map(move |(op, (x, y))| binary(op, x, y)),
                1 => (b(), b()).prop_map(move |(x, y)| binary(BinaryOp::And, x, y)),
                1 => (b(), b()).prop_map(move |(x, y)| binary(BinaryOp::Or, x, y)),
                1 => b().prop_map(|x| Expr::Not(Box::new(x))),
                1 => prop::sample::select(TYPES.to_vec()).prop_flat_map(move |t| expr(t, depth - 1))
                    .prop_map(|x| Expr::IsNull(Box::new(x))),
                1 => (text(), prop_oneof![text(), "[ab%_]{0,3}".prop_map(|p| Expr::Literal(Value::String(p.into()), SqlType::String))])
                    .prop_map(|(x, p)| Expr::Like { operand: Box::new(x), pattern: Box::new(p), escape: None }),
                1 => prop::sample::select(TYPES.to_vec())
                    .prop_flat_map(move |t| (expr(t.clone(), depth - 1), prop::collection::vec(expr(t, depth - 1), 0..3)))
                    .prop_map(|(x, list)| Expr::In(Box::new(x), list)),
            ]
            .boxed()
        }
        SqlType::String => {
            let from = prop::sample::select(TYPES.to_vec()).prop_flat_map(move |t| expr(t, depth - 1));
            let ops = prop_oneof![Just(BinaryOp::Add), Just(BinaryOp::Concat)];
            prop_oneof![
                from.prop_map(|x| Expr::Cast(Box::new(x), SqlType::String)),
                (ops, sub(&ty), sub(&ty)).prop_map(|(op, x, y)| Expr::Binary(
                    op,
                    Box::new(x),
                    Box::new(y),
                    SqlType::String
                )),
            ]
            .boxed()
        }
        _ => {
            let ops = prop::sample::select(vec![
                BinaryOp::Add,
                BinaryOp::Subtract,
                BinaryOp::Multiply,
                BinaryOp::Divide,
                BinaryOp::Modulo,
            ]);
            let (t, u) = (ty.clone(), ty.clone());
            let from = prop::sample::select(TYPES.to_vec())
                .prop_filter("a cast", move |f| can_cast(f, &u))
                .prop_flat_map(move |t| expr(t, depth - 1));
            let u = ty.clone();
            prop_oneof![
                2 => (ops, sub(&ty), sub(&ty)).prop_map(move |(op, x, y)| Expr::Binary(op, Box::new(x), Box::new(y), t.clone())),
                1 => from.prop_map(move |x| Expr::Cast(Box::new(x), u.clone())),
                1 => sub(&ty).prop_map(|x| Expr::Negate(Box::new(x))),
                1 => sub(&ty).prop_map(|x| Expr::Try(Box::new(x))),
            ]
            .boxed()
        }
    };
    prop_oneof![2 => own, 1 => case, 1 => leaf].boxed()
}

fn rows() -> impl Strategy<Value = Vec<Vec<Value>>> {
    let row: Vec<_> = TYPES.iter().flat_map(|t| [nullable(t), nullable(t)]).collect();
    prop::collection::vec(row, 1..70)
}

fn columns(rows: &[Vec<Value>]) -> Vec<Option<ArrayRef>> {
    (0..2 * TYPES.len()).map(|i| Some(packed::column(&TYPES[i / 2], rows.iter().map(|r| &r[i])))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn columns_are_what_rows_are(
        (expr, rows) in prop::sample::select(TYPES.to_vec()).prop_flat_map(|t| (expr(t, 3), rows())),
    ) {
        let columns = columns(&rows);
        let times = vec![7; rows.len()];
        let input = EvalInput { columns: &columns, times: &times, offsets: &times, partition: 0 };
        let mut errors = EvalErrors::new(usize::MAX);
        let array = expr.eval(&input, &mut errors);
        prop_assert_eq!(array.len(), rows.len());
        prop_assert_eq!(array.data_type(), &expr.ty().arrow());
        let mut failed: Vec<usize> = errors.entries.iter().map(|e| e.row).collect();
        prop_assert_eq!(errors.count as usize, failed.len());
        failed.sort_unstable();
        for (i, row) in rows.iter().enumerate() {
            let failures = std::cell::RefCell::default();
            let input = row::RowInput { columns: row, time: 7, failures: Some(&failures), ..Default::default() };
            let expected = row::eval(&expr, &input);
            // Errors of parts are told too.
            let told = !failures.borrow().is_empty() || expected.is_err();
            prop_assert_eq!(failed.binary_search(&i).is_ok(), told, "row {}: {:?}", i, expected);
            prop_assert_eq!(packed::cell(&array, expr.ty(), i), expected.unwrap_or(Value::Null), "row {}", i);
        }
        if *expr.ty() == SqlType::Boolean {
            let mask = expr.filter(&input, &mut EvalErrors::default());
            for (i, row) in rows.iter().enumerate() {
                let expected = row::eval(&expr, &row::RowInput { columns: row, time: 7, ..Default::default() });
                prop_assert!(mask.is_valid(i));
                prop_assert_eq!(mask.value(i), expected == Ok(Value::Boolean(true)));
            }
        }
    }
}

#[test]
fn a_failure_within_makes_the_whole_expression_null() {
    let bigint = |v| Expr::Literal(Value::Bigint(v), SqlType::Bigint);
    let divided = Expr::Binary(
        BinaryOp::Divide,
        Box::new(bigint(1)),
        Box::new(Expr::Column(0, SqlType::Bigint)),
        SqlType::Bigint,
    );
    let positive = Expr::Binary(BinaryOp::Greater, Box::new(divided), Box::new(bigint(0)), SqlType::Boolean);
    let expr = Expr::Not(Box::new(positive));
    let column = packed::column(&SqlType::Bigint, [Value::Bigint(0), Value::Bigint(-1), Value::Null].iter());
    let input = EvalInput { columns: &[Some(column)], times: &[0; 3], offsets: &[0; 3], partition: 0 };
    let mut errors = EvalErrors::default();
    let mask = expr.filter(&input, &mut errors);
    assert_eq!((mask.value(0), mask.value(1), mask.value(2)), (false, true, false));
    assert_eq!(errors.count, 2);
}
