//! Layers: the ways to run an op, each judged against another one.
//!
//! A new layer implements [`Layer`] and joins [`all`], after the layers it builds on.

use std::collections::HashMap;

use emily_spec::{Error, ErrorKind, Op, Result, Tensor, TensorType};

use crate::compare::Form;
use crate::plan::Call;
use crate::view::Input;

mod beam;
mod native;
mod oracle;

pub use beam::{ModelQuestion, Models, Peer, beam, peer, request};
pub use native::Native;
pub use oracle::Oracle;

/// A way to run ops.
pub trait Layer: Send + Sync {
    /// The first part of its trials' names.
    fn name(&self) -> &'static str;

    /// The layer by whose name cases say that they are for it.
    fn asked_as(&self) -> &'static str {
        self.name()
    }

    /// Whether it is a backend that is no part of Emily. Such a one owes Nx's meaning, and neither an
    /// error nor its words: where the contract has one, an exception of its own is right, and an answer
    /// is its own matter.
    fn is_foreign(&self) -> bool {
        false
    }

    /// What its QR owes beside the product: Nx promises no zeros below the diagonal, and no signs.
    fn form(&self) -> Form {
        Form::Exact
    }

    /// What the command line needs to have it, with a blank before it.
    fn flags(&self) -> String {
        String::new()
    }

    /// `cpu` or `gpu`.
    fn device(&self) -> &'static str {
        "cpu"
    }

    /// What its answers are judged against.
    fn reference(&self) -> Reference;

    /// Whether it has the dtype at all; a trial that needs another one is not planned.
    fn has(&self, dtype: emily_spec::DType) -> bool {
        let _ = dtype;
        true
    }

    /// Whether it is asked this call at all; one that it is not asked is left out.
    fn takes(&self, question: &Question<'_>) -> bool {
        let _ = question;
        true
    }

    /// The exception that an error was, of a layer whose users see exceptions and no kinds.
    fn raised<'e>(&self, error: &'e Error) -> Option<Raised<'e>> {
        let _ = error;
        None
    }

    /// Whether this error says that the layer has no answer, rather than that there is none. Such a
    /// call is left out.
    fn abstains(&self, error: &Error) -> bool {
        let _ = error;
        false
    }

    /// Whether it can run here.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn available(&self) -> std::result::Result<(), Absent>;

    /// The versions of what runs there, by name, where the report does not know them anyway.
    fn versions(&self) -> HashMap<String, String> {
        HashMap::new()
    }

    /// Runs the op. Operands are built from their bases by their views, where the layer knows
    /// strides.
    ///
    /// # Errors
    /// The op's.
    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>>;

    /// Runs several calls, one after the other as far as anybody can tell: an answer for each. A layer
    /// that is far away is asked once for all of them.
    fn run_all(&self, calls: &[&Call]) -> Vec<Result<Vec<Tensor>>> {
        let each = calls.iter();
        each.map(|call| caught(|| self.run(&call.op, &call.inputs)))
            .collect()
    }

    /// The gradients by the operands in `wrt` of the sum of all results' elements, each times its
    /// weight; there is a tensor of weights for each result.
    ///
    /// # Errors
    /// The op's; [`ErrorKind::Internal`] of a layer that is not judged by
    /// [`Reference::Differences`].
    fn gradients(
        &self,
        op: &Op,
        inputs: &[Input],
        wrt: &[usize],
        weights: &[Tensor],
    ) -> Result<Vec<Tensor>> {
        let _ = (op, inputs, wrt, weights);
        Err(Error::new(
            ErrorKind::Internal,
            format!("{} knows no gradients", self.name()),
        ))
    }
}

/// An exception of Elixir's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised<'a> {
    /// Its module, `ArgumentError`.
    pub module: &'a str,
    /// Its message, and its trace.
    pub text: &'a str,
}

/// A call that a layer may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The op.
    pub op: &'a Op,
    /// Its operands' types.
    pub types: &'a [TensorType],
    /// Whether a sweep made it; else it is a fact that somebody wrote down.
    pub generated: bool,
    /// The operands; absent while trials are only planned.
    pub inputs: Option<&'a [Input]>,
}

/// What a layer's answers are judged against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Nothing but literal answers: this is the oracle, which decides the rest.
    Literals,
    /// The literal answer, else the oracle, within the op's tolerance.
    Oracle,
    /// The same, and another layer's answers on the CPU, within the same tolerance, where that layer
    /// has one and the ledger records no difference of its own.
    OracleAnd(&'static str),
    /// Another layer's answers on the same device, to the bit.
    Layer(&'static str),
    /// Its gradients are judged: by the oracle's finite differences, within the row's tolerance.
    Differences,
}

/// Why a layer cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Why.
    pub reason: String,
    /// What would enable it.
    pub remedy: String,
}

/// Every layer on every device, from the lowest up.
pub fn all() -> Vec<Box<dyn Layer>> {
    let mut layers: Vec<Box<dyn Layer>> = vec![
        Box::new(Oracle),
        Box::new(Native::cpu()),
        Box::new(Native::gpu()),
    ];
    layers.extend(beam());
    layers
}

/// What `run` gives; a panic is an error like any other.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    emily_spec::caught("layer", run)
}
