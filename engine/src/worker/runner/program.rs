//! Programs on a worker: the ops that a caller would have submitted one by one, in one job.
//!
//! Each op is built as a submitted one is, with the same memory, conditions and errors: a value that failed fails what
//! uses it, and nothing else. What decides between branches, and whether a loop goes on, is evaluated here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use emily_spec::{Class, DType, Error, ErrorKind, Id, Result, Tensor};
use smallvec::SmallVec;

use super::{Asked, Known, Origin, Pending, Runner, evaluation, fill, panicked};
use crate::program::{Block, Call, Planned, Work};
use crate::worker::Handle;
use crate::worker::failure::Failure;
use crate::worker::slot::{Slot, State, Value};
use crate::worker::thread::{Input, Run};
use crate::{ending, memory, mlx};

/// A program under way.
struct Execution<'a> {
    run: &'a Run,
    /// By number; none where it is not computed yet, or not needed any more.
    values: Vec<Option<Known>>,
    /// What was built since evaluation was started last.
    fresh: Vec<Id>,
}

/// Nobody waits for the program any more.
struct Unwanted;

impl Runner {
    /// Runs a program and fills its slots.
    pub(super) fn program(&mut self, run: Run) {
        let caught = catch_unwind(AssertUnwindSafe(|| self.execute(&run)));
        if let Err(panic) = caught {
            run.fail(&Failure::new(panicked(&*panic)));
            self.let_go();
        }
    }

    /// Gives back what was reserved for what is not started, and is dropped.
    fn let_go(&mut self) {
        if self.pending.slots.is_empty() {
            self.pending = Pending::default();
        }
    }

    fn execute(&mut self, run: &Run) {
        let mut at = Execution {
            run,
            values: Vec::new(),
            fresh: Vec::new(),
        };
        let program = &run.program;
        let inputs = run.inputs.iter().map(|input| Some(Input::value(input)));
        at.values.extend(inputs);
        for (tensor, place) in program
            .program()
            .constants()
            .iter()
            .zip(program.constants())
        {
            at.values.push(Some(self.constant(tensor, place)));
        }
        at.values
            .resize_with(program.program().types().len(), || None);
        let body = program.body();
        if let Err(Unwanted) = self.block(body, &mut at) {
            drop(at);
            return self.let_go();
        }
        for (slot, id) in run.outputs.iter().zip(&body.results) {
            fill(
                slot,
                match at.share(*id) {
                    Ok(value) => State::Ready(value),
                    Err(failure) => State::Failed(failure),
                },
            );
        }
        self.pending.slots.extend(run.outputs.iter().cloned());
    }

    /// A constant's value, which stays on the device from its first use on.
    fn constant(&mut self, tensor: &Tensor, place: &OnceLock<Handle>) -> Known {
        if let Some(handle) = place.get() {
            return handle.0.value();
        }
        let value = self.upload(tensor).map_err(Failure::new)?;
        let slot = Slot::new(
            tensor.ty().clone(),
            self.thread.clone(),
            State::Ready(value.share()),
        );
        // Another thread may have been first, which is as well.
        let _ = place.set(Handle(slot));
        Ok(value)
    }

    fn upload(&mut self, tensor: &Tensor) -> Result<Value> {
        let bytes = tensor.bytes();
        // Constants come first: nothing of the program is pending.
        let room = self.make_room(bytes.len(), 0, Runner::flush)?;
        let array = mlx::upload(tensor.ty(), bytes)?;
        memory::given(bytes.len());
        drop(room);
        Ok(Value::computed(array, bytes.len()))
    }

    fn block(
        &mut self,
        block: &Block,
        at: &mut Execution<'_>,
    ) -> std::result::Result<(), Unwanted> {
        for node in &block.nodes {
            match &node.work {
                Work::Op { call, operands } => self.op_node(node, call, operands, at)?,
                Work::If {
                    predicate,
                    then,
                    otherwise,
                } => {
                    let chosen = match self.decide(*predicate, at) {
                        Ok(true) => Ok(then),
                        Ok(false) => Ok(otherwise),
                        Err(failure) => Err(failure),
                    };
                    match chosen {
                        Ok(chosen) => {
                            self.block(chosen, at)?;
                            let results = at.leave(chosen);
                            at.set_all(&node.results, results);
                        }
                        Err(failure) => at.fail(&node.results, &failure),
                    }
                }
                Work::While {
                    initial,
                    state,
                    condition,
                    body,
                } => {
                    let first = at.share_all(initial);
                    at.set_all(state, first);
                    let end = self.turns(state, condition, body, at)?;
                    let last = at.take_all(state);
                    match end {
                        Ok(()) => at.set_all(&node.results, last),
                        Err(failure) => at.fail(&node.results, &failure),
                    }
                }
            }
            at.clear(&node.drops);
        }
        Ok(())
    }

