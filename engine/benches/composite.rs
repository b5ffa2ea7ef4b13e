//! Operations that Emily composes or computes itself, beside the plain MLX call that is nearest to each.
//!
//! The plain call need not mean the same: that is what the composition is for.

use criterion::{Criterion, criterion_group, criterion_main};
use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{AsType, DType, Op, TensorType};
use mlx_rs::error::Result;
use mlx_rs::fast;
use mlx_rs::ops::indexing::argmax_axis;
use mlx_rs::ops::{argsort_axis, conv1d, conv2d, erf, softmax_axis, sort_axis, tanh};
use mlx_rs::{Array, Dtype};

/// An operand: its dtype, its shape, and the range its values are from, evenly, in no order.
type Operand = (DType, &'static [usize], f32, f32);

/// One op on these operands, and MLX's call on the same.
struct Pair {
    name: &'static str,
    /// As a case has it.
    op: &'static str,
    operands: &'static [Operand],
    plain: fn(&[Array]) -> Result<Array>,
}

const F32: DType = DType::F32;

const PAIRS: &[Pair] = &[
    Pair {
        name: "exp",
        op: r#"{"op":"exp"}"#,
        operands: &[(F32, &[1 << 22], -4.0, 4.0)],
        plain: |x| x[0].exp(),
    },
    Pair {
        name: "erf",
        op: r#"{"op":"erf"}"#,
        operands: &[(F32, &[1 << 22], -4.0, 4.0)],
        plain: |x| erf(&x[0]),
    },
    Pair {
        name: "tanh",
        op: r#"{"op":"tanh"}"#,
        operands: &[(F32, &[1 << 22], -4.0, 4.0)],
        plain: |x| tanh(&x[0]),
    },
    Pair {
        name: "sin",
        op: r#"{"op":"sin"}"#,
        operands: &[(F32, &[1 << 22], -4.0, 4.0)],
        plain: |x| x[0].sin(),
    },
    Pair {
        name: "add_row",
        op: r#"{"op":"add"}"#,
        operands: &[(F32, &[6400, 1024], -1.0, 1.0), (F32, &[1024], -1.0, 1.0)],
        plain: |x| x[0].add(&x[1]),
    },
    // What the memory of a result takes that is as large as many are.
    Pair {
        name: "broadcast_add_100_MiB",
        op: r#"{"op":"add"}"#,
        operands: &[(F32, &[25_600, 1], -1.0, 1.0), (F32, &[1024], -1.0, 1.0)],
        plain: |x| x[0].add(&x[1]),
    },
    Pair {
        name: "sum",
        op: r#"{"op":"sum","attrs":{}}"#,
        operands: &[(F32, &[1 << 22], -1.0, 1.0)],
        plain: |x| x[0].sum(false),
    },
    Pair {
        name: "conv",
        op: r#"{"op":"conv","attrs":{"low":[1,1],"high":[1,1]}}"#,
        operands: &[
            (F32, &[8, 32, 64, 64], -1.0, 1.0),
            (F32, &[32, 32, 3, 3], -1.0, 1.0),
        ],
        plain: |x| {
            let last = |x: &Array| x.transpose_axes(&[0, 2, 3, 1]);
            conv2d(&last(&x[0])?, &last(&x[1])?, (1, 1), (1, 1), (1, 1), 1)
        },
    },
    Pair {
        name: "conv_channels_last_strided",
        op: r#"{"op":"conv","attrs":{"low":[1,1],"high":[1,1],"strides":[2,2],"input_permutation":[0,3,1,2],"kernel_permutation":[3,2,0,1],"output_permutation":[0,3,1,2]}}"#,
        operands: &[
            (F32, &[1, 112, 112, 64], -1.0, 1.0),
            (F32, &[3, 3, 64, 128], -1.0, 1.0),
        ],
        plain: |x| {
            let kernel = x[1].transpose_axes(&[3, 0, 1, 2])?;
            conv2d(&x[0], &kernel, (2, 2), (1, 1), (1, 1), 1)
        },
    },
    Pair {
        name: "conv_depthwise",
        op: r#"{"op":"conv","attrs":{"low":[1,1],"high":[1,1],"feature_group_size":64}}"#,
        operands: &[
            (F32, &[4, 64, 56, 56], -1.0, 1.0),
            (F32, &[64, 1, 3, 3], -1.0, 1.0),
        ],
        plain: |x| {
            let last = |x: &Array| x.transpose_axes(&[0, 2, 3, 1]);
            conv2d(&last(&x[0])?, &last(&x[1])?, (1, 1), (1, 1), (1, 1), 64)
        },
    },
    Pair {
        name: "conv_bf16",
        op: r#"{"op":"conv","attrs":{"low":[1],"high":[1]}}"#,
        operands: &[
            (DType::Bf16, &[1, 80, 3000], -1.0, 1.0),
            (DType::Bf16, &[512, 80, 3], -1.0, 1.0),
        ],
        plain: |x| {
            let last = |x: &Array| x.as_dtype(Dtype::Float32)?.transpose_axes(&[0, 2, 1]);
            conv1d(&last(&x[0])?, &last(&x[1])?, 1, 1, 1, 1)
        },
    },
    Pair {
        name: "sort",
        op: r#"{"op":"sort","attrs":{"axis":0,"direction":"asc"}}"#,
        operands: &[(F32, &[1_000_000], -1.0, 1.0)],
        plain: |x| sort_axis(&x[0], 0),
    },
    Pair {
        name: "argsort",
        op: r#"{"op":"argsort","attrs":{"axis":0,"direction":"asc"}}"#,
        operands: &[(F32, &[1_000_000], -1.0, 1.0)],
        plain: |x| argsort_axis(&x[0], 0),
    },
    Pair {
        name: "top_k",
        op: r#"{"op":"top_k","attrs":{"k":50}}"#,
        operands: &[(F32, &[4, 50_257], -1.0, 1.0)],
        plain: |x| argsort_axis(&x[0], 1),
    },
    Pair {
        name: "argmax",
        op: r#"{"op":"argmax","attrs":{"axis":1}}"#,
        operands: &[(F32, &[1024, 1024], -1.0, 1.0)],
        plain: |x| argmax_axis(&x[0], 1, false),
    },
    Pair {
        name: "logsumexp",
        op: r#"{"op":"logsumexp","attrs":{"axes":[1]}}"#,
        operands: &[(F32, &[1024, 1024], -1.0, 1.0)],
        plain: |x| x[0].logsumexp_axes(&[1], false),
    },
    Pair {
        name: "any",
        op: r#"{"op":"any","attrs":{"axes":[1]}}"#,
        operands: &[(DType::S32, &[1024, 1024], 0.0, 1.0)],
        plain: |x| x[0].any_axes(&[1], false),
    },
    Pair {
        name: "product",
        op: r#"{"op":"product","attrs":{"axes":[0]}}"#,
        operands: &[(F32, &[1024, 1024], -1.0, 1.0)],
        plain: |x| x[0].prod_axes(&[0], false),
    },
    Pair {
        name: "integer_sum",
        op: r#"{"op":"sum","attrs":{"axes":[0]}}"#,
        operands: &[(DType::S32, &[1024, 1024], -100.0, 100.0)],
        plain: |x| x[0].sum_axis(0, false),
    },
    Pair {
        name: "window_max",
        op: r#"{"op":"window_max","attrs":{"lengths":[1,1,2,2],"strides":[1,1,2,2],"low":[0,0,0,0],"high":[0,0,0,0],"dilations":[1,1,1,1]}}"#,
        operands: &[(F32, &[8, 32, 64, 64], -1.0, 1.0)],
        plain: |x| {
            let split = x[0].reshape(&[8, 32, 32, 2, 32, 2])?;
            split.max_axes(&[3, 5], false)
        },
    },
    Pair {
        name: "cumulative_sum",
        op: r#"{"op":"cumulative_sum","attrs":{"axis":1}}"#,
        operands: &[(F32, &[1024, 1024], -1.0, 1.0)],
        plain: |x| x[0].cumsum(1, false, true),
    },
    Pair {
        name: "take",
        op: r#"{"op":"take","attrs":{"axis":0}}"#,
        operands: &[
            (F32, &[10_000, 256], -1.0, 1.0),
            (DType::S32, &[8192], 0.0, 9999.0),
        ],
        plain: |x| x[0].take_axis(&x[1], 0),
    },
    Pair {
        name: "gather",
        op: r#"{"op":"gather","attrs":{"axes":[0,1]}}"#,
        operands: &[
            (F32, &[1024, 1024], -1.0, 1.0),
            (DType::S32, &[100_000, 2], 0.0, 1023.0),
        ],
        plain: |x| {
            let flat = x[0].reshape(&[-1])?;
            let parts = x[1].split_equal(2, 1)?;
            let places = parts[0].multiply(Array::from_int(1024))?.add(&parts[1])?;
            flat.take_axis(places.reshape(&[-1])?, 0)
        },
    },
    Pair {
        name: "take_wide",
        op: r#"{"op":"take","attrs":{"axis":0}}"#,
        operands: &[
            (F32, &[30_000, 384], -1.0, 1.0),
            (DType::S32, &[65_536], 0.0, 29_999.0),
        ],
        plain: |x| x[0].take_axis(&x[1], 0),
    },
    Pair {
        name: "take_along_axis",
        op: r#"{"op":"take_along_axis","attrs":{"axis":1}}"#,
        operands: &[
            (F32, &[1024, 1024], -1.0, 1.0),
            (DType::S32, &[1024, 1024], 0.0, 1023.0),
        ],
        plain: |x| x[0].take_along_axis(&x[1], Some(1)),
    },
    // MLX multiplies no matrices of integers; NumPy does (`cargo xtask bench`).
    Pair {
        name: "integer_dot",
        op: r#"{"op":"dot","attrs":{"contract_left":[1],"contract_right":[0]}}"#,
        operands: &[
            (DType::S32, &[256, 256], -100.0, 100.0),
            (DType::S32, &[256, 256], -100.0, 100.0),
        ],
        plain: |x| {
            let wide = |x: &Array| x.as_dtype(Dtype::Float32);
            wide(&x[0])?.matmul(wide(&x[1])?)
        },
    },
    Pair {
        name: "bf16_sum",
        op: r#"{"op":"sum","attrs":{"axes":[1]}}"#,
        operands: &[(DType::Bf16, &[1024, 1024], -1.0, 1.0)],
        plain: |x| x[0].sum_axis(1, false),
    },
    Pair {
        name: "softmax",
        op: r#"{"op":"softmax","attrs":{"axes":[1]}}"#,
        operands: &[(F32, &[1024, 1024], -1.0, 1.0)],
        plain: |x| softmax_axis(&x[0], 1, true),
    },
    Pair {
        name: "layer_norm",
        op: r#"{"op":"layer_norm","attrs":{"eps":1e-5}}"#,
        operands: &[
            (F32, &[1024, 1024], -1.0, 1.0),
            (F32, &[1024], -1.0, 1.0),
            (F32, &[1024], -1.0, 1.0),
        ],
        plain: |x| fast::layer_norm(&x[0], &x[1], &x[2], 1e-5),
    },
    Pair {
        name: "scaled_dot_product_attention",
        op: r#"{"op":"scaled_dot_product_attention","attrs":{"causal":true}}"#,
        operands: &[
            (F32, &[1, 8, 256, 64], -1.0, 1.0),
            (F32, &[1, 2, 256, 64], -1.0, 1.0),
            (F32, &[1, 2, 256, 64], -1.0, 1.0),
        ],
        plain: |x| {
            let causal = fast::ScaledDotProductAttentionMask::Causal;
            fast::scaled_dot_product_attention(&x[0], &x[1], &x[2], 0.125, causal, None)
        },
    },
    Pair {
        name: "attention",
        op: r#"{"op":"scaled_dot_product_attention","attrs":{}}"#,
        operands: &[
            (F32, &[8, 12, 128, 64], -1.0, 1.0),
            (F32, &[8, 12, 128, 64], -1.0, 1.0),
            (F32, &[8, 12, 128, 64], -1.0, 1.0),
        ],
        plain: |x| fast::scaled_dot_product_attention(&x[0], &x[1], &x[2], 0.125, None, None),
    },
];

/// The values are a linear congruence's, so that they are the same in each run.
fn operand(worker: &Worker, &(dtype, shape, least, most): &Operand, seed: usize) -> Handle {
    let count: usize = shape.iter().product();
    let mut state = seed as u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        least + (most - least) * (state >> 8) as f32 / (1 << 24) as f32
    };
    let bytes: Vec<u8> = (0..count).map(next).flat_map(f32::to_le_bytes).collect();
    let values = worker.from_bytes(TensorType::new(F32, shape.to_vec()), &bytes);
    let values = values.expect("an operand");
    let operand = worker.apply(&Op::AsType(AsType { dtype }), &[values]);
    operand.expect("an operand").remove(0)
}

