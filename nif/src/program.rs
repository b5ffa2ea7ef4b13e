//! Programs from terms, and running them.
//!
//! A program is `{parameters, constants, region}`: types as `{dtype, shape}`, tensors as `{dtype, shape, binary}`. A
//! region is `{nodes, results}`; values are numbers, parameters from 0 on, then constants, and a node
//! `{results, name, attrs, operands}`, `{results, :if, predicate, then, else}` or
//! `{results, :while, initial, state, condition, body}`.

use std::panic::resume_unwind;
use std::sync::Arc;

use emily_engine::{Handle, Prepared, Worker, memory, optimised};
use emily_spec::{Error, ErrorKind, Id, Node, Program, Region, Result, Step, Tensor, TensorType};
use rustler::{Binary, Encoder, Env, Resource, ResourceArc, Term};

use crate::atoms;
use crate::decode::{self, Operands, argument, parts};
use crate::encode::guarded;
use crate::resource::WorkerRef;
use crate::worker::queued;

/// A program, checked and ready to run.
pub(crate) struct ProgramRef(Arc<Prepared>);

#[rustler::resource_impl]
impl Resource for ProgramRef {}

/// `{:ok, program}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn compile_program<'a>(env: Env<'a>, term: Term<'a>) -> Term<'a> {
    guarded(env, || {
        let [parameters, constants, body] = parts(term).ok_or_else(|| {
            argument("a program is a tuple of parameters, constants and a region")
        })?;
        let mut reader = Reader::default();
        let parameters = reader.list(parameters, |_, term| tensor_type(term))?;
        let constants = reader.list(constants, |_, term| constant(term))?;
        let body = reader.region(body, 0)?;
        let prepared = with_room(move || {
            let program = optimised(Program::new(parameters, constants, body)?)?;
            Prepared::new(program)
        })?;
        Ok((atoms::ok(), ResourceArc::new(ProgramRef(prepared))).encode(env))
    })
}

/// `{text, nodes, bytes of constants}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn program_info<'a>(env: Env<'a>, program: ResourceArc<ProgramRef>) -> Term<'a> {
    guarded(env, || {
        let program = program.0.program();
        let bytes: usize = program
            .constants()
            .iter()
            .map(|tensor| tensor.bytes().len())
            .sum();
        Ok((program.to_string(), program.node_count(), bytes).encode(env))
    })
}

/// Queues a program: as `apply_op` does an op. One that has more results than a scheduler should make is not queued, and
/// the answer is `:many`.
#[rustler::nif]
fn run_program<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    program: ResourceArc<ProgramRef>,
    inputs: Operands<{ decode::FEW }>,
) -> Term<'a> {
    if program.0.program().results().len() > decode::FEW {
        return atoms::many().encode(env);
    }
    run(env, &worker.0, &program.0, inputs.0)
}

/// [`run_program`] on a dirty scheduler, for any number of inputs and results.
#[rustler::nif(schedule = "DirtyCpu")]
fn run_program_dirty<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    program: ResourceArc<ProgramRef>,
    inputs: Operands<{ usize::MAX }>,
) -> Term<'a> {
    run(env, &worker.0, &program.0, inputs.0)
}

fn run<'a>(
    env: Env<'a>,
    worker: &Worker,
    program: &Arc<Prepared>,
    inputs: Result<Vec<Handle>>,
) -> Term<'a> {
    guarded(env, || queued(env, worker, worker.run(program, &inputs?)))
}

/// What `f` gives on a stack as large as regions within regions need; a scheduler's may be a small one.
fn with_room<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    const STACK: usize = 8 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, f).map_err(|error| {
            Error::new(ErrorKind::Memory, format!("no room for a thread: {error}"))
        })?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Reads a program's lists, all together no longer than a program may be.
#[derive(Default)]
struct Reader {
    read: usize,
}

impl Reader {
    fn list<'a, T>(
        &mut self,
        mut term: Term<'a>,
        mut item: impl FnMut(&mut Reader, Term<'a>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !term.is_empty_list() {
            let (first, rest) = term
                .list_get_cell()
                .map_err(|_| argument("a program's parts are lists"))?;
            self.read += 1;
            // Operands and results are as many as there are values, several times.
            if self.read > 8 * Program::MAX_VALUES {
                return Err(argument("the program is too long"));
            }
            let reserved = items.try_reserve(1);
            reserved.map_err(memory::none_for(items.len() + 1))?;
            items.push(item(self, first)?);
            term = rest;
        }
        Ok(items)
    }

    fn ids(&mut self, term: Term<'_>) -> Result<Vec<Id>> {
        self.list(term, |_, term| id(term))
    }

    fn region(&mut self, term: Term<'_>, depth: usize) -> Result<Region> {
        if depth > Program::MAX_DEPTH {
            let most = Program::MAX_DEPTH;
            return Err(argument(format!("regions are at most {most} deep")));
        }
        let [nodes, results] =
            parts(term).ok_or_else(|| argument("a region is a tuple of nodes and results"))?;
        let nodes = self.list(nodes, |reader, term| reader.node(term, depth))?;
        let results = self.ids(results)?;
        Ok(Region { nodes, results })
    }

    fn node(&mut self, term: Term<'_>, depth: usize) -> Result<Node> {
        if let Some([results, name, attrs, operands]) = parts(term) {
            let op = Arc::new(decode::op(name, attrs)?);
            let operands = self.ids(operands)?;
            let step = Step::Op { op, operands };
            let results = self.ids(results)?;
            return Ok(Node { results, step });
        }
        if let Some([results, name, predicate, then, otherwise]) = parts(term)
            && decode::is(name, "if")
        {
            let step = Step::If {
                predicate: id(predicate)?,
                then: self.region(then, depth + 1)?,
                otherwise: self.region(otherwise, depth + 1)?,
            };
            let results = self.ids(results)?;
            return Ok(Node { results, step });
        }
        if let Some([results, name, initial, state, condition, body]) = parts(term)
            && decode::is(name, "while")
        {
            let step = Step::While {
                initial: self.ids(initial)?,
                state: self.ids(state)?,
                condition: self.region(condition, depth + 1)?,
                body: self.region(body, depth + 1)?,
            };
            let results = self.ids(results)?;
            return Ok(Node { results, step });
        }
        Err(argument("a node is an op, an if or a while, in a tuple"))
    }
}

fn id(term: Term<'_>) -> Result<Id> {
    let number = term.decode::<u32>();
    number
        .map(Id)
        .map_err(|_| argument("a value is a number from 0 on"))
}

fn tensor_type(term: Term<'_>) -> Result<TensorType> {
    let [dtype, shape] =
        parts(term).ok_or_else(|| argument("a parameter is a tuple of dtype and shape"))?;
    decode::tensor_type(dtype, shape)
}

fn constant(term: Term<'_>) -> Result<Arc<Tensor>> {
    let [dtype, shape, binary] =
        parts(term).ok_or_else(|| argument("a constant is a tuple of dtype, shape and binary"))?;
    let ty = decode::tensor_type(dtype, shape)?;
    let binary: Binary<'_> = binary
        .decode()
        .map_err(|_| argument("a constant's bytes are a binary"))?;
    ty.check_byte_count(binary.len())?;
    Tensor::new(ty, memory::copied(&binary)?).map(Arc::new)
}
