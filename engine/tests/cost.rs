//! What `Worker::on_the_way` says of memory, against MLX's own counter.
//!
//! A process of its own and one test, because the counter is the process's.

mod common;

use emily_engine::{Handle, Worker, memory};
use emily_spec::{DType, Family, Op, OpKind, ROWS, Role, Row, Shape, TensorType};
use serde_json::{Value, json};

/// Elements of an ordinary operand.
const MANY: usize = 1 << 20;

/// What small buffers may add: scalars, conditions, the allocator's rounding.
const SLACK: u64 = 512 << 10;

/// How many times more than is in use the cost may say.
const WASTE: u64 = 4;

/// How operands lie in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// In the order of their axes.
    Ordered,
    /// In the reverse order, as views of their transposes: kernels copy them.
    Turned,
}

/// A call: its attributes, and its operands' shapes, with the dtype where it is not the table's.
struct Call {
    attrs: Value,
    operands: Vec<(Option<DType>, Vec<usize>)>,
}

/// Operands of these shapes at the table's dtype.
fn call<const N: usize>(attrs: Value, shapes: [&[usize]; N]) -> Call {
    let operands = shapes.map(|shape| (None, shape.to_vec())).to_vec();
    Call { attrs, operands }
}

impl Call {
    /// With one more operand of this dtype.
    fn and(mut self, dtype: DType, shape: &[usize]) -> Call {
        self.operands.push((Some(dtype), shape.to_vec()));
        self
    }
}

const FLAT: &[usize] = &[MANY];
const SQUARE: &[usize] = &[1024, 1024];
const MATRICES: &[usize] = &[64, 128, 128];

