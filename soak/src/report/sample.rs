//! A report to try things on.

use super::{Report, machine};
use crate::budget::Budgets;
use crate::judge::judge;
use crate::metric::Metric;
use crate::record::{Begin, End, Fault, Layer, Record, Sample};

/// A memory run at a level of tensor memory that grows by so much in an iteration, on each layer; that
/// of the BEAM has a fault of this text.
///
/// # Errors
/// When the budgets cannot be read.
pub fn report(level: f64, slope: f64, fault: &str) -> anyhow::Result<Report> {
    let budgets = Budgets::load()?;
    let run = |layer| judge(&record(layer, level, slope, fault), &budgets);
    Ok(Report {
        machine: machine(),
        runs: vec![run(Layer::Engine)?, run(Layer::Beam)?],
        not_run: vec!["a GPU: there is none".to_owned()],
    })
}

fn record(layer: Layer, level: f64, slope: f64, fault: &str) -> Record {
    let sample = |i: u32| {
        // A spread of some bytes about the line.
        let noise = f64::from(i * 7 % 5);
        let iteration = 10 * i;
        Sample {
            iteration: iteration.into(),
            seconds: f64::from(i) / 10.0,
            done: f64::from(i) / 100.0,
            values: [
                (Metric::Active, level + noise + slope * f64::from(iteration)),
                (Metric::P50, 100.0 + noise),
            ]
            .into(),
        }
    };
    let fault = Fault {
        text: fault.to_owned(),
    };
    Record {
        begin: Begin {
            harness: "memory".to_owned(),
            layer,
            device: "cpu".to_owned(),
        },
        samples: (0..100).map(sample).collect(),
        faults: (layer == Layer::Beam)
            .then_some(fault)
            .into_iter()
            .collect(),
        end: Some(End {
            iterations: 1000,
            seconds: 10.0,
            asked: 1000,
            answered: 1000,
            left: [(Metric::Active, 0.0)].into(),
        }),
    }
}
