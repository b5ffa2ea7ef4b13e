//! Types worked out by hand.

use super::*;
use crate::{Error, ErrorKind, Price};

fn ty(text: &str) -> TensorType {
    let (dtype, dims) = text.trim_end_matches(']').split_once('[').unwrap();
    let dims: Vec<usize> = dims
        .split(',')
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().unwrap())
        .collect();
    TensorType::new(dtype.parse().unwrap(), dims)
}

/// Infers `{"op": name, "attrs": attrs}` on operands written as text.
fn infer(op: &str, inputs: &[&str]) -> Result<String> {
    let op: Op = serde_json::from_str(op).unwrap();
    let inputs: Vec<_> = inputs.iter().map(|text| ty(text)).collect();
    let results = op.infer(&inputs)?;
    assert_eq!(results.len(), op.row().results);
    let results: Vec<_> = results.iter().map(ToString::to_string).collect();
    Ok(results.join(" "))
}

#[track_caller]
fn gives(op: &str, inputs: &[&str], want: &str) {
    assert_eq!(infer(op, inputs).unwrap(), want);
}

#[track_caller]
fn fails(op: &str, inputs: &[&str], kind: ErrorKind) {
    let err = infer(op, inputs).unwrap_err();
    assert_eq!(err.kind, kind, "{err}");
    assert!(err.context.is_some());
}

