//! Turns at handing graphs to MLX on the CPU: as many at once as there are cores.
//!
//! MLX holds an evaluating thread back while more than ten tasks are active, counted over all
//! streams of the process. More threads than cores that evaluate at once do little but wake each
//! other up: with eight on two cores, half of the time goes there.

use std::sync::{LazyLock, PoisonError};
use std::time::Duration;

use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::transforms;

use crate::Device;
use crate::worker::sync::{Condvar, Mutex, MutexGuard};

/// Nobody waits longer for a turn. It is a courtesy, not a lock: while other workers hand over ops
/// that take seconds each, a small one still goes ahead.
const PATIENCE: Duration = Duration::from_millis(5);

static TURNS: LazyLock<Turns> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism();
    Turns::new(cores.map_or(1, std::num::NonZero::get))
});

/// Starts the computation of lazy arrays, and returns once MLX has the graph.
///
/// # Errors
/// What MLX reports of the graph.
pub(crate) fn start(arrays: &[Array], device: Device) -> Result<()> {
    let _turn = match device {
        Device::Cpu => Some(TURNS.take(PATIENCE)),
        Device::Gpu => None,
    };
    transforms::async_eval(arrays)
}

/// Room for a number of threads at once.
pub(super) struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A thread's turn, which ends when this is dropped; one that did not get any goes ahead without.
pub(super) struct Turn<'a>(Option<&'a Turns>);

impl Turns {
    pub(super) fn new(count: usize) -> Turns {
        Turns {
            free: Mutex::new(count),
            given_back: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing under the lock can panic.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, patience: Duration) -> Turn<'_> {
        let (mut free, _) = self
            .given_back
            .wait_timeout_while(self.lock(), patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            return Turn(None);
        }
        *free -= 1;
        Turn(Some(self))
    }
}

#[cfg(test)]
impl Turn<'_> {
    pub(super) fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(turns) = self.0 {
            *turns.lock() += 1;
            turns.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_comes_back_when_it_is_dropped() {
        let turns = Turns::new(1);
        drop(turns.take(Duration::ZERO));
        assert_eq!(*turns.lock(), 1);
    }

    #[test]
    fn a_turn_is_waited_for() {
        let turns = Turns::new(1);
        let turn = turns.take(Duration::ZERO);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| turns.take(Duration::from_secs(3600)).is_held());
            drop(turn);
            assert!(waiter.join().unwrap());
        });
        assert_eq!(*turns.lock(), 1);
    }

    #[test]
    fn who_gets_none_goes_ahead() {
        let turns = Turns::new(1);
        let _held = turns.take(Duration::ZERO);
        let without = turns.take(Duration::from_millis(1));
        assert!(!without.is_held());
        drop(without);
        assert_eq!(*turns.lock(), 0);
    }
}