/// Large calls of each op.
fn calls(kind: OpKind, dtype: DType) -> Vec<Call> {
    use DType::{S32, U8, U32};
    match kind {
        // Not flat: its transposes are views.
        OpKind::Unary(_) => vec![call(json!({}), [SQUARE])],
        OpKind::AsType => vec![
            call(json!({"dtype": "s32"}), [FLAT]),
            call(json!({"dtype": "f64"}), [FLAT]),
            call(json!({"dtype": "u8"}), [FLAT]),
        ],
        OpKind::Bitcast => {
            let same = if dtype.size() == 2 { "u16" } else { "u32" };
            vec![call(json!({"dtype": same}), [FLAT])]
        }
        OpKind::Arithmetic(_) | OpKind::Compare(_) => vec![
            call(json!({}), [FLAT, FLAT]),
            call(json!({}), [&[1024, 1], &[1, 1024]]),
            // Beside another dtype, an unsigned one among them.
            call(json!({}), [FLAT]).and(DType::S64, FLAT),
            call(json!({}), [FLAT]).and(S32, FLAT),
        ],
        OpKind::Iota => vec![
            call(json!({"dtype": dtype, "shape": FLAT}), []),
            call(json!({"dtype": dtype, "shape": SQUARE, "axis": 1}), []),
        ],
        OpKind::Eye => vec![call(json!({"dtype": dtype, "shape": SQUARE}), [])],
        OpKind::Constant => {
            vec![call(json!({"dtype": dtype, "shape": FLAT, "value": 1}), [])]
        }
        OpKind::Transpose => vec![call(json!({"axes": [1, 0]}), [SQUARE])],
        OpKind::Reshape => vec![call(json!({"shape": FLAT}), [SQUARE])],
        OpKind::Squeeze => vec![call(json!({"axes": [0]}), [&[1, MANY]])],
        OpKind::Reverse => vec![call(json!({"axes": [0]}), [SQUARE])],
        OpKind::Pad => {
            let attrs = json!({"low": [8, 8], "high": [8, 8], "interior": [0, 0]});
            let inside = json!({"low": [8, -8], "high": [8, 8], "interior": [1, 0]});
            vec![call(attrs, [SQUARE, &[]]), call(inside, [SQUARE, &[]])]
        }
        OpKind::Broadcast => vec![call(json!({"shape": SQUARE}), [&[1024]])],
        OpKind::Concatenate => vec![call(json!({"axis": 0}), [FLAT, FLAT])],
        OpKind::Stack => vec![call(json!({"axis": 1}), [FLAT, FLAT])],
        OpKind::Select => {
            let mut select = call(json!({}), [FLAT, FLAT, FLAT]);
            select.operands[0].0 = Some(U8);
            vec![select]
        }
        OpKind::Clip => vec![
            call(json!({}), [FLAT, &[], &[]]),
            call(json!({}), [FLAT, &[]]).and(DType::S64, &[]),
        ],
        OpKind::Slice => {
            let attrs = json!({"starts": [8, 8], "lengths": [1000, 1000], "strides": [1, 1]});
            vec![call(attrs, [SQUARE])]
        }
        OpKind::DynamicSlice => {
            let attrs = json!({"lengths": [1000, 1000], "strides": [1, 1]});
            vec![call(attrs, [SQUARE]).and(S32, &[]).and(S32, &[])]
        }
        OpKind::Take => vec![
            call(json!({"axis": 0}), [SQUARE]).and(S32, &[1024]),
            call(json!({"axis": 0}), [FLAT]).and(S32, FLAT),
        ],
        OpKind::TakeAlongAxis => vec![call(json!({"axis": 1}), [SQUARE]).and(S32, SQUARE)],
        OpKind::Gather => vec![
            call(json!({"axes": [0, 1]}), [SQUARE]).and(S32, &[MANY / 2, 2]),
            call(json!({"axes": [0]}), [SQUARE]).and(S32, &[1024, 1]),
        ],
        OpKind::PutSlice => vec![call(json!({"starts": [8, 8]}), [SQUARE, &[512, 512]])],
        OpKind::DynamicPutSlice => {
            vec![
                call(json!({}), [SQUARE, &[512, 512]])
                    .and(S32, &[])
                    .and(S32, &[]),
            ]
        }
        OpKind::Indexed(_) => {
            let of = |axes: Value, indices: &[usize], updates: &[usize]| {
                let mut call = call(json!({"axes": axes}), [SQUARE, indices, updates]);
                call.operands[1].0 = Some(S32);
                call
            };
            vec![
                of(json!([0]), &[512, 1], &[512, 1024]),
                of(json!([0, 1]), &[MANY / 4, 2], &[MANY / 4]),
            ]
        }
        OpKind::Reduce(_) | OpKind::Quantifier(_) => vec![
            call(json!({}), [SQUARE]),
            call(json!({"axes": [0]}), [SQUARE]),
            call(json!({"axes": [1]}), [SQUARE]),
        ],
        OpKind::AllClose => vec![
            call(json!({}), [FLAT, FLAT]),
            call(json!({"equal_nan": true}), [SQUARE, SQUARE]),
            call(json!({}), [&[1024, 1], &[1, 1024]]),
        ],
        OpKind::ArgReduce(_) => vec![
            call(json!({}), [SQUARE]),
            call(json!({"axis": 0}), [SQUARE]),
        ],
        OpKind::Argsort | OpKind::Sort => vec![
            call(json!({"axis": 1}), [SQUARE]),
            call(json!({"axis": 0, "direction": "desc"}), [SQUARE]),
        ],
        OpKind::TopK => vec![call(json!({"k": 16}), [SQUARE])],
        OpKind::Window(_) => {
            let attrs = json!({"lengths": [3, 3], "strides": [1, 1], "low": [1, 1], "high": [1, 1], "dilations": [1, 1]});
            let apart = json!({"lengths": [4, 4], "strides": [4, 4], "low": [0, 0], "high": [0, 0], "dilations": [1, 1]});
            let deep = json!({"lengths": [51, 51], "strides": [1, 1], "low": [25, 25], "high": [25, 25], "dilations": [1, 1]});
            [attrs, apart, deep]
                .map(|attrs| call(attrs, [SQUARE]))
                .into()
        }
        OpKind::WindowScatter(_) => {
            let attrs =
                json!({"lengths": [2, 2], "strides": [2, 2], "low": [0, 0], "high": [0, 0]});
            vec![call(attrs, [SQUARE, &[512, 512], &[]])]
        }
        OpKind::Cumulative(_) => vec![
            call(json!({"axis": 1}), [SQUARE]),
            call(json!({"axis": 0, "reverse": true}), [SQUARE]),
        ],
        OpKind::Dot => {
            let attrs = json!({"contract_left": [1], "contract_right": [0]});
            let batch = json!({
                "contract_left": [2], "contract_right": [1], "batch_left": [0], "batch_right": [0],
            });
            vec![call(attrs, [SQUARE; 2]), call(batch, [MATRICES; 2])]
        }
        OpKind::Conv => vec![
            call(
                json!({"low": [1, 1], "high": [1, 1]}),
                [&[4, 16, 128, 128], &[16, 16, 3, 3]],
            ),
            // The input is large beside the windows.
            call(json!({}), [&[64, 8, 2048], &[4, 8, 3]]),
        ],
        OpKind::Fourier(_) => vec![call(json!({"axis": 1}), [SQUARE])],
        OpKind::Fourier2(_) => vec![call(json!({"axes": [0, 1]}), [SQUARE])],
        OpKind::Qr | OpKind::Svd | OpKind::Eigh | OpKind::Lu | OpKind::Cholesky => {
            vec![call(json!({}), [MATRICES])]
        }
        OpKind::Determinant => vec![
            call(json!({}), [MATRICES]),
            call(json!({}), [&[100_000, 3, 3]]),
        ],
        OpKind::Solve | OpKind::TriangularSolve => vec![
            call(json!({}), [MATRICES; 2]),
            call(json!({}), [MATRICES, &[64, 128]]),
        ],
        OpKind::GatherMm => vec![
            call(json!({}), [MATRICES; 2])
                .and(S32, &[64])
                .and(S32, &[64]),
        ],
        OpKind::Quantize => vec![call(json!({"group_size": 64, "bits": 4}), [SQUARE])],
        OpKind::Dequantize => {
            let attrs = json!({"group_size": 64, "bits": 4});
            let mut call = call(attrs, [&[1024, 128], &[1024, 16], &[1024, 16]]);
            call.operands[0].0 = Some(U32);
            vec![call]
        }
        OpKind::QuantizedMatmul => {
            let attrs = json!({"group_size": 64, "bits": 4, "transpose": true});
            let mut call = call(attrs, [SQUARE, &[1024, 128], &[1024, 16], &[1024, 16]]);
            call.operands[1].0 = Some(U32);
            vec![call]
        }
        OpKind::GatherQmm => {
            let attrs = json!({"group_size": 64, "bits": 4, "transpose": true});
            let shapes: [&[usize]; 4] = [
                &[64, 128, 128],
                &[64, 128, 16],
                &[64, 128, 2],
                &[64, 128, 2],
            ];
            let mut call = call(attrs, shapes).and(S32, &[64]).and(S32, &[64]);
            call.operands[1].0 = Some(U32);
            vec![call]
        }
        OpKind::FpQuantize => vec![call(json!({"format": "mxfp4"}), [SQUARE])],
        OpKind::FpDequantize => {
            let attrs = json!({"format": "mxfp4", "dtype": dtype});
            vec![call(attrs, []).and(U32, &[1024, 128]).and(U8, &[1024, 32])]
        }
        OpKind::FpQuantizedMatmul => {
            let attrs = json!({"format": "mxfp4", "transpose": true});
            vec![
                call(attrs, [SQUARE])
                    .and(U32, &[1024, 128])
                    .and(U8, &[1024, 32]),
            ]
        }
        OpKind::FpGatherQmm => {
            let attrs = json!({"format": "mxfp4", "transpose": true});
            let call = call(attrs, [MATRICES]);
            let call = call.and(U32, &[64, 128, 16]).and(U8, &[64, 128, 4]);
            vec![call.and(S32, &[64]).and(S32, &[64])]
        }
        OpKind::Softmax => vec![
            call(json!({"axes": [1]}), [SQUARE]),
            call(json!({"axes": [0, 1]}), [SQUARE]),
        ],
        OpKind::Logsumexp => vec![call(json!({"axes": [1]}), [SQUARE])],
        OpKind::Norm(_) => {
            let both: [&[usize]; 3] = [SQUARE, &[1024], &[1024]];
            vec![call(json!({}), [both[0], both[1]]), call(json!({}), both)]
        }
        OpKind::ScaledDotProductAttention => vec![
            call(json!({}), [&[2, 4, 256, 64]; 3]),
            call(json!({"causal": true}), [&[1, 8, 512, 64]; 3]),
        ],
        OpKind::Rope => vec![call(json!({}), [&[8, 2048, 64]]).and(S32, &[])],
        OpKind::Einsum => {
            let attrs = json!({"labels": [0, 1, 1, 2], "result": [0, 2]});
            vec![call(attrs, [SQUARE; 2])]
        }
    }
}

