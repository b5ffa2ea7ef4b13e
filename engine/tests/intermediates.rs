//! What is far larger on the way than operands and result is refused before MLX sees it, which would write
//! to a null pointer.

mod common;

use emily_engine::memory;
use emily_spec::{DType, ErrorKind, Op, Shape};
use serde_json::{Value, json};

const MANY: usize = 4_000_000;

#[track_caller]
fn is_out_of_memory(name: &str, attrs: Value, shapes: &[(DType, &[usize])]) {
    let worker = common::worker();
    let zeros = |(dtype, shape): &(DType, &[usize])| {
        let shape = Shape::from(shape.to_vec());
        let attrs = json!({"dtype": dtype, "shape": shape, "value": 0});
        let constant = Op::read("constant", attrs).unwrap();
        worker.apply(&constant, &[]).unwrap().remove(0)
    };
    let operands: Vec<_> = shapes.iter().map(zeros).collect();
    let op = Op::read(name, attrs).unwrap();
    let error = worker
        .apply(&op, &operands)
        .and_then(|results| results[0].eval());
    let error = error.expect_err(name);
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
}

#[test]
fn attention_whose_scores_have_no_room_is_refused() {
    let long: (DType, &[usize]) = (DType::F32, &[1, 1, MANY, 1]);
    is_out_of_memory("scaled_dot_product_attention", json!({}), &[long; 3]);
}

#[test]
fn an_einsum_whose_partial_products_have_no_room_is_refused() {
    let long: (DType, &[usize]) = (DType::F32, &[MANY]);
    let attrs = json!({"labels": [0, 1, 0, 1], "result": []});
    is_out_of_memory("einsum", attrs, &[long; 4]);
}

#[test]
fn nearness_whose_pairs_have_no_room_is_refused() {
    const LONG: usize = 1 << 21;
    let operands: [(DType, &[usize]); 2] = [(DType::F32, &[LONG, 1]), (DType::F32, &[1, LONG])];
    is_out_of_memory("all_close", json!({}), &operands);
}

/// One axis grows to what the other was: both at once would be 2^42 elements.
#[test]
fn an_axis_is_cut_before_another_grows() {
    const LONG: usize = 1 << 21;
    let worker = common::worker();
    let row = json!({"dtype": "f32", "shape": [1, LONG], "value": 0});
    let row = Op::read("constant", row).unwrap();
    let row = worker.apply(&row, &[]).unwrap();
    for name in ["fft2", "ifft2"] {
        let column = Op::read(name, json!({"axes": [0, 1], "lengths": [LONG, 1]})).unwrap();
        let column = worker.apply(&column, &row).unwrap();
        assert_eq!(column[0].to_bytes().unwrap().len(), 8 * LONG);
    }
}

#[test]
fn picked_matrices_that_have_no_room_are_refused() {
    let operands: [(DType, &[usize]); 4] = [
        (DType::S32, &[1, 1, 2_000_000]),
        (DType::S32, &[1, 2_000_000, 1]),
        (DType::S32, &[MANY]),
        (DType::S32, &[MANY]),
    ];
    is_out_of_memory("gather_mm", json!({}), &operands);
}

#[test]
fn decompositions_that_count_beyond_31_bits_are_refused() {
    let of = |name: &str, attrs: Value, shape: &[usize]| {
        is_out_of_memory(name, attrs, &[(DType::F32, shape)]);
    };
    // A block of each of the columns.
    of("qr", json!({}), &[1, 1 << 26]);
    // The columns beside it that make Q complete.
    of("qr", json!({"mode": "complete"}), &[3, 30_000, 1]);
    // The squares that singular values and eigenvectors are found in.
    of("svd", json!({}), &[21_000, 21_000]);
    of("eigh", json!({}), &[33_000, 33_000]);
}

/// Operands and results of some kilobytes, and hundreds of megabytes between them.
#[test]
fn small_operands_that_need_much_are_refused() {
    const MIB: usize = 1 << 20;
    let before = memory::set_limit(memory::stats().unwrap().active + 64 * MIB).unwrap();
    let f32s = |shape: &'static [usize]| (DType::F32, shape);
    let image = f32s(&[1, 1, 200, 200]);
    is_out_of_memory("conv", json!({}), &[image, f32s(&[1, 1, 60, 60])]);
    let long = f32s(&[1, 1, 7000, 1]);
    is_out_of_memory("scaled_dot_product_attention", json!({}), &[long; 3]);
    let attrs = json!({"labels": [0, 1, 0, 1], "result": []});
    is_out_of_memory("einsum", attrs, &[f32s(&[6000]); 4]);
    memory::set_limit(before).unwrap();
}

#[test]
fn complete_singular_vectors_that_have_no_room_are_refused() {
    let batch: (DType, &[usize]) = (DType::F32, &[300, 4096, 1]);
    is_out_of_memory("svd", json!({"full_matrices": true}), &[batch]);
}
