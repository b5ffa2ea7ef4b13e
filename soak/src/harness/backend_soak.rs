//! Random calls of every op.

use emily_conformance::fuzz::{Specimen, calls};
use emily_conformance::view::Input;
use emily_engine::{Device, Handle, Worker};
use emily_spec::{ErrorKind, Op, ROWS, Result};

use super::{Tally, Work};

/// Random calls without end, of all ops in turn; the same in every run.
pub(crate) fn specimens() -> impl Iterator<Item = Specimen> {
    let mut ops: Vec<_> = ROWS.iter().map(|row| calls(row, SEED)).collect();
    // None of them ends.
    (0..ops.len()).cycle().filter_map(move |op| ops[op].next())
}

const SEED: u64 = 11;

/// The calls that are to come.
pub(super) struct BackendSoak {
    worker: Worker,
    calls: Box<dyn Iterator<Item = Specimen>>,
}

impl BackendSoak {
    pub(super) fn begin(device: Device) -> Result<BackendSoak> {
        Ok(BackendSoak {
            worker: super::worker(device)?,
            calls: Box::new(specimens()),
        })
    }

    /// Uploads the operands and submits.
    fn submit(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Handle>> {
        let operand = |input: &Input| {
            let base = &input.base;
            let base = self.worker.from_bytes(base.ty().clone(), base.bytes())?;
            input.views.iter().try_fold(base, |tensor, view| {
                // Views have one result.
                Ok(self.worker.apply(view, &[tensor])?.swap_remove(0))
            })
        };
        let operands = inputs.iter().map(operand).collect::<Result<Vec<_>>>()?;
        self.worker.apply(op, &operands)
    }
}

impl Work for BackendSoak {
    fn turn(&mut self, tally: &mut Tally) {
        let Some(call) = self.calls.next() else {
            return tally.fault("the calls ended");
        };
        let results = self.submit(&call.op, &call.inputs());
        tally.look(&self.worker);
        let replies = match results {
            Ok(results) => {
                let read = |result: &Handle| {
                    let reply = tally.ask(|reply| result.read_with(reply))?;
                    Some(reply.map(drop))
                };
                results.iter().filter_map(read).collect()
            }
            Err(error) => vec![Err(error)],
        };
        for error in replies.into_iter().filter_map(Result::err) {
            if !belongs(error.kind) {
                tally.fault(format!("a call of {}: {error}", call.op.row().name));
            }
        }
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}

/// Whether a random call may have this error: one that says what is wrong with it. Which calls have it is
/// what the conformance suite and its fuzzing judge.
const fn belongs(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Shape
        | ErrorKind::Dtype
        | ErrorKind::Argument
        | ErrorKind::Index
        | ErrorKind::Numeric => true,
        ErrorKind::Memory | ErrorKind::Device | ErrorKind::Stopped | ErrorKind::Internal => false,
    }
}