/// An operand: of square matrices symmetric ones that are positive definite, else small numbers; indices
/// are zeros.
fn operand(worker: &Worker, row: &Row, at: usize, dtype: DType, shape: &[usize]) -> Handle {
    let count: usize = shape.iter().product();
    let last = shape.last().copied().unwrap_or(1);
    let definite = |i: usize| match i / last == i % last {
        true => (2.0 * last as f32).min(200.0),
        false => 1.0,
    };
    let small = || (1..=7).map(|x| x as f32);
    let pattern: Vec<f32> = match row.role(at) {
        Role::Index | Role::Codes => vec![0.0],
        Role::Data if dtype.is_integer() && row.family != Family::Linalg => small().collect(),
        _ if row.family == Family::Linalg => (0..last * last).map(definite).collect(),
        Role::Data | Role::Predicate => small().map(|x| x / 8.0).collect(),
    };
    let bytes: Vec<u8> = pattern.iter().flat_map(|x| x.to_le_bytes()).collect();
    // A loop over the elements would take longer than the op.
    let mut bytes = bytes.repeat(count.div_ceil(pattern.len()));
    bytes.truncate(4 * count);
    let plain = worker
        .from_bytes(
            TensorType::new(DType::F32, Shape::from(shape.to_vec())),
            &bytes,
        )
        .unwrap();
    if dtype == DType::F32 {
        return plain;
    }
    let cast = Op::read("as_type", json!({"dtype": dtype})).unwrap();
    let cast = worker.apply(&cast, &[plain]).unwrap().remove(0);
    cast.eval().unwrap();
    cast
}

