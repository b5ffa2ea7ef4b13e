//! What is done again and again: one file for each harness.

mod backend_concurrency;
mod backend_soak;
mod eval_concurrency;
mod lifecycle;
mod memory;
mod network;
mod quantized_memory;
mod stream_concurrency;
mod tally;
mod training;
mod zero_copy_roundtrip;

use std::fmt;
use std::str::FromStr;

use emily_engine::{Config, Device, Worker};
use emily_spec::Result;
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

use crate::record::Layer;

pub use tally::Tally;

/// A harness.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
pub enum Harness {
    /// Forward passes.
    Memory,
    /// Training steps.
    Training,
    /// Eight callers of one worker.
    BackendConcurrency,
    /// Eight callers who evaluate the same tensors at once.
    EvalConcurrency,
    /// Eight workers who share weights.
    StreamConcurrency,
    /// Random calls of every op.
    BackendSoak,
    /// Products with packed weights.
    QuantizedMemory,
    /// Uploads and reads.
    ZeroCopyRoundtrip,
    /// Workers and callers who come and go.
    Lifecycle,
    /// Batches and streams of `Nx.Serving`, on two nodes.
    Serving,
}

/// The state of a harness between iterations.
pub trait Work {
    /// One iteration. What goes wrong is told to the tally.
    fn turn(&mut self, tally: &mut Tally);

    /// The workers that hold something of what was done.
    fn workers(&self) -> Vec<&Worker>;
}

impl Harness {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Harness> {
        Harness::iter()
    }

    /// Whether it runs there.
    pub const fn runs_on(self, layer: Layer) -> bool {
        match self {
            Harness::Memory
            | Harness::Training
            | Harness::BackendConcurrency
            | Harness::EvalConcurrency
            | Harness::StreamConcurrency
            | Harness::BackendSoak
            | Harness::QuantizedMemory
            | Harness::ZeroCopyRoundtrip
            | Harness::Lifecycle => true,
            Harness::Serving => matches!(layer, Layer::Beam),
        }
    }

    /// What an iteration is, and what has to hold.
    pub const fn doc(self) -> &'static str {
        match self {
            Harness::Memory => "A forward pass and its read; nothing stays.",
            Harness::Training => {
                "A training step, forward and backward; the loss falls, and nothing stays but the weights."
            }
            Harness::BackendConcurrency => {
                "Eight callers infer on one worker at once; each result is the same to the bit as alone."
            }
            Harness::EvalConcurrency => {
                "Eight callers evaluate and read the same tensors at once; each has the same bits."
            }
            Harness::StreamConcurrency => {
                "Eight workers infer with the same weights, and with what their neighbours have yet to compute; the bits are the same as alone, and the weights are in memory once."
            }
            Harness::BackendSoak => {
                "A random call of an op, of all in turn; a value or the error that belongs there."
            }
            Harness::QuantizedMemory => "Packing weights, and products with them; nothing stays.",
            Harness::ZeroCopyRoundtrip => {
                "A tensor is uploaded and read; the bytes are its buffer, and keep it after the tensor is gone."
            }
            Harness::Lifecycle => {
                "Workers and callers come and go: with work undone, with reads given up, stopped under load, over the queue's bound, after a failure, out of memory. Every request is answered, and the next one too."
            }
            Harness::Serving => {
                "Nx.Serving under load, in batches and streams, on two nodes of which one comes and goes; every request is answered once, or fails with an error that says why."
            }
        }
    }

    /// Iterations where nobody asks for another number.
    pub const fn iterations(self) -> u64 {
        match self {
            Harness::Memory | Harness::BackendSoak | Harness::QuantizedMemory => 10_000,
            Harness::Lifecycle => 10_000,
            Harness::Training
            | Harness::BackendConcurrency
            | Harness::EvalConcurrency
            | Harness::StreamConcurrency
            | Harness::ZeroCopyRoundtrip
            | Harness::Serving => 1_000,
        }
    }

    /// Iterations after which all that a process makes once is there.
    pub(crate) const fn rehearsal(self) -> u64 {
        match self {
            Harness::Memory
            | Harness::Training
            | Harness::BackendConcurrency
            | Harness::EvalConcurrency
            | Harness::StreamConcurrency
            | Harness::QuantizedMemory
            | Harness::ZeroCopyRoundtrip
            | Harness::Serving => 8,
            // Each kind of turn, and each op, a few times.
            Harness::Lifecycle => 100,
            Harness::BackendSoak => 300,
        }
    }

    /// Its state at the beginning.
    ///
    /// # Errors
    /// When the device is not there, and where it does not run on the engine.
    pub(crate) fn begin(self, device: Device) -> Result<Box<dyn Work>> {
        Ok(match self {
            Harness::Memory => Box::new(memory::Memory::begin(device)?),
            Harness::Training => Box::new(training::Training::begin(device)?),
            Harness::BackendConcurrency => {
                Box::new(backend_concurrency::BackendConcurrency::begin(device)?)
            }
            Harness::EvalConcurrency => Box::new(eval_concurrency::EvalConcurrency::begin(device)?),
            Harness::StreamConcurrency => {
                Box::new(stream_concurrency::StreamConcurrency::begin(device)?)
            }
            Harness::BackendSoak => Box::new(backend_soak::BackendSoak::begin(device)?),
            Harness::QuantizedMemory => Box::new(quantized_memory::QuantizedMemory::begin(device)?),
            Harness::ZeroCopyRoundtrip => {
                Box::new(zero_copy_roundtrip::ZeroCopyRoundtrip::begin(device)?)
            }
            Harness::Lifecycle => Box::new(lifecycle::Lifecycle::begin(device)?),
            Harness::Serving => {
                return Err(emily_spec::Error::new(
                    emily_spec::ErrorKind::Argument,
                    "serving runs on the BEAM only; use --layer beam",
                ));
            }
        })
    }
}

