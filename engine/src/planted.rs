//! Faults that tests plant, to see that the soak finds them.
//!
//! They are there with the feature `planted` only, and even then none strikes before it is asked for. A NIF
//! does not compile with that feature: `nif/src/lib.rs` asserts that [`PLANTED`] is false.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether faults can be planted.
pub const PLANTED: bool = cfg!(feature = "planted");

/// A mistake in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes of one read in a thousand are never let go.
    Leak,
    /// One read or evaluation in a thousand is never answered.
    LostReply,
    /// An operand of another worker is used as it is, without waiting for it.
    Race,
}

#[cfg(feature = "planted")]
impl Fault {
    /// One of so many occasions is struck.
    const fn every(self) -> usize {
        match self {
            Fault::Leak | Fault::LostReply => 1000,
            Fault::Race => 1,
        }
    }

    fn occasions(self) -> &'static AtomicUsize {
        static OCCASIONS: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
        &OCCASIONS[self as usize]
    }

    /// Plants it, for the rest of the process's life.
    pub fn plant(self) {
        self.occasions().store(1, Ordering::SeqCst);
    }
}

/// Whether the fault happens on this occasion.
#[cfg(feature = "planted")]
pub(crate) fn strikes(fault: Fault) -> bool {
    let occasions = fault.occasions();
    // 0 is not planted.
    occasions.load(Ordering::SeqCst) > 0
        && occasions.fetch_add(1, Ordering::SeqCst) % fault.every() == 0
}

/// It never does.
#[cfg(not(feature = "planted"))]
pub(crate) const fn strikes(_: Fault) -> bool {
    false
}
