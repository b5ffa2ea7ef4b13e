//! What holds of small ops, whoever computes them.

use std::sync::mpsc;
use std::time::Duration;

use emily_spec::{Arithmetic, DType, ErrorKind, Op, TensorType, Unary};

use super::super::tests::{hold, worker};
use super::*;

fn floats(worker: &Worker, values: &[f32]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let ty = TensorType::new(DType::F32, [values.len()]);
    worker.from_bytes(ty, &bytes).unwrap()
}

fn call(worker: &Worker, op: impl Into<Op>, inputs: &[&Handle]) -> Handle {
    let inputs: Vec<Handle> = inputs.iter().map(|&input| input.clone()).collect();
    worker.apply(&op.into(), &inputs).unwrap().remove(0)
}

/// Whether small ops are computed in the call here at all.
fn is_off() -> bool {
    !is_on(Device::Cpu)
}

#[test]
fn a_small_op_and_its_read_need_no_worker() {
    if is_off() {
        return;
    }
    let worker = worker();
    let held = hold(&worker);
    let depth = worker.depth();
    let x = floats(&worker, &[1.0, 4.0]);
    let root = call(&worker, Unary::Sqrt, &[&x]);
    let less = call(&worker, Arithmetic::Max, &[&root, &x]);
    assert_eq!(&*less.to_bytes().unwrap(), &*x.to_bytes().unwrap());
    root.eval().unwrap();
    assert_eq!(worker.depth(), depth);
    drop(held);
}

#[test]
fn what_is_not_there_is_queued_and_what_follows_it_too() {
    let worker = worker();
    let held = hold(&worker);
    let queue = queueing_on(&worker);
    let x = floats(&worker, &[4.0]);
    let later = call(&queue, Unary::Sqrt, &[&x]);
    let after = call(&worker, Unary::Sqrt, &[&later]);
    let (sender, answer) = mpsc::channel();
    after.read_with(crate::Reply::new(move |bytes| sender.send(bytes).unwrap()));
    assert!(answer.recv_timeout(Duration::from_millis(20)).is_err());
    drop(held);
    let bytes = answer.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(*bytes.unwrap(), 2f32.sqrt().to_le_bytes());
    // Now that it was read it is there.
    if !is_off() {
        let held = hold(&worker);
        after.eval().unwrap();
        drop(held);
    }
}

/// The same worker, which queues everything.
fn queueing_on(worker: &Worker) -> Worker {
    Worker {
        inline: false,
        ..worker.clone()
    }
}

#[test]
fn no_wait_is_asked_for_however_many_there_are() {
    if is_off() {
        return;
    }
    let worker = worker();
    let held = hold(&worker);
    let x = floats(&worker, &[1.0]);
    for _ in 0..20_000 {
        let (_, backlog) = worker
            .submit(Op::from(Unary::Exp), std::slice::from_ref(&x))
            .unwrap();
        assert!(backlog.is_none());
    }
    drop(held);
}

#[test]
fn a_stopped_worker_refuses_small_ops_and_has_what_it_had() {
    let worker = worker();
    let x = call(&worker, Unary::Exp, &[&floats(&worker, &[0.0])]);
    worker.stop();
    let error = worker.submit(Op::from(Unary::Exp), std::slice::from_ref(&x));
    assert_eq!(error.unwrap_err().kind, ErrorKind::Stopped);
    // The worker of what was queued never came to it where it queues.
    if !is_off() {
        assert_eq!(*x.to_bytes().unwrap(), 1f32.to_le_bytes());
    }
}

#[test]
fn a_released_operand_is_refused_and_its_memory_goes() {
    let worker = worker();
    let x = floats(&worker, &[0.0]);
    let y = call(&worker, Unary::Exp, &[&x]);
    y.eval().unwrap();
    assert!(y.release());
    assert_eq!(y.read().unwrap_err().kind, ErrorKind::Argument);
    let error = worker.submit(Op::from(Unary::Exp), std::slice::from_ref(&y));
    assert_eq!(error.unwrap_err().kind, ErrorKind::Argument);
    assert!(!y.release());
}

/// MLX may write a result over an operand that nobody else has. A call's share of it is somebody.
#[test]
fn what_a_pending_graph_would_write_over_stays_while_a_call_reads_it() {
    let worker = worker();
    let queue = queueing_on(&worker);
    let want: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let roots: Vec<u8> = want.iter().flat_map(|x| x.sqrt().to_le_bytes()).collect();
    let roots = &roots;
    for _ in 0..300 {
        let x = floats(&worker, &want);
        // MLX's, which writes over its operand if it can.
        let one = floats(&worker, &[1.0]);
        let sum = call(&queue, Arithmetic::Add, &[&x, &one]);
        let reader = x.clone();
        std::thread::scope(|scope| {
            let lane = worker.clone();
            scope.spawn(move || {
                let root = call(&lane, Unary::Sqrt, &[&reader]);
                drop(reader);
                assert_eq!(*root.to_bytes().unwrap(), roots[..]);
            });
            scope.spawn(move || {
                drop(x);
                assert_eq!(sum.to_bytes().unwrap()[..4], 1f32.to_le_bytes());
            });
        });
    }
}

#[test]
fn several_threads_read_one_operand_and_release_it_meanwhile() {
    let worker = worker();
    for _ in 0..200 {
        let x = floats(&worker, &[4.0; 64]);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let calls = worker.apply(&Op::from(Unary::Sqrt), std::slice::from_ref(&x));
                    // Either it came before the release, or it says so.
                    match calls {
                        Ok(root) => match root[0].read() {
                            Ok(root) => assert_eq!(root.bytes()[..4], 2f32.to_le_bytes()),
                            Err(error) => assert_eq!(error.kind, ErrorKind::Argument),
                        },
                        Err(error) => assert_eq!(error.kind, ErrorKind::Argument),
                    }
                });
            }
            scope.spawn(|| x.release());
        });
    }
}

