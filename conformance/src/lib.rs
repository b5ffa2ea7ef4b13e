//! The judge: replays every case on every layer that can run, and compares the answers.
//!
//! [`case`] reads `fixtures/`, [`sweep`] expands what is written in few words, [`layer`] runs ops,
//! [`judge`] holds the answers against the reference by [`compare`] and against the [`ledger`] of
//! known differences, [`run`] holds it all together for the test runner, and [`report`] says what
//! came of it.
//!
//! **Architecture invariant:** only [`compare`] compares floats.
#![deny(clippy::wildcard_enum_match_arm)]
#![forbid(unsafe_code)]

#[cfg(test)]
mod attributes;
pub mod case;
pub mod codegen_elixir;
pub mod compare;
pub mod exam;
pub mod exhaust;
pub mod fixtures;
pub mod fuzz;
pub mod gradients;
pub mod judge;
pub mod layer;
pub mod ledger;
pub mod literal;
pub mod mutants;
pub mod number;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod run;
pub mod slices;
pub mod sweep;
pub mod tally;
pub mod values;
pub mod view;
