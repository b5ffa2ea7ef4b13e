//! What a runner does with failures.

use std::process::Command;
use std::sync::mpsc;

use emily_spec::{DType, ErrorKind, Op, TensorType, Unary};

use super::*;

/// A runner on this thread, and a tensor of its thread's that `exp` gives and nothing has evaluated.
fn runner() -> (Runner, Arc<Slot>) {
    let thread = Thread::start(Device::Cpu, 0).unwrap();
    let runner = Runner::new(thread.clone()).unwrap();
    let ty = TensorType::new(DType::F32, [1]);
    let origin = Context {
        op: Op::from(Unary::Exp),
        inputs: vec![ty.clone()],
        worker: None,
    };
    let origin = Origin {
        call: Arc::new(origin),
        worker: "worker 0".into(),
    };
    let value = Value {
        array: mlx::upload(&ty, &[0; 4]).unwrap(),
        guards: Guards::default(),
        evaluated: false,
        origin: Some(origin),
        kept: 4,
        era: 0,
    };
    let slot = Slot::new(ty, thread, State::Ready(value));
    (runner, slot)
}

fn reply<T: Send + 'static>() -> (Reply<T>, mpsc::Receiver<Result<T>>) {
    let (sender, receiver) = mpsc::channel();
    (
        Reply::new(move |result| sender.send(result).unwrap()),
        receiver,
    )
}

#[test]
fn a_panic_while_a_tensor_is_computed_is_the_tensor_s_error() {
    let (mut runner, slot) = runner();
    let panics = |_: &mut Runner, _: &Arc<Slot>| -> Result<()> { panic!("on purpose") };
    let error = runner.answer(Use::of(&slot), panics).unwrap_err();
    assert!(error.message.contains("panicked: on purpose"), "{error}");
    let call = "exp(f32[1]): the worker panicked";
    assert!(error.to_string().starts_with(call), "{error}");
    assert!(error.to_string().ends_with("(on worker 0)"), "{error}");
    assert_eq!(slot.value().err().unwrap().error, error);
}

/// Another value of the slot's thread, that this array gives.
fn sibling(slot: &Arc<Slot>, array: Array) -> Arc<Slot> {
    let value = Value {
        array,
        ..slot.value().unwrap()
    };
    Slot::new(slot.ty.clone(), slot.thread.clone(), State::Ready(value))
}

/// What LAPACK refuses when it is computed.
fn inverse_of_none() -> Array {
    let singular = Array::from_slice(&[0f32; 4], &[2, 2]);
    mlx_rs::linalg::inv(&singular).unwrap()
}

/// A slot of what fails, handed to MLX.
fn failing(runner: &mut Runner, slot: &Arc<Slot>) -> Arc<Slot> {
    let failed = sibling(slot, inverse_of_none());
    runner.pending.slots = vec![Arc::downgrade(&failed)];
    runner.flush();
    failed
}

/// The value that is read is `exp`'s, and what fails is on its way.
#[test]
fn a_kernel_s_failure_has_no_op_s_name() {
    let (mut runner, slot) = runner();
    let stream = runner.stream.clone();
    with_stream(&stream, || {
        let read = sibling(&slot, inverse_of_none().exp().unwrap());
        let error = runner.eval(&read).unwrap_err().error.clone();
        assert_eq!(error.kind, ErrorKind::Numeric, "{error}");
        assert_eq!(error.context, None, "{error}");
    });
}

