//! What a call costs, before it runs.

use crate::{Result, TensorType};

/// An estimate of a call's cost, from its op, attributes and types alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Scalar operations: an addition is one, a transcendental function some twenty.
    pub work: u64,
    /// Bytes read from operands and written to results.
    pub moved: u64,
    /// The most bytes that are in use beside operands and results at any time.
    pub temporaries: u64,
}

/// What an op costs, in terms of its types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Scalar operations per element of the larger of operands and results.
    pub work: u64,
    /// Buffers of the results' size that are in use beside them, at four bytes an element or the
    /// result's own, whichever is more: narrow floats are computed in `f32`.
    pub temporaries: u64,
}

impl Price {
    /// A view or a copy.
    pub const MOVE: Price = Price {
        work: 1,
        temporaries: 1,
    };
    /// One machine operation an element.
    pub const SIMPLE: Price = Price {
        work: 1,
        temporaries: 2,
    };
    /// A library's function of each element.
    pub const FUNCTION: Price = Price {
        work: 20,
        temporaries: 4,
    };
}

/// The number of elements of the largest of these.
pub(crate) fn largest(types: &[TensorType]) -> Result<u64> {
    types
        .iter()
        .try_fold(0, |most, ty| Ok(most.max(ty.shape.size()? as u64)))
}

/// The number of elements of these sizes; 1 for none.
pub(crate) fn count(sizes: impl IntoIterator<Item = usize>) -> u64 {
    let sizes = sizes.into_iter().map(|size| size as u64);
    sizes.fold(1, u64::saturating_mul)
}

/// The bytes of all of these.
pub(crate) fn bytes(types: &[TensorType]) -> Result<u64> {
    types.iter().try_fold(0u64, |sum, ty| {
        Ok(sum.saturating_add(ty.byte_size()? as u64))
    })
}

impl Price {
    /// The cost of a call with these operands and results.
    pub(crate) fn of(self, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let elements = largest(inputs)?.max(largest(results)?);
        let width = results
            .iter()
            .map(|ty| ty.dtype.size().max(4))
            .max()
            .unwrap_or(4) as u64;
        Ok(Cost {
            work: elements.saturating_mul(self.work),
            moved: bytes(inputs)?.saturating_add(bytes(results)?),
            temporaries: largest(results)?
                .saturating_mul(width)
                .saturating_mul(self.temporaries),
        })
    }
}
