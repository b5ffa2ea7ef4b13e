//! Attributes as nobody means them: whatever is given is an op or an error, and so is what an op makes
//! of any operands.

use emily_spec::{DType, Op, ROWS, Shape, TensorType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

const WORDS: &[&str] = &[
    "",
    "low",
    "high",
    "asc",
    "desc",
    "reduced",
    "complete",
    "none",
    "transpose",
    "conjugate",
    "mxfp4",
    "nvfp4",
    "nan",
    "inf",
    "-inf",
    "f32",
    "u8",
    "c64",
    "s64",
    "bf16",
    "axes",
    "é",
];

/// A number at an edge, or a small one.
fn integer() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3i64..6).prop_map(Value::from),
        1 => select(&[i64::MIN, i64::MAX, 1 << 31, (1 << 31) - 1, 1 << 32, 64, 65, 255]).prop_map(Value::from),
        1 => select(&[u64::MAX, 1 << 63]).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => integer(),
        2 => select(WORDS).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 100, 70, |inner| {
        prop_oneof![
            6 => vec(inner.clone(), 0..5).prop_map(Value::from),
            1 => vec(inner.clone(), 60..70).prop_map(Value::from),
            1 => (select(WORDS), inner).prop_map(|(key, value)| json!({ key: value })),
        ]
    })
}

fn types() -> impl Strategy<Value = Vec<TensorType>> {
    let dim =
        prop_oneof![8 => 0usize..5, 1 => select(&[Shape::MAX_DIM, Shape::MAX_DIM + 1, usize::MAX])];
    let ty = (select(&DType::ALL[..]), vec(dim, 0..5));
    let ty = ty.prop_map(|(dtype, dims)| TensorType::new(dtype, dims));
    vec(ty, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(20_000)
    })]

    #[test]
    fn any_attributes_and_operands_are_a_call_or_an_error(
        row in any::<Index>(),
        given in vec((any::<Index>(), value()), 0..8),
        other in prop::option::weighted(0.05, (select(WORDS), value())),
        types in types(),
    ) {
        let row = &ROWS[row.index(ROWS.len())];
        let mut attrs = Map::new();
        for (index, value) in given {
            if !row.attributes.is_empty() {
                let attribute = &row.attributes[index.index(row.attributes.len())];
                attrs.insert(attribute.name.to_owned(), value);
            }
        }
        attrs.extend(other.map(|(key, value)| (key.to_owned(), value)));
        if let Ok(op) = Op::read(row.name, Value::from(attrs)) {
            let count = row.arity.least();
            let exactly: Vec<_> = types.iter().cycle().take(count).cloned().collect();
            for types in [&types, &exactly] {
                if let Err(error) = op.infer(types) {
                    prop_assert!(!error.message.is_empty());
                }
            }
        }
    }
}
