//! Which trials to run.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use clap::builder::PossibleValuesParser;
use emily_spec::{DType, ROWS, Row};

/// Which trials to look at; an empty list means all.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only this layer: oracle native nx nif backend compiler grad slices, or on one device, as native@gpu. May be
    /// given again.
    #[arg(long = "layer", value_name = "LAYER")]
    pub layers: Vec<String>,
    /// Only this op. May be given again.
    #[arg(long = "op", value_name = "OP", value_parser = ops(), hide_possible_values = true)]
    pub ops: Vec<String>,
    /// Only cases read at this dtype. May be given again.
    #[arg(long = "dtype", value_name = "DTYPE", value_parser = dtypes())]
    pub dtypes: Vec<String>,
    /// Only on this device. May be given again.
    #[arg(long = "device", value_name = "DEVICE", value_parser = ["cpu", "gpu"])]
    pub devices: Vec<String>,
    /// Only part I of N of the ops, for a machine that is there for less time.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

fn ops() -> PossibleValuesParser {
    PossibleValuesParser::new(ROWS.iter().map(|row| row.name))
}

fn dtypes() -> PossibleValuesParser {
    PossibleValuesParser::new(DType::ALL.map(DType::name))
}

impl Filter {
    /// Whether trials of this dtype are run.
    pub fn takes_dtype(&self, name: &str) -> bool {
        takes(&self.dtypes, name)
    }

    /// Whether those of this op are.
    pub fn takes_op(&self, row: &Row) -> bool {
        takes(&self.ops, row.name) && self.shard.is_none_or(|shard| shard.takes(row))
    }

    /// Whether this layer's are, on this device.
    pub fn takes_layer(&self, name: &str, device: &str) -> bool {
        let layer = takes(&self.layers, name) || takes(&self.layers, &label(name, device));
        layer && takes(&self.devices, device)
    }
}

fn takes(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|entry| entry == name)
}

/// How reports name a layer on a device: `native`, `native@gpu`.
pub fn label(layer: &str, device: &str) -> String {
    match device {
        "cpu" => layer.to_owned(),
        _ => format!("{layer}@{device}"),
    }
}

/// `native@gpu` is the layer native.
pub fn without_device(label: &str) -> &str {
    label.split_once('@').map_or(label, |(layer, _)| layer)
}

/// One part of the suite of several: every `of`th op, so that an op's kernels are compiled in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    fn takes(self, row: &Row) -> bool {
        let place = ROWS.iter().position(|other| other.name == row.name);
        place.is_some_and(|place| place % self.of == self.index - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
            _ => Err("a shard is I/N, as 1/4: from 1/N to N/N".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_is_in_one_shard() {
        let shards = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().unwrap());
        for row in ROWS.iter() {
            let taking = shards.iter().filter(|shard| shard.takes(row));
            assert_eq!(taking.count(), 1, "{}", row.name);
        }
        for text in ["0/3", "4/3", "1/0", "1", "a/b", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
