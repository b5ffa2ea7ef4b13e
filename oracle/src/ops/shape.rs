//! Moving elements without computing on them.

use emily_spec::{Error, ErrorKind, Result, Shape};
use ndarray::{Axis, Zip};

use crate::array::{self, WideArray};
use crate::eval::Target;

pub(crate) fn transpose(input: &WideArray, axes: &[usize]) -> WideArray {
    input.view().permuted_axes(axes).to_owned()
}

pub(crate) fn broadcast(
    input: &WideArray,
    axes: Option<&[usize]>,
    target: Target,
) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let Some(axes) = axes else {
        return Ok(array::broadcast(input, shape)?.to_owned());
    };
    // The operand with size 1 at every axis that it does not name.
    let mut dims = vec![1; shape.rank()];
    for (&axis, &size) in axes.iter().zip(input.shape()) {
        dims[axis] = size;
    }
    let aligned = array::from_vec(&Shape::new(dims), input.iter().copied().collect())?;
    Ok(array::broadcast(&aligned, shape)?.to_owned())
}

pub(crate) fn concatenate(inputs: &[WideArray], axis: usize, target: Target) -> Result<WideArray> {
    let parts: Vec<_> = inputs
        .iter()
        .map(|part| part.mapv(|x| target.cast(x)))
        .collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(axis), &views)
        .map_err(|err| Error::new(ErrorKind::Internal, format!("joining along {axis}: {err}")))
}

/// Every predicate that is not zero takes from the second operand, NaN too.
pub(crate) fn select(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let pred = array::broadcast(&inputs[0], shape)?;
    let on_true = array::broadcast(&inputs[1], shape)?;
    let on_false = array::broadcast(&inputs[2], shape)?;
    Ok(Zip::from(&pred)
        .and(&on_true)
        .and(&on_false)
        .map_collect(|pred, &on_true, &on_false| {
            target.cast(if pred.is_zero() { on_false } else { on_true })
        }))
}

#[cfg(test)]
mod tests {
    use emily_spec::{DType, Op, Tensor, TensorType};

    use crate::run;
    use crate::testing::gives;

    fn broadcast<const R: usize>(shape: [usize; R], axes: Option<&[usize]>) -> Op {
        Op::Broadcast {
            shape: shape.into(),
            axes: axes.map(<[usize]>::to_vec),
        }
    }

    fn transpose(axes: &[usize]) -> Op {
        Op::Transpose {
            axes: axes.to_vec(),
        }
    }

    fn concatenate(axis: usize, dtype: Option<DType>) -> Op {
        Op::Concatenate { axis, dtype }
    }

    const SELECT: Op = Op::Select { dtype: None };

    #[test]
    fn result_axis_i_is_operand_axis_i_of_the_permutation() {
        gives(
            &transpose(&[1, 0]),
            &["s8[2,3] 1 2 3 4 5 6"],
            "s8[3,2] 1 4 2 5 3 6",
        );
        gives(
            &transpose(&[2, 0, 1]),
            &["u8[1,2,3] 1 2 3 4 5 6"],
            "u8[3,1,2] 1 4 2 5 3 6",
        );
        gives(&transpose(&[]), &["f64[] 1.5"], "f64[] 1.5");
        gives(&transpose(&[1, 0]), &["f32[0,3]"], "f32[3,0]");
    }

    #[test]
    fn moving_elements_moves_their_bytes() {
        let ty = TensorType::new(DType::F32, [2, 1]);
        let bits: Vec<u8> = [0x7f80_0001u32, 0xffc1_2345]
            .iter()
            .flat_map(|bits| bits.to_le_bytes())
            .collect();
        let nans = Tensor::new(ty, bits.clone()).unwrap();
        let moves = [
            transpose(&[1, 0]),
            broadcast([2, 1], None),
            concatenate(0, None),
        ];
        for op in moves {
            let answers = run(&op, std::slice::from_ref(&nans)).unwrap();
            assert_eq!(answers[0].tensor.bytes(), bits, "{}", op.name());
        }
    }

    #[test]
    fn broadcasting_repeats_along_new_axes_and_ones() {
        gives(&broadcast([2, 2], None), &["u8[2] 1 2"], "u8[2,2] 1 2 1 2");
        gives(
            &broadcast([2, 2], None),
            &["u8[2,1] 1 2"],
            "u8[2,2] 1 1 2 2",
        );
        gives(
            &broadcast([3], None),
            &["c64[] 1-2i"],
            "c64[3] 1-2i 1-2i 1-2i",
        );
        gives(&broadcast([0, 2], None), &["u8[1,2] 1 2"], "u8[0,2]");
    }

    #[test]
    fn named_axes_say_where_operand_axes_go() {
        gives(
            &broadcast([2, 3], Some(&[0])),
            &["u8[2] 1 2"],
            "u8[2,3] 1 1 1 2 2 2",
        );
        gives(
            &broadcast([2, 3], Some(&[1])),
            &["u8[1] 7"],
            "u8[2,3] 7 7 7 7 7 7",
        );
        gives(
            &broadcast([2, 2, 2], Some(&[0, 2])),
            &["u8[2,2] 1 2 3 4"],
            "u8[2,2,2] 1 2 1 2 3 4 3 4",
        );
    }

    #[test]
    fn joined_tensors_follow_each_other_along_the_axis() {
        let parts = ["s16[2,1] 1 2", "s16[2,2] 3 4 5 6"];
        gives(&concatenate(1, None), &parts, "s16[2,3] 1 3 4 2 5 6");
        gives(
            &concatenate(0, None),
            &["f32[0,2]", "f32[1,2] 1 2"],
            "f32[1,2] 1 2",
        );
        gives(&concatenate(0, None), &["f32[0]", "f32[0]"], "f32[0]");
    }

    #[test]
    fn joining_casts_every_part_to_the_result() {
        gives(
            &concatenate(0, None),
            &["u8[1] 200", "s8[1] -1"],
            "s16[2] 200 -1",
        );
        gives(
            &concatenate(0, None),
            &["u64[1] 9223372036854775809", "s8[1] -1"],
            "s64[2] -9223372036854775807 -1",
        );
        gives(
            &concatenate(0, Some(DType::U8)),
            &["f32[2] -1.5 nan", "s16[1] 257"],
            "u8[3] 255 0 1",
        );
    }

    #[test]
    fn every_predicate_but_zero_is_true() {
        gives(
            &SELECT,
            &["f32[4] 0 -0.0 nan 0.5", "u8[] 1", "u8[] 2"],
            "u8[4] 2 2 1 1",
        );
        gives(
            &SELECT,
            &["c64[2] 0+1i 0-0i", "u8[] 1", "u8[] 2"],
            "u8[2] 1 2",
        );
    }

    #[test]
    fn a_scalar_predicate_takes_a_whole_branch() {
        gives(
            &SELECT,
            &["u8[] 0", "s32[2] 1 2", "s32[2,1] 3 4"],
            "s32[2,2] 3 3 4 4",
        );
        gives(
            &SELECT,
            &["u8[] 2", "s32[2] 1 2", "s32[2,1] 3 4"],
            "s32[2,2] 1 2 1 2",
        );
    }

    #[test]
    fn branches_are_cast_to_the_merged_dtype() {
        gives(
            &SELECT,
            &["u8[2] 1 0", "u8[] 255", "s8[] -1"],
            "s16[2] 255 -1",
        );
        gives(&SELECT, &["u8[0]", "f32[] 1", "f32[] 2"], "f32[0]");
    }
}
