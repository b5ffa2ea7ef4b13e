//! Programs, made ready to run: what each node takes, and where each value is used last.

mod liveness;
mod passes;

use std::sync::{Arc, OnceLock};

use emily_spec::{Context, DType, Error, ErrorKind, Id, Program, Region, Result, Step, TensorType};

pub use passes::optimised;

use crate::ops::{self, Layout};
use crate::worker::{Handle, LARGE};
use crate::{Device, memory};

/// So many nodes are worth waking a worker for.
const MANY: usize = 16;

/// A program that workers run: found out once, shared by all who run it.
#[derive(Debug)]
pub struct Prepared {
    program: Program,
    body: Block,
    /// Its constants on the device, from the first run on.
    constants: Vec<OnceLock<Handle>>,
    has_f64: bool,
    is_large: bool,
    /// Of the ops that run in any case: the most that one needs, and the most elements that one has.
    most: OnDevice,
    elements: usize,
}

/// So many bytes, on either device.
#[derive(Clone, Copy, Debug)]
struct OnDevice {
    cpu: usize,
    gpu: usize,
}

/// A region's nodes, and what it gives.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) nodes: Vec<Planned>,
    pub(crate) results: Vec<Id>,
    /// Those of the results that it made itself.
    pub(crate) own: Vec<Id>,
}

/// A node, and the values that nothing uses after it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) results: Vec<Id>,
    pub(crate) work: Work,
    pub(crate) drops: Vec<Id>,
}

/// What a node does.
#[derive(Debug)]
pub(crate) enum Work {
    Op {
        call: Arc<Call>,
        operands: Vec<Id>,
    },
    If {
        predicate: Id,
        then: Block,
        otherwise: Block,
    },
    While {
        initial: Vec<Id>,
        state: Vec<Id>,
        condition: Block,
        body: Block,
    },
}

/// An op's call, as far as it is known without values.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) results: Vec<TensorType>,
    /// The results' size.
    pub(crate) bytes: usize,
    /// What is needed beside operands and results.
    on_the_way: OnDevice,
    /// The multiplications in a product of matrices.
    pub(crate) products: usize,
    /// The most elements that a kernel has to count.
    elements: usize,
}

impl Prepared {
    /// The program, ready to run.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] for sizes that cannot be counted.
    pub fn new(program: Program) -> Result<Arc<Prepared>> {
        let mut body = block(program.body(), &program)?;
        liveness::mark(&mut body);
        let calls = || body.nodes.iter().filter_map(Planned::call);
        let bytes = calls().map(|call| call.bytes).max();
        Ok(Arc::new(Prepared {
            constants: program
                .constants()
                .iter()
                .map(|_| OnceLock::new())
                .collect(),
            has_f64: program.types().iter().any(|ty| ty.dtype == DType::F64),
            is_large: program.node_count() >= MANY || bytes.is_some_and(|bytes| bytes >= LARGE),
            most: OnDevice::of(|device| calls().map(|call| call.need(device)).max().unwrap_or(0)),
            elements: calls().map(|call| call.elements).max().unwrap_or(0),
            body,
            program,
        }))
    }

    /// What it was made of.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The results' types.
    pub fn results(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.program.results()
    }

    pub(crate) fn body(&self) -> &Block {
        &self.body
    }

    pub(crate) fn constants(&self) -> &[OnceLock<Handle>] {
        &self.constants
    }

    pub(crate) fn has_f64(&self) -> bool {
        self.has_f64
    }

    pub(crate) fn is_large(&self) -> bool {
        self.is_large
    }

    /// Checks that the inputs are what the parameters say.
    pub(crate) fn check_inputs<'a>(
        &self,
        mut inputs: impl ExactSizeIterator<Item = &'a TensorType>,
    ) -> Result<()> {
        let parameters = self.program.parameters();
        let (takes, got) = (parameters.len(), inputs.len());
        if takes != got {
            let text = format!("the program takes {takes} tensors, got {got}");
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let mut pairs = parameters.iter().zip(&mut inputs).enumerate();
        match pairs.find(|(_, (want, got))| want != got) {
            None => Ok(()),
            Some((place, (want, got))) => {
                let kind = match want.dtype == got.dtype {
                    true => ErrorKind::Shape,
                    false => ErrorKind::Dtype,
                };
                let text = format!("the program's parameter {place} is {want}, got {got}");
                Err(Error::new(kind, text))
            }
        }
    }

    /// Refuses what is over the limits for certain: by the first op that is.
    pub(crate) fn check_sizes(&self, device: Device) -> Result<()> {
        let fits = self.most.on(device) <= memory::limit();
        if fits && ops::check_count(self.elements, device).is_ok() {
            return Ok(());
        }
        let mut calls = self.body.nodes.iter().filter_map(Planned::call);
        calls.try_for_each(|call| call.check_size(device).map_err(|error| call.here(error)))
    }
}

