//! However a process ends, and whatever its workers do at that moment, it ends at once and with its
//! own status.
//!
//! Every trial starts this program again, with what it should do and how it should end in its
//! environment. `EMILY_ENDS` says how often.

mod common;

use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::worker;
use emily_engine::{Bytes, Handle, Reply, Worker, wind_down};
use emily_spec::{Arithmetic, DType, Dot, ErrorKind, Op, TensorType};
use libtest_mimic::{Arguments, Failed, Trial};

/// What every end here is to say.
const STATUS: u8 = 7;

/// A process that has not ended by then hangs: what its workers have to do takes minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process does when its end comes, and how it ends.
#[derive(Clone, Copy)]
struct End {
    name: &'static str,
    work: fn(),
    end: fn() -> ExitCode,
    /// What it prints.
    prints: &'static str,
}

const ENDS: &[End] = &[
    end("exit_when_all_is_computed", nothing, exit),
    end("exit_while_eight_workers_multiply", multiply, exit),
    end("exit_while_four_workers_add", add, exit),
    end("exit_while_threads_submit_and_read", submit, exit),
    end("exit_while_threads_upload", upload, exit),
    end("exit_on_another_thread", multiply, exit_elsewhere),
    end("exit_on_a_worker_thread", multiply_on_seven, exit_on_worker),
    end("return_from_main_when_all_is_computed", nothing, give_back),
    end(
        "return_from_main_while_eight_workers_multiply",
        multiply,
        give_back,
    ),
    end(
        "wind_down_then_return_from_main",
        multiply_on_seven,
        wind_down_first,
    ),
    #[cfg(target_env = "gnu")]
    end(
        "exit_while_a_thread_waits_for_input_in_c",
        c::wait_for_input,
        exit,
    ),
    #[cfg(target_env = "gnu")]
    End {
        prints: "written",
        ..end(
            "what_c_streams_hold_is_written",
            multiply,
            c::print_and_exit,
        )
    },
    #[cfg(target_env = "gnu")]
    End {
        prints: "later",
        ..end(
            "what_was_registered_first_does_not_run",
            nothing,
            c::exit_with_handlers,
        )
    },
];

const fn end(name: &'static str, work: fn(), end: fn() -> ExitCode) -> End {
    End {
        name,
        work,
        end,
        prints: "",
    }
}

fn main() -> ExitCode {
    if let Ok(name) = std::env::var("EMILY_END") {
        let end = ENDS.iter().find(|end| end.name == name).expect("an end");
        (end.work)();
        say("ready");
        return (end.end)();
    }
    let trials = ENDS
        .iter()
        .map(|&end| Trial::test(end.name, move || run(end)).with_kind("end"));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Ends as many processes as asked for.
fn run(end: End) -> Result<(), Failed> {
    let count = std::env::var("EMILY_ENDS").map_or(Ok(1), |count| count.parse::<usize>())?;
    let mut wrong = Vec::new();
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let (outcome, time) = run_once(end)?;
        longest = longest.max(time);
        wrong.extend(outcome.err());
    }
    if std::env::var_os("EMILY_ENDS").is_some() {
        let (name, wrong) = (end.name, wrong.len());
        eprintln!("{name}: {count} ends, {wrong} wrong, the slowest in {longest:?}");
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{} of {count}: {}", wrong.len(), wrong[0]).into())
}

/// What was wrong with one end, and how long it took.
fn run_once(end: End) -> Result<(Result<(), String>, Duration), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env("EMILY_END", end.name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Held open until the end, as a terminal is.
    let _input = child.stdin.take();
    let mut output = child.stdout.take().ok_or("no output")?;
    let mut ready = [0; 6];
    output.read_exact(&mut ready)?;
    let start = Instant::now();
    let status = wait(&mut child, start + PATIENCE)?;
    let time = start.elapsed();
    let outcome = match status {
        Some(status) if status.code() == Some(STATUS.into()) => {
            let mut printed = String::new();
            output.read_to_string(&mut printed)?;
            match printed == end.prints {
                true => Ok(()),
                false => Err(format!("printed {printed:?} instead of {:?}", end.prints)),
            }
        }
        Some(status) => Err(format!("ended with {status}")),
        None => Err("did not end".to_owned()),
    };
    Ok((outcome, time))
}

/// The status, or none for a process that hangs, which is killed.
fn wait(child: &mut Child, until: Instant) -> Result<Option<std::process::ExitStatus>, Failed> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn say(word: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "{word}")
        .and_then(|()| output.flush())
        .expect("somebody reads");
}

/// An `f32` tensor of ones, with so many rows and columns.
fn ones(worker: &Worker, rows: usize, columns: usize) -> Handle {
    let ones = 1f32.to_le_bytes().repeat(rows * columns);
    let ty = TensorType::new(DType::F32, [rows, columns]);
    worker.from_bytes(ty, &ones).expect("a tensor")
}

/// Applies an op to its own result and a tensor, again and again.
fn chain(worker: &Worker, op: &Op, tensor: &Handle, count: usize) -> Handle {
    (0..count).fold(tensor.clone(), |last, _| {
        let inputs = [tensor.clone(), last];
        worker.apply(op, &inputs).expect("a result").remove(0)
    })
}