/// The same numbers, as mlx-rs has them: bytes, seen as elements.
fn raw(handle: &Handle) -> Array {
    let ty = handle.ty();
    let mut shape: Vec<i32> = ty.shape.iter().map(|&dim| dim as i32).collect();
    *shape.last_mut().expect("an axis") *= ty.dtype.size() as i32;
    let bytes = handle.to_bytes().expect("an operand's bytes");
    let elements = Array::from_slice(&bytes[..], &shape).view_dtype(match ty.dtype {
        DType::S32 => Dtype::Int32,
        DType::Bf16 => Dtype::Bfloat16,
        F32 => Dtype::Float32,
        other => panic!("no operand is {other}"),
    });
    elements.expect("a view")
}

fn composite(c: &mut Criterion) {
    let worker = Worker::start(Config {
        device: Device::Cpu,
        f64: false,
    })
    .expect("a CPU worker");
    for pair in PAIRS {
        let op: Op = serde_json::from_str(pair.op).expect("an op");
        let operands = pair.operands.iter().enumerate();
        let inputs: Vec<Handle> = operands.map(|(i, o)| operand(&worker, o, i)).collect();
        let plain: Vec<Array> = inputs.iter().map(raw).collect();
        let mut group = c.benchmark_group(format!("composite_{}", pair.name));
        group.sample_size(20);
        group.bench_function("emily", |b| {
            b.iter(|| {
                let result = worker.apply(&op, &inputs).expect("a result");
                result[0].eval().expect("its values");
            });
        });
        group.bench_function("mlx_rs", |b| {
            b.iter(|| {
                let result = (pair.plain)(&plain).expect("a result");
                result.eval().expect("its values");
            });
        });
        group.finish();
    }
}

criterion_group!(benches, composite);
criterion_main!(benches);