impl OnDevice {
    fn of(count: impl Fn(Device) -> usize) -> OnDevice {
        OnDevice {
            cpu: count(Device::Cpu),
            gpu: count(Device::Gpu),
        }
    }

    fn on(self, device: Device) -> usize {
        match device {
            Device::Cpu => self.cpu,
            Device::Gpu => self.gpu,
        }
    }
}

impl Planned {
    fn call(&self) -> Option<&Arc<Call>> {
        match &self.work {
            Work::Op { call, .. } => Some(call),
            Work::If { .. } | Work::While { .. } => None,
        }
    }
}

impl Call {
    /// What is needed beside operands and results.
    pub(crate) fn on_the_way(&self, device: Device) -> usize {
        self.on_the_way.on(device)
    }

    fn need(&self, device: Device) -> usize {
        self.bytes.saturating_add(self.on_the_way(device))
    }

    fn check_size(&self, device: Device) -> Result<()> {
        memory::check(self.bytes)?;
        if self.need(device) > memory::limit() {
            return Err(memory::refusal(self.bytes, self.on_the_way(device)));
        }
        self.check_count(device)
    }

    fn here(&self, error: Error) -> Error {
        error.at(&self.context.op, &self.context.inputs)
    }

    /// Refuses more elements than MLX counts on the device.
    pub(crate) fn check_count(&self, device: Device) -> Result<()> {
        ops::check_count(self.elements, device)
    }
}

fn block(region: &Region, program: &Program) -> Result<Block> {
    let nodes = region.nodes.iter().map(|node| {
        let work = match &node.step {
            Step::Op { op, operands } => {
                let types = |ids: &[Id]| ids.iter().map(|&id| program.ty(id).clone()).collect();
                let context = Context {
                    op: (**op).clone(),
                    inputs: types(operands),
                    worker: None,
                };
                Work::Op {
                    call: Arc::new(call(context, types(&node.results))?),
                    operands: operands.clone(),
                }
            }
            Step::If {
                predicate,
                then,
                otherwise,
            } => Work::If {
                predicate: *predicate,
                then: block(then, program)?,
                otherwise: block(otherwise, program)?,
            },
            Step::While {
                initial,
                state,
                condition,
                body,
            } => Work::While {
                initial: initial.clone(),
                state: state.clone(),
                condition: block(condition, program)?,
                body: block(body, program)?,
            },
        };
        Ok(Planned {
            results: node.results.clone(),
            work,
            drops: Vec::new(),
        })
    });
    Ok(Block {
        nodes: nodes.collect::<Result<_>>()?,
        results: region.results.clone(),
        own: Vec::new(),
    })
}

fn call(context: Context, results: Vec<TensorType>) -> Result<Call> {
    let size = |sum: usize, ty: &TensorType| Ok(sum.saturating_add(ty.byte_size()?));
    let on_the_way = |device| ops::on_the_way(&context.op, device, &context.inputs, &results);
    let on_the_way = OnDevice {
        cpu: on_the_way(Device::Cpu)?,
        gpu: on_the_way(Device::Gpu)?,
    };
    let products = ops::products(&context.op, &context.inputs, &results);
    let elements = match Layout::of(&context.op) {
        Layout::View => 0,
        Layout::Fresh | Layout::Either => {
            let mut types = context.inputs.iter().chain(&results);
            types.try_fold(0, |most: usize, ty| Ok(most.max(ty.shape.size()?)))?
        }
    };
    Ok(Call {
        bytes: results.iter().try_fold(0, size)?,
        on_the_way,
        products,
        elements,
        results,
        context: Arc::new(context),
    })
}