/// Waits for kernels to end, which let go of what they used, and gives the cache back.
fn settle(worker: &Worker) {
    let last = Op::read("iota", json!({"dtype": "u8", "shape": [1]})).unwrap();
    worker.apply(&last, &[]).unwrap()[0].eval().unwrap();
    common::settle(worker);
}

/// A product that takes a while, of which little is left: a predicate.
fn busy(worker: &Worker) -> [Handle; 2] {
    let of = |shape: [usize; 2]| {
        let bytes = vec![0; 4 * shape[0] * shape[1]];
        let ty = TensorType::new(DType::F32, Shape::from(shape));
        worker.from_bytes(ty, &bytes).unwrap()
    };
    [of([256, 1 << 13]), of([1 << 13, 256])]
}

/// An op's first result.
fn run(worker: &Worker, name: &str, attrs: Value, operands: &[Handle]) -> Handle {
    let op = Op::read(name, attrs).unwrap();
    worker.apply(&op, operands).unwrap().remove(0)
}

/// With its axes in the reverse order, which is a view.
fn reversed(worker: &Worker, tensor: &Handle) -> Handle {
    let axes: Vec<usize> = (0..tensor.ty().shape.rank()).rev().collect();
    let tensor = std::slice::from_ref(tensor);
    run(worker, "transpose", json!({"axes": axes}), tensor)
}

/// A tensor that lies in order, of the same elements with the axes in the reverse order.
fn turned(worker: &Worker, tensor: &Handle) -> Handle {
    let view = reversed(worker, tensor);
    let bytes = view.to_bytes().unwrap();
    worker.from_bytes(view.ty().clone(), &bytes).unwrap()
}