    /// The turns of a loop, until its condition is false or cannot be told.
    fn turns(
        &mut self,
        state: &[Id],
        condition: &Block,
        body: &Block,
        at: &mut Execution<'_>,
    ) -> std::result::Result<std::result::Result<(), Arc<Failure>>, Unwanted> {
        loop {
            if !self.is_wanted(at.run) {
                return Err(Unwanted);
            }
            if ending::begun() {
                return Ok(Err(Failure::new(ending::refusal())));
            }
            if at.run.lane.stopped() {
                return Ok(Err(Failure::new(at.run.lane.stopped_error())));
            }
            self.block(condition, at)?;
            let goes_on = self.decide(condition.results[0], at);
            drop(at.leave(condition));
            match goes_on {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(())),
                Err(failure) => return Ok(Err(failure)),
            }
            self.block(body, at)?;
            let next = at.leave(body);
            at.set_all(state, next);
        }
    }

    fn op_node(
        &mut self,
        node: &Planned,
        call: &Call,
        operands: &[Id],
        at: &mut Execution<'_>,
    ) -> std::result::Result<(), Unwanted> {
        if evaluation::is_enough_alone(call.bytes, call.products) {
            self.start(at);
        }
        match self.op_of_call(call, operands, at) {
            Ok(values) => {
                at.set_all(&node.results, values.into_iter().map(Ok));
                at.fresh.extend(&node.results);
                if self.pending.add(call.bytes, call.products) {
                    at.clear(&node.drops);
                    self.go_on(at)?;
                }
            }
            Err(failure) => at.fail(&node.results, &failure),
        }
        Ok(())
    }

    /// Whether anybody waits for the program. A read of its results that nobody waits for holds them until it is seen.
    fn is_wanted(&mut self, run: &Run) -> bool {
        self.look();
        run.is_wanted()
    }

    /// Starts what is not started yet, if anybody waits for the program still. What was started before is waited for
    /// where it takes long, as that would all be computed for nobody.
    fn go_on(&mut self, at: &mut Execution<'_>) -> std::result::Result<(), Unwanted> {
        self.keep_up();
        if !self.is_wanted(at.run) {
            return Err(Unwanted);
        }
        self.start(at);
        Ok(())
    }

    fn op_of_call(
        &mut self,
        call: &Call,
        operands: &[Id],
        at: &mut Execution<'_>,
    ) -> std::result::Result<SmallVec<[Value; 1]>, Arc<Failure>> {
        let origin = Origin {
            call: call.context.clone(),
            worker: at.run.lane.name.clone(),
        };
        let asked = Asked {
            origin: &origin,
            results: &call.results,
            bytes: call.bytes,
            on_the_way: call.on_the_way(self.thread.device),
        };
        let here = |error| Failure::new(super::at(error, &origin));
        if ending::begun() {
            return Err(here(ending::refusal()));
        }
        call.check_count(self.thread.device).map_err(here)?;
        let inputs: SmallVec<[Known; 3]> = operands.iter().map(|&id| at.share(id)).collect();
        let run = at.run;
        self.op(&asked, &run.lane, inputs.into_iter(), |runner| {
            runner.start(at)
        })
    }

    /// Starts the evaluation of what was built lately and is still needed, and of all that is pending beside it.
    fn start(&mut self, at: &mut Execution<'_>) {
        let mut fresh: Vec<Id> = at.fresh.drain(..).collect();
        fresh.sort_unstable();
        fresh.dedup();
        let mut values: Vec<&mut Known> = Vec::with_capacity(fresh.len());
        let mut rest = &mut at.values[..];
        let mut before = 0;
        for id in fresh {
            let (value, after) = match rest.split_at_mut(id.index() - before) {
                (_, [value, after @ ..]) => (value, after),
                (_, []) => break,
            };
            before = id.index() + 1;
            rest = after;
            values.extend(value.as_mut());
        }
        self.flush_with(&mut values);
    }

    /// Evaluates a scalar: whether it is anything but zero.
    fn decide(
        &mut self,
        id: Id,
        at: &mut Execution<'_>,
    ) -> std::result::Result<bool, Arc<Failure>> {
        let dtype = at.run.program.program().ty(id).dtype;
        let known = at.known(id);
        let array = self.eval_known(known)?;
        let bytes = self.bytes(array, |runner| runner.start(at));
        let bytes = bytes.map_err(Failure::new)?;
        Ok(is_true(dtype, &bytes))
    }
}

impl Execution<'_> {
    fn known(&mut self, id: Id) -> &mut Known {
        let place = &mut self.values[id.index()];
        place.get_or_insert_with(|| Err(Failure::new(missing(id))))
    }

    fn share(&self, id: Id) -> Known {
        match &self.values[id.index()] {
            Some(Ok(value)) => Ok(value.share()),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::new(missing(id))),
        }
    }

    fn share_all(&self, ids: &[Id]) -> Vec<Known> {
        ids.iter().map(|&id| self.share(id)).collect()
    }

    fn take_all(&mut self, ids: &[Id]) -> Vec<Known> {
        let known = self.share_all(ids);
        self.clear(ids);
        known
    }

    /// What a block that has run gives; what it made is gone from here.
    fn leave(&mut self, block: &Block) -> Vec<Known> {
        let known = self.share_all(&block.results);
        self.clear(&block.own);
        known
    }

    fn clear(&mut self, ids: &[Id]) {
        for id in ids {
            self.values[id.index()] = None;
        }
    }

    fn set_all(&mut self, ids: &[Id], known: impl IntoIterator<Item = Known>) {
        for (id, known) in ids.iter().zip(known) {
            self.values[id.index()] = Some(known);
        }
    }

    fn fail(&mut self, ids: &[Id], failure: &Arc<Failure>) {
        for id in ids {
            self.values[id.index()] = Some(Err(failure.clone()));
        }
    }
}

fn missing(id: Id) -> Error {
    let text = format!("{id} was dropped before it was used; please report it");
    Error::new(ErrorKind::Internal, text)
}

/// Whether a scalar of these bytes is anything but zero; of a float both zeros are.
fn is_true(dtype: DType, bytes: &[u8]) -> bool {
    let any = |bytes: &[u8]| bytes.iter().any(|&byte| byte != 0);
    let float = |part: &[u8]| match part {
        // The sign is in the last byte.
        [rest @ .., last] => last & 0x7f != 0 || any(rest),
        [] => false,
    };
    match dtype.class() {
        Class::Unsigned | Class::Signed => any(bytes),
        Class::Float => float(bytes),
        Class::Complex => bytes.chunks(bytes.len().div_ceil(2).max(1)).any(float),
    }
}