#[test]
fn a_poisoned_stream_leaves_what_is_there_and_what_is_computed_in_calls() {
    let worker = worker();
    let x = floats(&worker, &[4.0]);
    let root = call(&worker, Unary::Sqrt, &[&x]);
    root.eval().unwrap();
    // An op that MLX throws of, on the worker's own stream.
    worker.call(|| {
        let kernel: mlx::Kernel = Box::new(|_, _| panic!("planted"));
        let ty = TensorType::new(DType::F32, [1]);
        let array = mlx::lazy(&[], &ty, kernel).unwrap();
        array.eval().unwrap_err();
    });
    let (sender, done) = mpsc::channel();
    worker.flush(crate::Reply::new(move |result| {
        sender.send(result).unwrap()
    }));
    done.recv().unwrap().unwrap();
    let again = call(&worker, Unary::Sqrt, &[&root]);
    assert_eq!(*again.to_bytes().unwrap(), 2f32.sqrt().to_le_bytes());
}

/// The bits of a chain of ops on a tensor of these bytes: in calls, where that is on, and queued.
fn both(ty: &TensorType, bytes: &[u8], chain: &[(&str, serde_json::Value)]) -> [Vec<u8>; 2] {
    let worker = worker();
    [worker.clone(), queueing_on(&worker)].map(|worker| {
        let x = worker.from_bytes(ty.clone(), bytes).unwrap();
        let mut y = x.clone();
        for (name, attrs) in chain {
            let op = Op::read(name, attrs.clone()).unwrap();
            let count = op.row().arity.least();
            let inputs = [y.clone(), x.clone(), x.clone()];
            y = worker.apply(&op, &inputs[..count]).unwrap().remove(0);
        }
        y.to_bytes().unwrap().to_vec()
    })
}

#[test]
fn who_computes_an_op_does_not_show_in_its_bits() {
    use serde_json::json;
    let plain = || json!({});
    let dot = || json!({"contract_left": [1], "contract_right": [0]});
    let turn = || ("transpose", json!({"axes": [1, 0]}));
    let ops = [
        "abs",
        "negate",
        "exp",
        "expm1",
        "log1p",
        "sigmoid",
        "tanh",
        "sinh",
        "cosh",
        "erf",
        "sin",
        "cos",
        "tan",
        "sqrt",
        "rsqrt",
        "add",
        "subtract",
        "multiply",
        "divide",
        "max",
        "min",
        "pow",
        "equal",
        "less",
        "logical_and",
        "sum",
        "reduce_max",
        "product",
    ];
    let mut chains: Vec<Vec<_>> = Vec::new();
    for op in ops {
        chains.push(vec![(op, plain())]);
        chains.push(vec![turn(), (op, plain())]);
    }
    for axes in [[0], [1]] {
        chains.push(vec![turn(), ("sum", json!({"axes": axes}))]);
        chains.push(vec![("sum", json!({"axes": axes})), ("exp", plain())]);
    }
    chains.push(vec![("softmax", json!({"axes": [1]}))]);
    chains.push(vec![
        turn(),
        ("softmax", json!({"axes": [1]})),
        ("dot", dot()),
    ]);
    // MLX's own, of what was made in calls.
    chains.push(vec![
        turn(),
        ("exp", plain()),
        ("cumulative_sum", json!({"axis": 0})),
    ]);
    chains.push(vec![turn(), ("cumulative_product", json!({"axis": 1}))]);
    chains.push(vec![
        ("reshape", json!({"shape": [9 * 9]})),
        ("product", plain()),
    ]);
    for dtype in [
        DType::F32,
        DType::F16,
        DType::Bf16,
        DType::S32,
        DType::U8,
        DType::S64,
    ] {
        for size in [1usize, 9, 65] {
            let ty = TensorType::new(dtype, [size, size]);
            let mut state = 7u32;
            let mut byte = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let count = ty.byte_size().unwrap();
            // Floats of all sizes; small integers.
            let bytes: Vec<u8> = match dtype.is_integer() {
                true => (0..count)
                    .map(|i| if i % dtype.size() == 0 { byte() } else { 0 })
                    .collect(),
                false => (0..count).map(|_| byte()).collect(),
            };
            for chain in &chains {
                let fits = chain.iter().try_fold(ty.clone(), |ty, (name, attrs)| {
                    let op = Op::read(name, attrs.clone()).ok()?;
                    let inputs = [ty.clone(), ty.clone(), ty];
                    let count = op.row().arity.least();
                    Some(op.infer(&inputs[..count]).ok()?.remove(0))
                });
                if fits.is_some() {
                    let [now, later] = both(&ty, &bytes, chain);
                    assert!(now == later, "{chain:?} of {ty}");
                }
            }
        }
    }
}

#[test]
fn a_small_view_of_a_large_tensor_does_not_keep_it() {
    let worker = worker();
    let ty = TensorType::new(DType::U8, [64 << 10]);
    let large = worker.from_bytes(ty, &vec![7; 64 << 10]).unwrap();
    let slice = Op::read(
        "slice",
        serde_json::json!({"starts": [3], "lengths": [4], "strides": [1]}),
    );
    let part = worker.apply(&slice.unwrap(), &[large]).unwrap().remove(0);
    assert_eq!(*part.to_bytes().unwrap(), [7; 4]);
    let kept = part.0.value().ok().unwrap().kept;
    assert!(kept < 64 << 10, "{kept} bytes");
}