#[test]
fn binary_ops_merge_and_broadcast() {
    let add = r#"{"op":"add","attrs":{}}"#;
    gives(add, &["u8[2,1]", "s8[3]"], "s16[2,3]");
    gives(add, &["s64[]", "bf16[0]"], "bf16[0]");
    gives(
        r#"{"op":"add","attrs":{"dtype":"u8"}}"#,
        &["u8[]", "s32[]"],
        "u8[]",
    );
    gives(r#"{"op":"divide","attrs":{}}"#, &["s64[]", "u8[]"], "f32[]");
    gives(r#"{"op":"divide","attrs":{}}"#, &["f16[]", "u8[]"], "f16[]");
    gives(r#"{"op":"equal"}"#, &["u64[2]", "c64[2]"], "u8[2]");
    fails(r#"{"op":"less"}"#, &["u64[2]", "c64[2]"], ErrorKind::Dtype);
    gives(r#"{"op":"quotient"}"#, &["u8[]", "s8[]"], "s16[]");
    fails(r#"{"op":"quotient"}"#, &["u8[]", "f32[]"], ErrorKind::Dtype);
    fails(add, &["f32[2]", "f32[3]"], ErrorKind::Shape);
    fails(add, &["f32[2]"], ErrorKind::Argument);
    let remainder = r#"{"op":"remainder","attrs":{}}"#;
    fails(remainder, &["c64[]", "f32[]"], ErrorKind::Dtype);
    let divide = r#"{"op":"divide","attrs":{"dtype":"s32"}}"#;
    fails(divide, &["s32[]", "s32[]"], ErrorKind::Dtype);
}

#[test]
fn unary_ops_keep_shapes() {
    gives(r#"{"op":"exp"}"#, &["s64[2]"], "f32[2]");
    gives(r#"{"op":"exp"}"#, &["c64[2]"], "c64[2]");
    gives(r#"{"op":"round"}"#, &["bf16[0,3]"], "bf16[0,3]");
    gives(
        r#"{"op":"as_type","attrs":{"dtype":"u8"}}"#,
        &["f32[3]"],
        "u8[3]",
    );
    fails(r#"{"op":"round"}"#, &["u8[1]"], ErrorKind::Dtype);
    fails(r#"{"op":"round"}"#, &["c64[1]"], ErrorKind::Dtype);
}

#[test]
fn an_error_names_op_inputs_and_remedy() {
    let err = infer(r#"{"op":"round"}"#, &["c64[1]"]).unwrap_err();
    assert_eq!(
        err.to_string(),
        "round(c64[1]): round does not take c64; cast to one of f16 bf16 f32 f64"
    );
    let said = |op, inputs: &[&str]| infer(op, inputs).unwrap_err().to_string();
    let argmax = r#"{"op":"argmax","attrs":{"axis":1,"tie_break":"high"}}"#;
    let call = "argmax(f32[2], axis: 1, tie_break: high, keep_axis: false): ";
    assert!(
        said(argmax, &["f32[2]"]).starts_with(call),
        "{}",
        said(argmax, &["f32[2]"])
    );
    let constant = r#"{"op":"constant","attrs":{"dtype":"c64","shape":[2,3],"value":[1,-0.5]}}"#;
    let call = "constant(u8[], dtype: c64, shape: [2, 3], value: [1, -0.5]): ";
    assert!(
        said(constant, &["u8[]"]).starts_with(call),
        "{}",
        said(constant, &["u8[]"])
    );
}

#[test]
fn an_index_error_begins_as_nx_s() {
    let op: Op = serde_json::from_str(r#"{"op":"take","attrs":{"axis":0}}"#).unwrap();
    let error = Error::out_of_bounds(5, 0, &ty("s32[3]").shape);
    let error = error.at(&op, &[ty("s32[3]"), ty("s32[]")]).on("worker 0");
    assert_eq!(
        error.to_string(),
        "index 5 is out of bounds for axis 0 in shape {3}, in take(s32[3], s32[], axis: 0) (on worker 0)"
    );
}

#[test]
fn iota_counts_along_its_axis() {
    gives(
        r#"{"op":"iota","attrs":{"dtype":"s32","shape":[2,3],"axis":1}}"#,
        &[],
        "s32[2,3]",
    );
    fails(
        r#"{"op":"iota","attrs":{"dtype":"s32","shape":[2],"axis":1}}"#,
        &[],
        ErrorKind::Argument,
    );
    fails(
        r#"{"op":"iota","attrs":{"dtype":"u8","shape":[2147483647,2147483647,1024]}}"#,
        &[],
        ErrorKind::Memory,
    );
}

#[test]
fn a_transpose_names_each_axis_once() {
    gives(
        r#"{"op":"transpose","attrs":{"axes":[2,0,1]}}"#,
        &["u8[2,3,4]"],
        "u8[4,2,3]",
    );
    fails(
        r#"{"op":"transpose","attrs":{"axes":[0]}}"#,
        &["u8[2,3]"],
        ErrorKind::Argument,
    );
    fails(
        r#"{"op":"transpose","attrs":{"axes":[0,0]}}"#,
        &["u8[2,3]"],
        ErrorKind::Argument,
    );
}

#[test]
fn a_broadcast_stretches_axes_in_their_order() {
    gives(
        r#"{"op":"broadcast","attrs":{"shape":[2,3],"axes":[0]}}"#,
        &["u8[2]"],
        "u8[2,3]",
    );
    fails(
        r#"{"op":"broadcast","attrs":{"shape":[2,3]}}"#,
        &["u8[2]"],
        ErrorKind::Shape,
    );
    fails(
        r#"{"op":"broadcast","attrs":{"shape":[1]}}"#,
        &["u8[2]"],
        ErrorKind::Shape,
    );
    fails(
        r#"{"op":"broadcast","attrs":{"shape":[2,3],"axes":[1,0]}}"#,
        &["u8[3,2]"],
        ErrorKind::Argument,
    );
}

#[test]
fn a_concatenation_is_along_an_axis_and_merges_dtypes() {
    let join = r#"{"op":"concatenate","attrs":{"axis":1}}"#;
    gives(join, &["u8[2,1]", "s8[2,3]", "u8[2,0]"], "s16[2,4]");
    fails(join, &["u8[2,1]", "u8[3,1]"], ErrorKind::Shape);
    fails(join, &["u8[2]", "u8[2]"], ErrorKind::Argument);
    fails(join, &[], ErrorKind::Argument);
}

#[test]
fn select_takes_its_shape_from_a_non_scalar_predicate() {
    let select = r#"{"op":"select","attrs":{}}"#;
    gives(select, &["u8[2,3]", "f32[]", "s8[3]"], "f32[2,3]");
    gives(select, &["u8[]", "u8[2,1]", "s8[3]"], "s16[2,3]");
    fails(select, &["u8[3]", "f32[2,3]", "f32[]"], ErrorKind::Shape);
}

#[test]
fn limits_are_scalars() {
    let clip = r#"{"op":"clip","attrs":{}}"#;
    gives(clip, &["u8[2,3]", "s8[]", "f16[]"], "f16[2,3]");
    fails(clip, &["f32[2]", "f32[2]", "f32[]"], ErrorKind::Shape);
    fails(clip, &["f32[2]", "f32[]", "c64[]"], ErrorKind::Dtype);
}

#[test]
fn a_slice_has_an_element_for_each_stride_within() {
    let slice = r#"{"op":"slice","attrs":{"starts":[0,9],"lengths":[2,3],"strides":[1,2]}}"#;
    gives(slice, &["f32[2,5]"], "f32[2,2]");
    fails(slice, &["f32[2,2]"], ErrorKind::Argument);
    fails(slice, &["f32[2]"], ErrorKind::Argument);
    let zero = r#"{"op":"slice","attrs":{"starts":[0],"lengths":[0],"strides":[1]}}"#;
    fails(zero, &["f32[4]"], ErrorKind::Argument);
}

#[test]
fn a_dynamic_slice_starts_at_integer_scalars() {
    let dynamic = r#"{"op":"dynamic_slice","attrs":{"lengths":[2],"strides":[1]}}"#;
    gives(dynamic, &["f32[4]", "u8[]"], "f32[2]");
    fails(dynamic, &["f32[4]", "f32[]"], ErrorKind::Dtype);
    fails(dynamic, &["f32[4]", "s32[1]"], ErrorKind::Shape);
    fails(dynamic, &["f32[4]"], ErrorKind::Argument);
}

#[test]
fn a_gather_takes_an_integer_for_each_of_its_axes() {
    let gather = r#"{"op":"gather","attrs":{"axes":[0,2]}}"#;
    gives(gather, &["f32[4,5,6]", "s32[7,2]"], "f32[7,5]");
    fails(gather, &["f32[4,5,6]", "s32[7,3]"], ErrorKind::Shape);
    fails(gather, &["f32[4,5,6]", "f32[7,2]"], ErrorKind::Dtype);
    fails(gather, &["f32[4,5,6]", "s32[]"], ErrorKind::Shape);
}

#[test]
fn reductions_aggregate_as_nx_does() {
    let all = r#"{"op":"sum","attrs":{}}"#;
    gives(all, &["u8[2,3]"], "u32[]");
    gives(all, &["u64[2,3]"], "s64[]");
    gives(all, &["bf16[0]"], "bf16[]");
    gives(r#"{"op":"product","attrs":{}}"#, &["u8[0]"], "u32[]");
    gives(r#"{"op":"all","attrs":{}}"#, &["c64[2,0]"], "u8[]");
    gives(
        r#"{"op":"sum","attrs":{"axes":[1],"keep_axes":true}}"#,
        &["s8[2,3]"],
        "s32[2,1]",
    );
    fails(
        r#"{"op":"sum","attrs":{"axes":[0]}}"#,
        &["f32[]"],
        ErrorKind::Argument,
    );
}

#[test]
fn an_argmax_is_an_index_and_needs_an_element() {
    let argmax = r#"{"op":"argmax","attrs":{"axis":0}}"#;
    gives(argmax, &["f32[2,3]"], "s32[3]");
    gives(argmax, &["f32[0,0]"], "s32[0]");
    fails(argmax, &["f32[0,3]"], ErrorKind::Shape);
    fails(argmax, &["c64[2]"], ErrorKind::Dtype);
    fails(
        r#"{"op":"argmax","attrs":{"dtype":"f32"}}"#,
        &["f32[2]"],
        ErrorKind::Dtype,
    );
}

#[test]
fn an_extremum_keeps_its_dtype_and_needs_an_element() {
    let largest = r#"{"op":"reduce_max","attrs":{"axes":[0]}}"#;
    gives(largest, &["u8[2,3]"], "u8[3]");
    gives(largest, &["u8[0,0]"], "u8[0]");
    fails(largest, &["u8[0,3]"], ErrorKind::Shape);
    fails(largest, &["c64[2]"], ErrorKind::Dtype);
}

#[test]
fn a_sort_keeps_its_type_and_an_argsort_gives_indices() {
    gives(
        r#"{"op":"sort","attrs":{"axis":0}}"#,
        &["f16[0,3]"],
        "f16[0,3]",
    );
    fails(
        r#"{"op":"sort","attrs":{"axis":1}}"#,
        &["f16[3]"],
        ErrorKind::Argument,
    );
    gives(
        r#"{"op":"argsort","attrs":{"axis":1}}"#,
        &["f32[2,3]"],
        "s32[2,3]",
    );
    gives(
        r#"{"op":"argsort","attrs":{"axis":0}}"#,
        &["f32[]"],
        "s32[]",
    );
}

#[test]
fn a_product_is_over_axes_of_one_size() {
    let dot = r#"{"op":"dot","attrs":{"contract_left":[2],"batch_left":[0],
                  "contract_right":[1],"batch_right":[0]}}"#;
    gives(dot, &["f32[7,2,3]", "f32[7,3,4]"], "f32[7,2,4]");
    fails(dot, &["f32[7,2,3]", "f32[7,4,4]"], ErrorKind::Shape);
    fails(dot, &["f32[7,2,3]", "f32[3,4]"], ErrorKind::Shape);
    let outer = r#"{"op":"dot","attrs":{"contract_left":[],"contract_right":[]}}"#;
    gives(outer, &["u8[2]", "s8[3]"], "s16[2,3]");
}

#[test]
fn a_qr_is_of_matrices_that_have_elements() {
    gives(
        r#"{"op":"qr","attrs":{}}"#,
        &["f32[5,4,3]"],
        "f32[5,4,3] f32[5,3,3]",
    );
    gives(
        r#"{"op":"qr","attrs":{"mode":"complete"}}"#,
        &["s32[4,3]"],
        "f32[4,4] f32[4,3]",
    );
    fails(r#"{"op":"qr","attrs":{}}"#, &["f32[3]"], ErrorKind::Shape);
    fails(r#"{"op":"qr","attrs":{}}"#, &["f32[3,0]"], ErrorKind::Shape);
}

#[test]
fn an_identity_has_two_axes_or_more() {
    let eye = r#"{"op":"eye","attrs":{"dtype":"u8","shape":[2,3,4]}}"#;
    gives(eye, &[], "u8[2,3,4]");
    let vector = r#"{"op":"eye","attrs":{"dtype":"u8","shape":[3]}}"#;
    fails(vector, &[], ErrorKind::Shape);
}

#[test]
fn a_constant_has_the_type_that_it_says() {
    let constant = r#"{"op":"constant","attrs":{"dtype":"f16","shape":[2],"value":"nan"}}"#;
    gives(constant, &[], "f16[2]");
}

#[test]
fn text_form_is_stable() {
    let text = r#"{"op":"sum","attrs":{"axes":[0],"keep_axes":false}}"#;
    let sum: Op = serde_json::from_str(r#"{"op":"sum","attrs":{"axes":[0]}}"#).unwrap();
    let want = Op::Reduce(
        Reduce::Sum,
        Reduction {
            axes: Some([0].into()),
            keep_axes: false,
            dtype: None,
        },
    );
    assert_eq!(sum, want);
    assert_eq!(serde_json::to_string(&sum).unwrap(), text);
    let round = Op::Unary(Unary::Round);
    for text in [r#"{"op":"round"}"#, r#"{"op":"round","attrs":{}}"#] {
        assert_eq!(serde_json::from_str::<Op>(text).unwrap(), round);
    }
    assert_eq!(serde_json::to_string(&round).unwrap(), r#"{"op":"round"}"#);
}

#[test]
fn what_an_op_does_not_know_is_an_error() {
    let problem = |text| serde_json::from_str::<Op>(text).unwrap_err().to_string();
    assert!(problem(r#"{"op":"sum","attrs":{"axis":0}}"#).contains("axis"));
    assert!(problem(r#"{"op":"exp","attrs":{"axis":0}}"#).contains("axis"));
    assert!(problem(r#"{"op":"summ"}"#).contains("unknown op \"summ\""));
    assert!(problem(r#"{"op":"as_type"}"#).contains("dtype"));
    assert!(problem(r#"{"op":"exp","of":{}}"#).contains("of"));
}

/// The names that serde reads are those that the row lists and the visitor visits.
#[test]
fn attributes_are_told_alike_everywhere() {
    for row in ROWS.iter() {
        let listed: Vec<_> = row.attributes.iter().map(|a| a.name).collect();
        let text = r#"{"no such attribute":1}"#;
        let mut json = serde_json::Deserializer::from_str(text);
        let problem = row.kind.read(&mut json).unwrap_err().to_string();
        let quoted: Vec<_> = problem.split('`').skip(1).step_by(2).collect();
        assert_eq!(quoted[1..], listed, "{}: {problem}", row.name);
    }
    let dot = r#"{"op":"dot","attrs":{"contract_left":[],"contract_right":[]}}"#;
    let dot: Op = serde_json::from_str(dot).unwrap();
    let mut visited = Vec::new();
    dot.attributes(|name, _| visited.push(name));
    let listed: Vec<_> = Dot::ROW.attributes.iter().map(|a| a.name).collect();
    assert_eq!(visited, listed);
}

#[test]
fn a_call_s_cost_follows_its_types() {
    let cost = |op: &str, inputs: &[&str]| {
        let op: Op = serde_json::from_str(op).unwrap();
        let inputs: Vec<_> = inputs.iter().map(|text| ty(text)).collect();
        let results = op.infer(&inputs).unwrap();
        op.cost(&inputs, &results).unwrap()
    };
    // Of the larger result, in its own width.
    let add = cost(r#"{"op":"add"}"#, &["f64[8,1]", "f64[4]"]);
    assert_eq!(add.temporaries, 8 * 4 * 8 * Price::SIMPLE.temporaries);
    // Narrow floats are computed in f32.
    let exp = cost(r#"{"op":"exp"}"#, &["f16[100]"]);
    assert_eq!(exp.temporaries, 100 * 4 * Price::FUNCTION.temporaries);
}

#[test]
fn windows_have_a_place_for_each_stride_that_fits() {
    let window = |attrs: &str| format!(r#"{{"op":"window_sum","attrs":{{{attrs}}}}}"#);
    let plain =
        window(r#""lengths":[2,3],"strides":[1,2],"low":[0,1],"high":[0,1],"dilations":[2,1]"#);
    gives(&plain, &["u8[4,5]"], "u8[2,3]");
    fails(&plain, &["u8[2,5]"], ErrorKind::Shape);
    fails(&plain, &["u8[4]"], ErrorKind::Argument);
    let huge =
        window(r#""lengths":[1],"strides":[1],"low":[2147483647],"high":[1],"dilations":[1]"#);
    fails(&huge, &["u8[4]"], ErrorKind::Memory);
    let scatter = r#"{"op":"window_scatter_max",
        "attrs":{"lengths":[2],"strides":[1],"low":[0],"high":[0]}}"#;
    gives(scatter, &["s64[3]", "u8[2]", "s8[]"], "s16[3]");
    fails(scatter, &["s64[3]", "u8[3]", "s8[]"], ErrorKind::Shape);
    fails(scatter, &["s64[3]", "u8[2]", "s8[1]"], ErrorKind::Shape);
    fails(scatter, &["c64[3]", "u8[2]", "s8[]"], ErrorKind::Dtype);
}

#[test]
fn a_window_s_cost_is_of_the_padded_tensor() {
    let op: Op = serde_json::from_str(
        r#"{"op":"window_max",
        "attrs":{"lengths":[8],"strides":[1000],"low":[1000],"high":[0],"dilations":[1]}}"#,
    )
    .unwrap();
    let inputs = [ty("u8[24]")];
    let cost = op.cost(&inputs, &op.infer(&inputs).unwrap()).unwrap();
    // 1024 elements of a byte, in three halvings and three buffers beside them.
    assert_eq!(cost.temporaries, 1024 * 6);
}

#[test]
fn a_scan_keeps_its_type() {
    let scan = r#"{"op":"cumulative_sum","attrs":{"axis":1,"reverse":true}}"#;
    gives(scan, &["u8[2,3]"], "u8[2,3]");
    fails(scan, &["u8[3]"], ErrorKind::Argument);
}