/// So many random calls, of all ops in turn, as the conformance server is asked them. The harness of the
/// BEAM that makes them has them of this program.
pub fn request(count: usize, device: Device) -> Vec<u8> {
    let calls: Vec<_> = backend_soak::specimens().take(count).collect();
    let inputs: Vec<_> = calls.iter().map(|call| call.inputs()).collect();
    let calls: Vec<_> = calls
        .iter()
        .zip(&inputs)
        .map(|(call, inputs)| (&call.op, inputs.as_slice()))
        .collect();
    emily_conformance::layer::request("nif", device.name(), &calls)
}

/// A worker without `f64`.
fn worker(device: Device) -> Result<Worker> {
    Worker::start(Config { device, f64: false })
}

impl fmt::Display for Harness {
    /// The name in options, files and reports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.pad(name.as_str().unwrap_or_default())
    }
}

impl FromStr for Harness {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Harness> {
        Harness::all()
            .find(|harness| harness.to_string() == text)
            .ok_or_else(|| {
                let names: Vec<String> =
                    Harness::all().map(|harness| harness.to_string()).collect();
                anyhow::anyhow!(
                    "there is no harness {text:?}; there are {}",
                    names.join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beam_has_each_harness_and_its_share_of_the_minutes() {
        let elixir = concat!(env!("CARGO_MANIFEST_DIR"), "/../elixir/test");
        let read = |file: &str| std::fs::read_to_string(format!("{elixir}/{file}")).unwrap();
        let runner = read("support/soak.ex");
        let (_before, shares) = runner.split_once("@shares %{").unwrap();
        let (shares, _after) = shares.split_once('}').unwrap();
        let mut named: Vec<&str> = shares
            .split(',')
            .filter_map(|share| share.trim().split_once(':').map(|(name, _)| name))
            .collect();
        named.sort_unstable();
        let mut all: Vec<String> = Harness::all().map(|harness| harness.to_string()).collect();
        all.sort_unstable();
        assert_eq!(named, all);
        for name in all {
            let test = read(&format!("soak/{name}_test.exs"));
            assert!(test.contains(&format!("@tag soak: \"{name}\"")), "{name}");
        }
    }

    #[test]
    fn a_harness_is_found_by_its_name() {
        for harness in Harness::all() {
            assert_eq!(harness.to_string().parse::<Harness>().unwrap(), harness);
        }
        let error = "sleeping".parse::<Harness>().unwrap_err().to_string();
        assert!(error.contains("zero_copy_roundtrip"), "{error}");
    }
}
