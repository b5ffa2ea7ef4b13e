//! The soak: what leaks, waits or is lost only after thousands of iterations.
//!
//! A [`harness`] does the same work again and again in a process of its own and tells what it measures as
//! a [`record`]; [`judge`] holds the [`fit`] of each [`metric`] against its [`budget`], and [`report`] shows
//! the curves. [`drift`] compares reports. On the BEAM harnesses are ExUnit tests, in
//! `elixir/test/soak`, which tell the same and are judged here too.
//!
//! **Architecture invariant:** who measures does not judge.
#![forbid(unsafe_code)]

pub mod budget;
pub mod drift;
pub mod driver;
pub mod fit;
pub mod harness;
pub mod judge;
pub mod live;
pub mod metric;
pub mod process;
pub mod record;
pub mod report;