/// The bytes in use at most beside the operands. MLX allocates results ahead of the kernels that write
/// them, as far as it gets: it gets to the end while the first operand waits for a long product.
fn measured(worker: &Worker, busy: &[Handle; 2], op: &Op, operands: &[Handle], lie: Lie) -> u64 {
    let run = |name, attrs, operands: &[Handle]| run(worker, name, attrs, operands);
    let mut operands = match lie {
        Lie::Ordered => operands.to_vec(),
        Lie::Turned => operands.iter().map(|x| turned(worker, x)).collect(),
    };
    let mut delay = 0;
    settle(worker);
    memory::reset_peak().unwrap();
    let before = memory::stats().unwrap().active;
    if let Some(first) = operands.first_mut() {
        let product = run(
            "dot",
            json!({"contract_left": [1], "contract_right": [0]}),
            busy,
        );
        let product = run("sum", json!({}), &[product]);
        let operands = [product, first.clone(), first.clone()];
        *first = run("select", json!({}), &operands);
        delay = first.ty().byte_size().unwrap();
    }
    if lie == Lie::Turned {
        operands.iter_mut().for_each(|x| *x = reversed(worker, x));
    }
    let results = worker.apply(op, &operands).unwrap();
    for result in &results {
        result.eval().unwrap();
    }
    (memory::stats().unwrap().peak - before).saturating_sub(delay) as u64
}

/// Dtypes that are computed in different ways.
const DTYPES: [DType; 7] = [
    DType::F32,
    DType::F16,
    DType::F64,
    DType::U8,
    DType::S32,
    DType::U64,
    DType::C64,
];

/// Bytes of all of these.
fn bytes(types: &[TensorType]) -> u64 {
    let bytes = types.iter().map(|ty| ty.byte_size().unwrap() as u64);
    bytes.sum()
}

#[test]
fn no_op_holds_more_than_its_cost_says_and_none_says_far_more() {
    let worker = common::worker();
    let busy = busy(&worker);
    let mut wrong = Vec::new();
    for row in ROWS.iter() {
        let all = DTYPES.map(|dtype| calls(row.kind, dtype).into_iter().map(move |c| (dtype, c)));
        let (mut tight, mut ran) = (false, 0);
        for (dtype, Call { attrs, operands }) in all.into_iter().flatten() {
            let op = Op::read(row.name, attrs.clone()).unwrap();
            let types = operands.into_iter();
            let types = types.map(|(own, shape)| TensorType::new(own.unwrap_or(dtype), shape));
            let types: Vec<TensorType> = types.collect();
            // A dtype that the op does not take.
            let Ok(results) = op.infer(&types) else {
                continue;
            };
            ran += 1;
            let operands = types.iter().enumerate();
            let operands: Vec<Handle> = operands
                .map(|(at, ty)| operand(&worker, row, at, ty.dtype, &ty.shape))
                .collect();
            let way = worker.on_the_way(&op, &types, &results).unwrap();
            let said = bytes(&results) + way as u64;
            let vectors = types.iter().all(|ty| ty.shape.rank() < 2);
            let lies: &[Lie] = match vectors {
                true => &[Lie::Ordered],
                false => &[Lie::Ordered, Lie::Turned],
            };
            for &lie in lies {
                let mut held = measured(&worker, &busy, &op, &operands, lie);
                // Where the machine has other work, what came before may be freed only meanwhile: the least counts.
                for _ in 0..2 {
                    if held > said + SLACK {
                        held = held.min(measured(&worker, &busy, &op, &operands, lie));
                    }
                }
                tight |= said <= WASTE * held.max(bytes(&results)) + bytes(&types) + SLACK;
                if held > said + SLACK {
                    wrong.push(format!(
                        "{} {attrs} {types:?} {lie:?}: {held} bytes, not {said}",
                        row.name
                    ));
                }
            }
        }
        assert!(ran > 0, "{} has no call", row.name);
        if !tight {
            wrong.push(format!("{} says far more than it holds", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
