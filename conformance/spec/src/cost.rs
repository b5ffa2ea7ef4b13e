//! What a call costs, before it runs.

use crate::{DType, Result, TensorType};

/// An estimate of a call's cost, from its op, attributes and types alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The most bytes that are in use beside operands and results at any time: nearly all that is made on
    /// the way, as MLX allocates ahead of the kernels that write and let go.
    pub temporaries: u64,
}

/// What an op costs, in terms of its types.
///
/// The numbers are measured: `engine/tests/cost.rs` makes large calls of each op and holds MLX's own counter against
/// what its price says. That may not be less than is held, nor always more than four times as much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Buffers of the results' size that are in use beside them, at four bytes an element or the
    /// result's own, whichever is more: narrow floats are computed in `f32`.
    pub temporaries: u64,
    /// The same of complex results, which some ops put together of parts.
    pub complex: u64,
}

impl Price {
    /// So many buffers, whether results are complex or not.
    pub const fn each(buffers: u64) -> Price {
        Price {
            temporaries: buffers,
            complex: buffers,
        }
    }

    /// A view or a copy.
    pub const MOVE: Price = Price::each(1);
    /// One machine operation an element.
    pub const SIMPLE: Price = Price::each(2);
    /// A library's function of each element.
    pub const FUNCTION: Price = Price::each(4);
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

/// The bytes of an element in what it is computed in, as wide as the widest of these.
fn width(types: &[TensorType]) -> u64 {
    types
        .iter()
        .map(|ty| ty.dtype.size().max(4))
        .max()
        .unwrap_or(4) as u64
}

/// So many buffers of this tensor's size, in what it is computed in.
pub(crate) fn buffers(ty: &TensorType, count: u64) -> Result<u64> {
    let elements = ty.shape.size()? as u64;
    Ok(elements
        .saturating_mul(width(std::slice::from_ref(ty)))
        .saturating_mul(count))
}

/// What exact products of integers hold: per operand its limbs of 16 bits as `u64` and as `f64`, per
/// pair of limbs a product in both; nothing for other dtypes.
pub(crate) fn limbs(dtype: DType, operands: u64, results: u64) -> u64 {
    if !dtype.is_integer() {
        return 0;
    }
    let limbs = dtype.size().div_ceil(2) as u64;
    let pairs = limbs * (limbs + 1) / 2;
    let operands = operands.saturating_mul(8 + 24 * limbs);
    operands.saturating_add(results.saturating_mul(32 * pairs))
}

/// What casts of wide integers to small floats hold, which are put together of parts to round once.
fn casts(inputs: &[TensorType], results: &[TensorType]) -> Result<u64> {
    if !results.iter().any(|ty| ty.dtype.is_small_float()) {
        return Ok(0);
    }
    let wide = inputs
        .iter()
        .filter(|ty| ty.dtype.is_integer() && ty.dtype.size() >= 4);
    wide.map(|ty| Ok((ty.shape.size()? as u64).saturating_mul(12 * 4)))
        .try_fold(0u64, |sum, bytes: Result<u64>| {
            Ok(sum.saturating_add(bytes?))
        })
}

impl Price {
    /// As [`Price::cost_of`], with buffers of the operands' size: the results are small.
    pub(crate) fn cost_of_operands(
        self,
        inputs: &[TensorType],
        results: &[TensorType],
    ) -> Result<Cost> {
        let width = width(inputs).max(width(results));
        Ok(Cost {
            temporaries: largest(inputs)?
                .saturating_mul(width)
                .saturating_mul(self.buffers(inputs)),
        })
    }

    /// How many buffers there are.
    pub(crate) fn buffers(self, types: &[TensorType]) -> u64 {
        match types.iter().any(|ty| ty.dtype.is_complex()) {
            true => self.complex,
            false => self.temporaries,
        }
    }

    /// The cost of a call with these operands and results.
    pub(crate) fn cost_of(self, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let dtype = |ty: &TensorType| ty.dtype;
        let of_one_dtype = inputs
            .iter()
            .map(dtype)
            .all(|d| results.iter().all(|ty| ty.dtype == d));
        // Integers among themselves stay as narrow as they are.
        let width = match results.iter().map(dtype).max_by_key(|dtype| dtype.size()) {
            Some(dtype) if of_one_dtype && dtype.is_integer() => dtype.size() as u64,
            _ => width(results),
        };
        let buffers = self.buffers(results);
        Ok(Cost {
            temporaries: largest(results)?
                .saturating_mul(width)
                .saturating_mul(buffers)
                .saturating_add(casts(inputs, results)?),
        })
    }
}