/// Whether this is a process of the calling test's own; else it has run in one, and passed. What other tests have MLX
/// compute has it look for failures at other moments.
fn is_alone() -> bool {
    const ALONE: &str = "EMILY_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let test = std::thread::current().name().unwrap().to_owned();
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let output = alone
        .args(["--exact", &test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    false
}

/// MLX waits for every stream when it clears its cache, and tells whoever asked for that: it is known to all threads
/// then.
#[test]
fn a_failure_that_another_thread_was_told_of_is_known_to_the_stream_s_own() {
    if !is_alone() {
        return;
    }
    let (mut runner, slot) = runner();
    let stream = runner.stream.clone();
    with_stream(&stream, || {
        let failed = failing(&mut runner, &slot);
        std::thread::spawn(memory::clear_cache)
            .join()
            .unwrap()
            .unwrap();
        let failure = runner.eval(&failed).unwrap_err();
        assert_eq!(failure.error.kind, ErrorKind::Numeric, "{}", failure.error);
    });
}

/// Operands of what is evaluated at once have their own failures.
#[test]
fn what_is_evaluated_at_once_is_not_told_of_what_came_before() {
    if !is_alone() {
        return;
    }
    // Where the kernel fails before `flush` is through, MLX tells that, and nothing is left to tell here.
    let told = (0..100).find_map(|_| {
        let (mut runner, slot) = runner();
        let stream = runner.stream.clone();
        with_stream(&stream, || {
            let failed = failing(&mut runner, &slot);
            let told = runner.settle(&[]).err();
            assert!(runner.settle(&[]).is_ok());
            assert!(runner.eval(&failed).is_err());
            told
        })
    });
    let error = &told.expect("one kernel of a hundred fails later").error;
    assert_eq!(error.context, None, "{error}");
}

/// MLX tells the first who waits of a kernel's failure, and nobody after that.
#[test]
fn a_failure_that_no_op_is_known_to_have_caused_is_everybody_s() {
    if !is_alone() {
        return;
    }
    for failed_first in [true, false] {
        let (mut runner, slot) = runner();
        let stream = runner.stream.clone();
        with_stream(&stream, || {
            let failed = sibling(&slot, inverse_of_none());
            let other = sibling(&slot, slot.value().unwrap().array.exp().unwrap());
            runner.pending.slots = vec![Arc::downgrade(&failed), Arc::downgrade(&other)];
            runner.flush();
            let slots = match failed_first {
                true => [&failed, &other],
                false => [&other, &failed],
            };
            for slot in slots {
                let failure = runner.eval(slot).unwrap_err();
                assert_eq!(failure.error.kind, ErrorKind::Numeric, "{}", failure.error);
            }
            // What comes after is none the worse.
            let mut later = slot.value().unwrap();
            later.era = runner.poison.era();
            let later = Slot::new(slot.ty.clone(), slot.thread.clone(), State::Ready(later));
            assert!(runner.eval(&later).is_ok());
        });
    }
}

/// Who asks whether something is there may be the first to be told: of a value that was started, and of the condition on
/// one that is about to be.
#[test]
fn a_failure_that_a_poll_is_told_of_is_everybody_s() {
    if !is_alone() {
        return;
    }
    let polls: [fn(&mut Runner, &Arc<Slot>); 2] = [
        |runner, _| runner.see_computed(),
        |runner, under| {
            runner.pending.slots = vec![Arc::downgrade(under)];
            runner.flush();
        },
    ];
    for poll in polls {
        let (mut runner, slot) = runner();
        let stream = runner.stream.clone();
        with_stream(&stream, || {
            let value = slot.value().unwrap();
            let cpu = stream.clone();
            let mut cx = Cx::new(Device::Cpu, &cpu);
            let lost = inverse_of_none();
            cx.fail_where(lost.ne(&lost).unwrap(), ErrorKind::Argument, "not a number");
            let mut guards = Guards::default();
            for condition in cx.into_conditions() {
                guards.push(Guard::new(condition, value.origin.clone().unwrap()).unwrap());
            }
            let under = |array: Array| {
                let value = Value {
                    array,
                    guards: guards.clone(),
                    ..value.share()
                };
                Slot::new(slot.ty.clone(), slot.thread.clone(), State::Ready(value))
            };
            let [failed, other] = [(); 2].map(|()| under(value.array.exp().unwrap()));
            runner.pending.slots = vec![Arc::downgrade(&failed)];
            runner.flush();
            // The kernel takes far less, and if it does not the failure is told to who reads.
            std::thread::sleep(Duration::from_millis(100));
            poll(&mut runner, &other);
            for _ in 0..2 {
                runner.see_computed();
            }
            for slot in [&failed, &other] {
                let failure = runner.eval(slot).expect_err("what failed is no value");
                assert_eq!(failure.error.kind, ErrorKind::Numeric, "{}", failure.error);
            }
        });
    }
}

/// The failure is seen while what is made of it is waited for.
#[test]
fn a_failure_that_is_seen_during_a_wait_is_that_of_what_is_waited_for() {
    if !is_alone() {
        return;
    }
    let (mut runner, slot) = runner();
    let stream = runner.stream.clone();
    with_stream(&stream, || {
        let lost = inverse_of_none();
        let failed = sibling(&slot, mlx::clone_array(&lost));
        runner.pending.slots = vec![Arc::downgrade(&failed)];
        runner.flush();
        let slow: mlx::Kernel = Box::new(|_, place| {
            std::thread::sleep(Duration::from_millis(100));
            place.into_elements::<f32>().fill(1.0);
        });
        let made = sibling(&slot, mlx::lazy(&[lost], &slot.ty, slow).unwrap());
        let failure = runner.eval(&made).expect_err("what is made of a failure");
        assert_eq!(failure.error.kind, ErrorKind::Numeric, "{}", failure.error);
        assert!(runner.eval(&failed).is_err());
    });
}

#[test]
fn what_is_refused_as_the_process_ends_names_its_call() {
    let (mut runner, slot) = runner();
    let (sender, replies) = reply::<()>();
    runner.refuse(Job::Eval(Use::of(&slot), sender), Taken(&slot.thread));
    let error = replies.recv().unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Stopped);
    assert!(error.to_string().starts_with("exp(f32[1]): "), "{error}");
}

#[test]
fn who_is_answered_counts_no_more() {
    let (_runner, slot) = runner();
    let (sender, depths) = mpsc::channel();
    for _ in 0..100 {
        let ask = |job: &dyn Fn(Box<dyn FnOnce() + Send>) -> Job| {
            let (thread, sender) = (slot.thread.clone(), sender.clone());
            let told = Box::new(move || sender.send(thread.depth()).unwrap());
            slot.thread.push(job(told));
            depths.recv().unwrap()
        };
        let flush = ask(&|told| Job::Flush(Reply::new(move |_| told())));
        let eval = ask(&|told| Job::Eval(Use::of(&slot), Reply::new(move |_| told())));
        let read = ask(&|told| Job::Read(Use::of(&slot), Reply::new(move |_| told())));
        assert_eq!([flush, eval, read], [0; 3]);
    }
}
