//! The places of the stack that a wrong layer can take.

use emily_spec::{DType, Error, Op, Result, Tensor};

use crate::layer::{self, Absent, Layer, Oracle, Question, Raised, Reference};
use crate::view::Input;

/// The layers that an op's answer passes, whose places a wrong one can take.
pub const EVERYWHERE: &[&str] = &["native", "nif", "backend", "compiler"];

/// Those that are asked what Nx cannot say.
pub const BELOW_NX: &[&str] = &["native", "nif"];

/// A way to answer a call.
pub type Answers<'a> = dyn Fn(&Op, &[Input]) -> Result<Vec<Tensor>> + Sync + 'a;

/// A way to answer what the gradients of a call are, by these operands, of results with these weights.
pub type Gradients<'a> =
    dyn Fn(&Op, &[Input], &[usize], &[Tensor]) -> Result<Vec<Tensor>> + Sync + 'a;

/// Other answers in a layer's place.
#[derive(Clone, Copy)]
pub struct StandIn<'a> {
    place: &'a dyn Layer,
    answers: &'a Answers<'a>,
    gradients: &'a Gradients<'a>,
}

impl<'a> StandIn<'a> {
    /// The oracle in the layer's place.
    pub fn healthy(place: &'a dyn Layer) -> StandIn<'a> {
        StandIn {
            place,
            answers: &|op, inputs| Oracle.run(op, inputs),
            gradients: &|op, inputs, wrt, weights| Oracle.gradients(op, inputs, wrt, weights),
        }
    }

    /// These results in the layer's place.
    pub fn answering(place: &'a dyn Layer, answers: &'a Answers<'a>) -> StandIn<'a> {
        StandIn {
            answers,
            ..StandIn::healthy(place)
        }
    }

    /// These gradients in the layer's place.
    pub fn differentiating(place: &'a dyn Layer, gradients: &'a Gradients<'a>) -> StandIn<'a> {
        StandIn {
            gradients,
            ..StandIn::healthy(place)
        }
    }
}

impl Layer for StandIn<'_> {
    fn name(&self) -> &'static str {
        self.place.name()
    }

    fn device(&self) -> &'static str {
        self.place.device()
    }

    fn reference(&self) -> Reference {
        self.place.reference()
    }

    fn has(&self, dtype: DType) -> bool {
        self.place.has(dtype)
    }

    fn takes(&self, question: &Question<'_>) -> bool {
        self.place.takes(question)
    }

    fn raised<'e>(&self, error: &'e Error) -> Option<Raised<'e>> {
        self.place.raised(error)
    }

    fn abstains(&self, error: &Error) -> bool {
        self.place.abstains(error)
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        (self.answers)(op, inputs)
    }

    fn gradients(
        &self,
        op: &Op,
        inputs: &[Input],
        wrt: &[usize],
        weights: &[Tensor],
    ) -> Result<Vec<Tensor>> {
        (self.gradients)(op, inputs, wrt, weights)
    }
}

/// A layer's place, above the layer that it is judged against.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The layer.
    pub layer: &'a dyn Layer,
    judge: Option<&'a dyn Layer>,
}

impl<'a> Place<'a> {
    /// What it is judged against beside the oracle: healthy.
    pub fn below(&self) -> Vec<StandIn<'a>> {
        self.judge.into_iter().map(StandIn::healthy).collect()
    }
}

/// The places of all layers on the CPU; none of them is started.
pub struct Places {
    layers: Vec<Box<dyn Layer>>,
}

impl Default for Places {
    fn default() -> Places {
        let mut layers = layer::all();
        layers.retain(|layer| layer.device() == "cpu");
        Places { layers }
    }
}

impl Places {
    /// The place of the layer of this name.
    pub fn find(&self, name: &str) -> Option<Place<'_>> {
        let named = |name: &str| {
            let mut layers = self.layers.iter();
            layers
                .find(|layer| layer.name() == name)
                .map(|layer| &**layer)
        };
        let layer = named(name)?;
        let judge = match layer.reference() {
            Reference::Layer(below) | Reference::OracleAnd(below) => named(below),
            Reference::Literals | Reference::Oracle | Reference::Differences => None,
        };
        Some(Place { layer, judge })
    }
}
