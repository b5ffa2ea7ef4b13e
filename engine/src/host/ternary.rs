//! Functions of three small tensors: an element of one or the other, and an element between two limits.
//!
//! As those of [`super::exact`] they are for what needs no graph.

use emily_spec::{DType, TensorType};

use super::exact::{Integer, Read, each, is_small, read};
use super::float::{Float, of_float};
use super::lanes::{larger, smaller};
use super::order::of_integer;
use super::walk::by_width;
use crate::mlx::{Element, Kernel, Operand};

/// The kernel of a choice by bytes that are zero or not, if there is one: the bits chosen, whatever they mean.
pub(super) fn select(inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let [by, on_true, on_false] = inputs else {
        return None;
    };
    let as_they_are = [on_true.dtype, on_false.dtype] == [ty.dtype; 2];
    let chosen = is_small(ty) && by.dtype == DType::U8 && as_they_are;
    chosen
        .then(|| by_width!(ty.dtype.size(), either(ty)))
        .flatten()
}

fn either<T: Integer>(ty: &TensorType) -> Option<Kernel> {
    let bits: Read<T> = |x, offset, step, to| itself(&x.as_bits(), offset, step, to);
    let none = T::default();
    let function = move |[by, a, b]: [T; 3]| if by == none { b } else { a };
    let kernel = each(ty, [T::reader(DType::U8)?, bits, bits], function);
    Some(Box::new(move |operands, place| {
        kernel(operands, place.into_bits())
    }))
}

/// The kernel of clipping at the result's dtype, if there is one: a limit where the element is equal to it.
pub(super) fn clip(inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    if !is_small(ty) || inputs.iter().any(|input| input.dtype != ty.dtype) {
        return None;
    }
    of_float!(ty.dtype, clip_float(ty)).or_else(|| of_integer!(ty.dtype, clip_integer(ty)))
}

fn clip_float<T: Float>(ty: &TensorType) -> Kernel {
    each(ty, [itself; 3], |all: [T; 3]| {
        let [x, min, max] = all.map(T::widen);
        T::narrow(smaller(max, larger(min, x)))
    })
}

fn clip_integer<T: Integer>(ty: &TensorType) -> Kernel {
    each(ty, [itself; 3], |[x, min, max]: [T; 3]| max.min(min.max(x)))
}

fn itself<T: Element>(x: &Operand<'_>, offset: i64, step: i64, to: &mut [T]) {
    read(x, offset, step, to, |x: T| x);
}

#[cfg(test)]
mod tests {
    use mlx_rs::Array;

    use super::*;
    use crate::mlx;

    #[test]
    fn what_is_not_zero_takes_from_the_first() {
        let by = Array::from_slice(&[0u8, 1, 255], &[3]);
        let a = Array::from_slice(&[1f32, f32::NAN, -0.0], &[3]);
        let b = Array::from_slice(&[5f32], &[1]);
        let types = [(DType::U8, 3), (DType::F32, 3), (DType::F32, 1)]
            .map(|(dtype, size): (DType, usize)| TensorType::new(dtype, [size]));
        let kernel = select(&types, &types[1]).expect("the host has it");
        let chosen = mlx::computed(&[by, a, b], &types[1], &*kernel).unwrap();
        let bits: Vec<u32> = chosen
            .as_slice::<f32>()
            .iter()
            .map(|x| x.to_bits())
            .collect();
        assert_eq!(bits, [5f32, f32::NAN, -0.0].map(f32::to_bits));
    }

    #[test]
    fn a_limit_stands_for_what_is_equal_to_it() {
        let ty = TensorType::new(DType::F32, [3]);
        let x = Array::from_slice(&[-0.0f32, f32::NAN, 7.0], &[3]);
        let min = Array::from_slice(&[0f32, 0.0, 9.0], &[3]);
        let max = Array::from_slice(&[1f32, 1.0, 8.0], &[3]);
        let types = [(); 3].map(|()| ty.clone());
        let kernel = clip(&types, &ty).expect("the host has it");
        let clipped = mlx::computed(&[x, min, max], &ty, &*kernel).unwrap();
        let clipped = clipped.as_slice::<f32>();
        assert_eq!(
            [clipped[0].to_bits(), clipped[2].to_bits()],
            [0, 8f32.to_bits()]
        );
        assert!(clipped[1].is_nan());
    }

    #[test]
    fn large_ones_and_other_dtypes_stay_with_mlx() {
        let of = |dtype, size: usize| TensorType::new(dtype, [size]);
        let has = |by: TensorType, x: TensorType| select(&[by, x.clone(), x.clone()], &x).is_some();
        assert!(has(of(DType::U8, 9), of(DType::C64, 9)));
        assert!(!has(of(DType::S64, 9), of(DType::F32, 9)));
        assert!(!has(of(DType::U8, 5000), of(DType::F32, 5000)));
    }
}
