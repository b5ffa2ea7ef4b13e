//! Workers and callers who come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use emily_engine::{Device, Handle, Worker, memory};
use emily_spec::{Arithmetic, Broadcast, DType, ErrorKind, Op, Result, Shape, Take, TensorType};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::network::one;
use super::{Tally, Work};

/// Elements of a chain's tensors: so many that their sums are queued, and not computed in the call.
const COUNT: usize = 8192;

/// More than a queue's bound.
const MANY: usize = 5000;

/// Bytes that are left while memory is short: more than what others have yet to compute.
const ROOM: usize = 32 << 20;

/// What comes and goes does so on the threads of these, of which each has one.
pub(super) struct Lifecycle {
    workers: Vec<Worker>,
    device: Device,
    random: ChaCha8Rng,
}

/// How a worker or a caller ends.
#[derive(Clone, Copy)]
enum Way {
    /// Nobody reads what was called.
    Undone,
    /// The caller is gone before its read is answered.
    GivenUp,
    /// The worker is stopped while it works.
    Stopped,
    /// More is called than a queue holds.
    Full,
    /// A call fails that others depend on.
    Failed,
    /// There is no room.
    NoRoom,
}

impl Lifecycle {
    pub(super) fn begin(device: Device) -> Result<Lifecycle> {
        // As many as the engine has threads: one a core, and eight at least.
        let threads = std::thread::available_parallelism().map_or(8, |cores| cores.get().max(8));
        let workers: Vec<Worker> = (0..threads)
            .map(|_| super::worker(device))
            .collect::<Result<_>>()?;
        // MLX starts threads of its own when a stream is first used.
        for worker in &workers {
            chain(worker, 2)?.eval()?;
        }
        Ok(Lifecycle {
            workers,
            device,
            random: ChaCha8Rng::seed_from_u64(7),
        })
    }

    fn way(&mut self) -> Way {
        match self.random.random_range(0..100) {
            0..30 => Way::Undone,
            30..60 => Way::GivenUp,
            60..80 => Way::Stopped,
            80 => Way::Full,
            81..90 => Way::Failed,
            _ => Way::NoRoom,
        }
    }

    fn live(&mut self, tally: &mut Tally) -> Result<()> {
        let way = self.way();
        let worker = super::worker(self.device)?;
        let links = self.random.random_range(1..64);
        let moment = Duration::from_micros(self.random.random_range(0..300));
        match way {
            Way::Undone => drop(chain(&worker, links)?),
            Way::GivenUp => give_up(tally, &chain(&worker, links)?, moment),
            Way::Stopped => stop(tally, &worker, links, moment)?,
            Way::Full => fill(tally, &worker)?,
            Way::Failed => fail(tally, &worker)?,
            Way::NoRoom => no_room(tally, &worker)?,
        }
        // Whatever happened, the next one is served.
        let next = super::worker(self.device)?;
        check(tally, &chain(&next, 3)?, 3);
        Ok(())
    }
}

impl Work for Lifecycle {
    fn turn(&mut self, tally: &mut Tally) {
        let lived = self.live(tally);
        tally.check("a life", lived);
    }

    fn workers(&self) -> Vec<&Worker> {
        self.workers.iter().collect()
    }
}

/// The end of a chain of so many sums of ones.
fn chain(worker: &Worker, links: usize) -> Result<Handle> {
    chain_with(worker, links, || ())
}

/// [`chain`], and looks after each call.
fn chain_with(worker: &Worker, links: usize, mut look: impl FnMut()) -> Result<Handle> {
    let one_each = ones(worker, COUNT)?;
    (1..links).try_fold(one_each.clone(), |sum, _| {
        let sum = one(worker, &Arithmetic::Add.into(), [&sum, &one_each])?;
        look();
        Ok(sum)
    })
}

fn ones(worker: &Worker, count: usize) -> Result<Handle> {
    let bytes: Vec<u8> = 1i32.to_le_bytes().repeat(count);
    worker.from_bytes(TensorType::new(DType::S32, [count]), &bytes)
}

