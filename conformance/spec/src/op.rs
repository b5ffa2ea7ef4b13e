//! The vocabulary: one variant per operation, with Nx's names, Nx's meaning and typed attributes.
//!
//! An attribute named `dtype` is the result's dtype where Nx lets the caller choose one; operands
//! are cast to it before the operation. Absent, it is what Nx infers from the operands.

use serde::{Deserialize, Serialize};

use crate::{DType, Row, Shape};

/// One operation with its attributes, without its operands.
///
/// In text it is `{"op": "sum", "attrs": {"axes": [0]}}`; an op without attributes leaves `attrs`
/// out. Operands are documented in the op's [`Row`], result types by [`Op::infer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "op",
    content = "attrs",
    rename_all = "snake_case",
    deny_unknown_fields
)]
pub enum Op {
    /// Sum of two tensors; integers wrap.
    Add {
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// Quotient of two tensors, always floating: integers are cast to `f32` first.
    Divide {
        /// The result's dtype; the merged dtype made floating when absent.
        dtype: Option<DType>,
    },
    /// Remainder of truncated division: the sign is the dividend's, also for floats.
    Remainder {
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// Power; integer powers wrap, a negative integer exponent is a numeric error.
    Pow {
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// Nearest integral value, halves away from zero.
    Round,
    /// e to the power of each element.
    Exp,
    /// Complementary error function, 1 − erf(x), accurate for large x.
    Erfc,
    /// `u8` 1 where the operands are equal as numbers, whatever their dtypes; NaN equals nothing.
    Equal,
    /// Cast. Floats to integers truncate and wrap, NaN gives 0, infinities give the type's limits;
    /// complex to real drops the imaginary part.
    AsType {
        /// The result's dtype.
        dtype: DType,
    },
    /// Counts from 0 along an axis, or over the whole shape in row-major order.
    Iota {
        /// The result's dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
        /// The axis that counts; all of them, flattened, when absent.
        axis: Option<usize>,
    },
    /// Permutes axes: result axis `i` is operand axis `axes[i]`.
    Transpose {
        /// A permutation of the operand's axes.
        axes: Vec<usize>,
    },
    /// Repeats along new axes and along axes of size 1.
    Broadcast {
        /// The result's shape.
        shape: Shape,
        /// Where each operand axis goes; trailing alignment when absent.
        axes: Option<Vec<usize>>,
    },
    /// Joins tensors along an axis.
    Concatenate {
        /// The axis to join along.
        axis: usize,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// Takes from the second operand where the first is not zero, else from the third.
    Select {
        /// The result's dtype; the branches' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// A window of `lengths`, every `strides`-th element of it, from starts clamped so that it fits.
    Slice {
        /// The first index per axis. When absent the starts are operands 1 to rank, 0-d integers.
        starts: Option<Vec<i64>>,
        /// The window's size per axis, at least 1.
        lengths: Vec<usize>,
        /// The step per axis, at least 1.
        strides: Vec<usize>,
    },
    /// Sum over axes; small floats accumulate wide, integers wrap.
    Sum {
        /// The axes to reduce; all when absent.
        axes: Option<Vec<usize>>,
        /// Keep reduced axes with size 1.
        #[serde(default)]
        keep_axes: bool,
        /// The result's dtype; Nx's aggregate of the operand's when absent.
        dtype: Option<DType>,
    },
    /// Index of the largest element. NaN counts as the largest.
    Argmax {
        /// The axis to reduce; the flattened tensor when absent.
        axis: Option<usize>,
        /// Which of several equal elements wins.
        #[serde(default)]
        tie_break: TieBreak,
        /// Keep the reduced axis with size 1.
        #[serde(default)]
        keep_axis: bool,
        /// The result's integer dtype; `s32` when absent.
        dtype: Option<DType>,
    },
    /// Indices that sort along an axis, equal elements in their order; NaN is above everything.
    Argsort {
        /// The axis to sort along.
        axis: usize,
        /// Smallest or largest first.
        #[serde(default)]
        direction: Direction,
        /// The result's integer dtype; `s32` when absent.
        dtype: Option<DType>,
    },
    /// Sum of products over contracted axes, for each index of the batch axes. The result's axes
    /// are the batch axes, then the left operand's others, then the right's. Integers are exact.
    Dot {
        /// Axes of the left operand to sum over.
        contract_left: Vec<usize>,
        /// Leading axes of the left operand that pair up.
        #[serde(default)]
        batch_left: Vec<usize>,
        /// Axes of the right operand to sum over, in the left's order.
        contract_right: Vec<usize>,
        /// Leading axes of the right operand that pair up, in the left's order.
        #[serde(default)]
        batch_right: Vec<usize>,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    },
    /// Picks slices by index: the last axis of the second operand holds one index per axis in
    /// `axes`. An index out of range is an index error.
    Gather {
        /// The indexed axes of the first operand.
        axes: Vec<usize>,
    },
    /// A = Q·R with orthonormal columns in Q and R upper triangular, over the last two axes.
    Qr {
        /// The sizes of Q and R.
        #[serde(default)]
        mode: QrMode,
    },
}

/// Which of several equal elements wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieBreak {
    /// The lowest index.
    #[default]
    Low,
    /// The highest index.
    High,
}

/// The order of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

/// The sizes of a QR decomposition's factors for an m × n matrix, k = min(m, n).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrMode {
    /// Q is m × k, R is k × n.
    #[default]
    Reduced,
    /// Q is m × m, R is m × n.
    Complete,
}

impl Op {
    /// The name in case files, on the BEAM and in Nx.
    pub fn name(&self) -> &'static str {
        Row::of(self).name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_stable() {
        let sum: Op = serde_json::from_str(r#"{"op":"sum","attrs":{"axes":[0]}}"#).unwrap();
        let want = Op::Sum {
            axes: Some(vec![0]),
            keep_axes: false,
            dtype: None,
        };
        assert_eq!(sum, want);
        let round: Op = serde_json::from_str(r#"{"op":"round"}"#).unwrap();
        assert_eq!(round, Op::Round);
        assert_eq!(
            serde_json::to_string(&Op::Round).unwrap(),
            r#"{"op":"round"}"#
        );
    }

    #[test]
    fn unknown_attributes_are_errors() {
        let err = serde_json::from_str::<Op>(r#"{"op":"sum","attrs":{"axis":0}}"#).unwrap_err();
        assert!(err.to_string().contains("axis"), "{err}");
    }
}