fn dot() -> Op {
    Op::Dot(Dot {
        contract_left: [1].into(),
        batch_left: None,
        contract_right: [0].into(),
        batch_right: None,
        dtype: None,
    })
}

/// Lets what was queued begin.
fn a_moment() {
    thread::sleep(Duration::from_millis(200));
}

fn nothing() {
    let worker = worker();
    let tensor = ones(&worker, 100, 100);
    chain(&worker, &dot(), &tensor, 10).read().expect("a value");
}

fn multiply() {
    multiply_on(8);
}

/// Leaves a thread of the pool to another worker.
fn multiply_on_seven() {
    multiply_on(7);
}

/// So many workers with a read pending each, after minutes of matrix products.
fn multiply_on(count: usize) {
    for _ in 0..count {
        let worker = worker();
        let tensor = ones(&worker, 1500, 1500);
        chain(&worker, &dot(), &tensor, 1000).read_with(Reply::new(drop));
        // It keeps its thread for itself.
        std::mem::forget(worker);
    }
    a_moment();
}

fn add() {
    for _ in 0..4 {
        thread::spawn(|| {
            let worker = worker();
            let tensor = ones(&worker, 100, 1000);
            loop {
                chain(&worker, &Op::from(Arithmetic::Add), &tensor, 1000);
            }
        });
    }
    a_moment();
}

fn submit() {
    for _ in 0..8 {
        thread::spawn(|| {
            let worker = worker();
            loop {
                let tensor = ones(&worker, 10, 10);
                chain(&worker, &dot(), &tensor, 3).read().expect("a value");
            }
        });
    }
    a_moment();
}

/// No worker has anything to do: threads of the program's own allocate and free.
fn upload() {
    nothing();
    for _ in 0..8 {
        thread::spawn(|| {
            let worker = worker();
            loop {
                ones(&worker, 10, 10);
            }
        });
    }
    a_moment();
}

fn exit() -> ExitCode {
    std::process::exit(STATUS.into())
}

fn give_back() -> ExitCode {
    ExitCode::from(STATUS)
}

fn exit_elsewhere() -> ExitCode {
    let other = thread::spawn(|| std::process::exit(STATUS.into()));
    other.join().expect("it does not return")
}

fn exit_on_worker() -> ExitCode {
    worker().call(|| std::process::exit(STATUS.into()));
    loop {
        thread::park();
    }
}

/// What is queued is refused, and what is asked for later; what is computed can be read.
fn wind_down_first() -> ExitCode {
    let worker = worker();
    // Large enough to be queued.
    let tensor = ones(&worker, 100, 100);
    tensor.eval().expect("a value");
    let (sender, refused) = mpsc::channel();
    // Queued behind a job that takes as long as this thread wants.
    let (let_go, held) = mpsc::channel::<()>();
    worker.call(move || {
        // An error says that the other end was dropped, which is the sign.
        let _ = held.recv();
    });
    let reply: Reply<Bytes> = Reply::new(move |result| {
        sender.send(result.map(drop)).expect("it is waited for");
    });
    chain(&worker, &dot(), &tensor, 3).read_with(reply);
    assert!(!wind_down(Duration::ZERO));
    drop(let_go);
    let queued = refused
        .recv()
        .expect("an answer")
        .expect_err("it was not begun");
    assert_eq!(queued.kind, ErrorKind::Stopped, "{queued}");
    let later = worker
        .submit(dot(), &[tensor.clone(), tensor.clone()])
        .expect_err("too late");
    assert_eq!(later.kind, ErrorKind::Stopped, "{later}");
    assert!(tensor.read().is_ok());
    ExitCode::from(STATUS)
}

/// What only the C library shows, on the platform whose `exit` the engine can end.
#[cfg(target_env = "gnu")]
mod c {
    use std::process::ExitCode;
    use std::thread;

    /// A thread that holds the lock of the standard input's stream until a line comes.
    pub(super) fn wait_for_input() {
        super::nothing();
        // SAFETY: takes nothing.
        thread::spawn(|| unsafe { libc::getchar() });
        super::a_moment();
    }

    pub(super) fn print_and_exit() -> ExitCode {
        // SAFETY: a format without arguments, that ends with a zero byte.
        unsafe { libc::printf(c"written".as_ptr()) };
        super::exit()
    }

    extern "C" fn say_earlier() {
        super::say("earlier");
    }

    extern "C" fn say_later() {
        // SAFETY: as above.
        unsafe { libc::printf(c"later".as_ptr()) };
    }

    /// A handler that is older than the last that the engine registered stands for MLX's own
    /// destructors, of which some come with the first use of what they destroy.
    pub(super) fn exit_with_handlers() -> ExitCode {
        // SAFETY: the handlers are functions of this program.
        unsafe { libc::atexit(say_earlier) };
        for _ in 0..16 {
            super::nothing();
        }
        // SAFETY: as above.
        unsafe { libc::atexit(say_later) };
        super::exit()
    }
}