/// Calls more than a queue holds.
fn fill(tally: &mut Tally, worker: &Worker) -> Result<()> {
    let mut seen = 0;
    let end = chain_with(worker, MANY, || seen = seen.max(worker.depth()))?;
    tally.saw(seen);
    if seen == 0 {
        tally.fault(format!("of {MANY} calls none was seen in the queue"));
    }
    check(tally, &end, MANY);
    Ok(())
}

/// Reads the end of a chain.
fn check(tally: &mut Tally, end: &Handle, links: usize) {
    if let Some(bytes) = tally.read(end) {
        let want = (links as i32).to_le_bytes().repeat(COUNT);
        tally.same("a chain", &bytes, &want);
    }
}

/// Reads, and is gone a moment later.
fn give_up(tally: &mut Tally, end: &Handle, moment: Duration) {
    let gone = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let flag = gone.clone();
        let caller = scope.spawn(move || {
            std::thread::sleep(moment);
            flag.store(true, Ordering::SeqCst);
        });
        let flag = gone.clone();
        let wanted = move || !flag.load(Ordering::SeqCst);
        // A request that was given up is answered by an error.
        let reply = tally.ask(|reply| end.read_with(reply.while_wanted(wanted)));
        if let Some(Err(error)) = reply
            && !gone.load(Ordering::SeqCst)
        {
            tally.fault(format!("a read that somebody waited for: {error}"));
        }
        // A scope waits for what threads do, not until they are gone.
        let _ = caller.join();
    });
}

/// Calls and reads while the worker is stopped.
fn stop(tally: &mut Tally, worker: &Worker, links: usize, moment: Duration) -> Result<()> {
    let reply = std::thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            std::thread::sleep(moment);
            worker.stop();
        });
        let end = chain(worker, links);
        let reply = end.map(|end| tally.ask(|reply| end.read_with(reply)));
        // A scope waits for what threads do, not until they are gone.
        let _ = stopper.join();
        reply
    });
    match reply {
        Ok(Some(Ok(bytes))) => {
            let want = (links as i32).to_le_bytes().repeat(COUNT);
            tally.same("a chain on a worker that stops", &bytes, &want);
        }
        Err(error) | Ok(Some(Err(error))) if error.kind != ErrorKind::Stopped => return Err(error),
        Err(_) | Ok(Some(Err(_)) | None) => {}
    }
    Ok(())
}

/// Takes what is not there, goes on with it, and with something else.
fn fail(tally: &mut Tally, worker: &Worker) -> Result<()> {
    let tensor = ones(worker, COUNT)?;
    let index = worker.from_bytes(
        TensorType::new(DType::S32, [1]),
        &(COUNT as i32).to_le_bytes(),
    )?;
    let taken = one(worker, &Op::Take(Take { axis: 0 }), [&tensor, &index])?;
    let after = one(worker, &Arithmetic::Add.into(), [&tensor, &taken])?;
    let beside = chain(worker, 5)?;
    for lost in [&after, &taken] {
        if let Some(error) = tally.refused(lost)
            && error.kind != ErrorKind::Index
        {
            tally.fault(format!("after an index out of bounds: {error}"));
        }
    }
    check(tally, &beside, 5);
    Ok(())
}

/// Asks for more than there is, and then for what there is.
fn no_room(tally: &mut Tally, worker: &Worker) -> Result<()> {
    let tensor = ones(worker, COUNT)?;
    let active = memory::stats()?.active;
    let limit = memory::set_limit(active + ROOM)?;
    let large = Op::Broadcast(Broadcast {
        shape: Shape::from([ROOM / COUNT, COUNT]),
        axes: None,
    });
    let refusals = [
        worker
            .from_bytes(TensorType::new(DType::U8, [2 * ROOM]), &vec![0; 2 * ROOM])
            .err(),
        match one(worker, &large, [&tensor])
            .and_then(|view| one(worker, &Arithmetic::Add.into(), [&view, &view]))
        {
            Ok(sum) => tally.refused(&sum),
            Err(error) => Some(error),
        },
    ];
    let within = chain(worker, 4);
    let restored = memory::set_limit(limit);
    for refusal in refusals {
        if refusal
            .as_ref()
            .is_none_or(|error| error.kind != ErrorKind::Memory)
        {
            tally.fault(format!("over the memory limit: {refusal:?}"));
        }
    }
    check(tally, &within?, 4);
    restored.map(drop)
}
