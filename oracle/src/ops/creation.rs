//! Tensors from nothing.

use emily_spec::{Result, row_major_strides};

use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

/// Indices count as integers and are cast, so that a float beyond its digits is the rounded index.
pub(crate) fn iota(axis: Option<usize>, target: Target) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let strides = row_major_strides(shape);
    let values = (0..shape.size()?)
        .map(|position| match axis {
            Some(axis) => position / strides[axis] % shape[axis],
            None => position,
        })
        .map(|index| target.cast(Wide::Int(index as i128)))
        .collect();
    array::from_vec(shape, values)
}

#[cfg(test)]
mod tests {
    use emily_spec::{DType, ErrorKind, Op, Shape};

    use crate::testing::{fails, gives, values};
    use crate::value::Wide;

    fn iota(dtype: DType, shape: impl Into<Shape>, axis: Option<usize>) -> Op {
        Op::Iota {
            dtype,
            shape: shape.into(),
            axis,
        }
    }

    #[test]
    fn counts_along_an_axis_or_over_everything() {
        gives(&iota(DType::S32, [2, 3], None), &[], "s32[2,3] 0 1 2 3 4 5");
        gives(
            &iota(DType::S32, [2, 3], Some(0)),
            &[],
            "s32[2,3] 0 0 0 1 1 1",
        );
        gives(
            &iota(DType::F16, [2, 3], Some(1)),
            &[],
            "f16[2,3] 0 1 2 0 1 2",
        );
        gives(&iota(DType::C64, [2], None), &[], "c64[2] 0+0i 1+0i");
    }

    #[test]
    fn a_scalar_is_zero_and_an_empty_shape_stays_empty() {
        gives(&iota(DType::Bf16, [], None), &[], "bf16[] 0");
        gives(&iota(DType::U8, [0, 3], Some(1)), &[], "u8[0,3]");
        gives(&iota(DType::U8, [3, 0], Some(1)), &[], "u8[3,0]");
    }

    #[test]
    fn small_integers_wrap_and_floats_round_each_index() {
        let bytes = values(&iota(DType::S8, [300], None), &[]);
        assert_eq!(bytes[127..130], [127, -128, -127].map(Wide::Int));
        // bf16 has 8 digits: 257 and 259 are ties, to even.
        let brain = values(&iota(DType::Bf16, [300], None), &[]);
        assert_eq!(
            brain[256..261],
            [256.0, 256.0, 258.0, 260.0, 260.0].map(Wide::Float)
        );
    }

    #[test]
    fn a_shape_beyond_memory_is_an_error() {
        fails(
            &iota(DType::U8, [1 << 22, 1 << 21], None),
            &[],
            ErrorKind::Memory,
            "too large",
        );
    }
}
