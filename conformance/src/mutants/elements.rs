//! What may be lost of a result on its way.

use emily_spec::{Class, DType, Error, ErrorKind, Judged, Range, Result, Row, Tensor, TensorType};

use super::group::speaks_of_operands;
use super::{Group, Idea, Reason};
use crate::number::{self, Format};

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The last element is never written.
    LastElement,
    /// −0 is +0.
    SignOfZero,
    /// NaN is 0.
    Nan,
    /// The dtype is another one of the same size.
    DType,
}

impl Loss {
    pub(super) const ALL: [Loss; 4] = [Loss::LastElement, Loss::SignOfZero, Loss::Nan, Loss::DType];

    pub(super) const fn idea(self) -> Idea {
        match self {
            Loss::LastElement => Idea::LastElement,
            Loss::SignOfZero => Idea::SignOfZero,
            Loss::Nan => Idea::Nan,
            Loss::DType => Idea::DType,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Loss::LastElement => "last_element_stale",
            Loss::SignOfZero => "sign_of_zero_lost",
            Loss::Nan => "nan_swallowed",
            Loss::DType => "result_dtype_wrong",
        }
    }

    pub(super) fn equivalent(self, row: &Row, group: Group) -> Option<Reason> {
        let real = group != Group::Complex;
        let integers = group == Group::Integers || speaks_of_operands(row);
        match self {
            Loss::LastElement | Loss::DType => None,
            Loss::SignOfZero | Loss::Nan if integers => Some("results are integers"),
            Loss::SignOfZero | Loss::Nan if row.range == Range::Counts => {
                Some("results are counts")
            }
            Loss::Nan if row.range == Range::Finite => Some("results are finite"),
            Loss::SignOfZero if real && row.range == Range::NonNegative => {
                Some("no result is below zero")
            }
            Loss::SignOfZero if real && row.range == Range::NoNegativeZero => {
                Some("no result is −0")
            }
            // A complex number's is an f32.
            Loss::SignOfZero if row.range == Range::Angles && group == Group::SmallFloats => {
                Some("no real number's angle is −0")
            }
            Loss::SignOfZero if row.range == Range::Sums => Some("sums start from +0"),
            Loss::SignOfZero if group.is_within(row.open_zero) => {
                Some("the definition leaves a zero's sign open")
            }
            Loss::SignOfZero | Loss::Nan if matches!(row.judged, Judged::Promise { .. }) => {
                Some("the op promises finite residuals, not elements")
            }
            Loss::SignOfZero | Loss::Nan => None,
        }
    }

    /// The result without it.
    pub(super) fn taken_from(self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Loss::LastElement => {
                let mut all: Vec<u64> = number::elements(tensor).collect();
                if let Some(last) = all.last_mut() {
                    *last = !*last & (u64::MAX >> (64 - 8 * tensor.dtype().size()));
                }
                rebuild(tensor.ty(), all)
            }
            Loss::SignOfZero => floats(tensor, |f, x| if x == f.sign() { 0 } else { x }),
            Loss::Nan => floats(tensor, |f, x| if f.is_nan(x) { 0 } else { x }),
            Loss::DType => {
                let dtype = same_size(tensor.dtype());
                let ty = TensorType::new(dtype, tensor.shape().clone());
                Tensor::new(ty, tensor.bytes().to_vec())
            }
        }
    }
}

fn same_size(dtype: DType) -> DType {
    let mut others = DType::ALL.into_iter().cycle().skip_while(|d| *d != dtype);
    others
        .find(|other| *other != dtype && other.size() == dtype.size())
        .unwrap_or(dtype)
}

/// Every float, and every part of a complex number, through `change`.
///
/// # Errors
/// None: there are as many as there were.
pub fn floats(tensor: &Tensor, change: impl Fn(Format, u64) -> u64) -> Result<Tensor> {
    let Some(format) = Format::of(tensor.dtype()) else {
        return Ok(tensor.clone());
    };
    let change = |x: u64| match tensor.dtype().class() {
        Class::Complex => {
            let [re, im] = number::parts(x);
            number::complex(change(format, re), change(format, im))
        }
        Class::Unsigned | Class::Signed | Class::Float => change(format, x),
    };
    rebuild(tensor.ty(), number::elements(tensor).map(change).collect())
}

/// The tensor of these elements.
///
/// # Errors
/// [`ErrorKind::Internal`] when they are not as many as the type has.
pub fn rebuild(ty: &TensorType, elements: Vec<u64>) -> Result<Tensor> {
    number::tensor(ty.clone(), elements)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a mistake lost elements"))
}
