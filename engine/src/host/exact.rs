//! Arithmetic and comparisons of small tensors, one instruction an element: integers, which wrap, and `f32`, which
//! rounds once.
//!
//! MLX computes large ones as fast, and the same bits. What these are for is that small ones need no graph. Operands
//! of other dtypes are cast as they are read.

use std::array;

use emily_spec::{Arithmetic, Compare, DType, TensorType};
use half::{bf16, f16};

use super::float::Float;
use super::order::of_integer;
use super::walk::Walk;
use crate::mlx::{Element, Kernel, Operand};

/// The most elements of a small tensor.
const SMALL: usize = 4096;

/// Whether a result is of a small tensor.
pub(super) fn is_small(ty: &TensorType) -> bool {
    ty.shape.iter().product::<usize>() <= SMALL
}

/// The elements that are read at a time.
const BLOCK: usize = 128;

/// The kernel of arithmetic at the result's dtype, if there is one.
pub(super) fn arithmetic(op: Arithmetic, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    if !is_small(ty) {
        return None;
    }
    if ty.dtype == DType::F32 {
        return floats(op, inputs, ty);
    }
    of_integer!(ty.dtype, integers(op, inputs, ty))?
}

/// The kernel of a comparison of integers of one dtype, if there is one.
pub(super) fn compare(op: Compare, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    if !is_small(ty) {
        return None;
    }
    of_integer!(inputs[0].dtype, comparison(op, inputs, ty))?
}

fn floats(op: Arithmetic, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let read = both(inputs, from_any)?;
    match op {
        Arithmetic::Add => Some(each(ty, read, |[a, b]: [f32; 2]| a + b)),
        Arithmetic::Subtract => Some(each(ty, read, |[a, b]: [f32; 2]| a - b)),
        Arithmetic::Multiply => Some(each(ty, read, |[a, b]: [f32; 2]| a * b)),
        Arithmetic::Divide => Some(each(ty, read, |[a, b]: [f32; 2]| a / b)),
        Arithmetic::Max
        | Arithmetic::Min
        | Arithmetic::Pow
        | Arithmetic::Quotient
        | Arithmetic::Remainder
        | Arithmetic::Atan2
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::LeftShift
        | Arithmetic::RightShift => None,
    }
}

fn integers<T: Integer>(op: Arithmetic, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let read = both(inputs, T::reader)?;
    match op {
        Arithmetic::Add => Some(each(ty, read, |[a, b]: [T; 2]| a.plus(b))),
        Arithmetic::Subtract => Some(each(ty, read, |[a, b]: [T; 2]| a.minus(b))),
        Arithmetic::Multiply => Some(each(ty, read, |[a, b]: [T; 2]| a.times(b))),
        Arithmetic::Max => Some(each(ty, read, |[a, b]: [T; 2]| a.max(b))),
        Arithmetic::Min => Some(each(ty, read, |[a, b]: [T; 2]| a.min(b))),
        // Some fail on their operands' values, the others nobody asks of small tensors.
        Arithmetic::Divide
        | Arithmetic::Pow
        | Arithmetic::Quotient
        | Arithmetic::Remainder
        | Arithmetic::Atan2
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::LeftShift
        | Arithmetic::RightShift => None,
    }
}

fn comparison<T: Integer>(op: Compare, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let read = both(inputs, T::reader)?;
    let zero = T::default();
    Some(match op {
        Compare::Equal => each(ty, read, |[a, b]: [T; 2]| u8::from(a == b)),
        Compare::NotEqual => each(ty, read, |[a, b]: [T; 2]| u8::from(a != b)),
        Compare::Greater => each(ty, read, |[a, b]: [T; 2]| u8::from(a > b)),
        Compare::Less => each(ty, read, |[a, b]: [T; 2]| u8::from(a < b)),
        Compare::GreaterEqual => each(ty, read, |[a, b]: [T; 2]| u8::from(a >= b)),
        Compare::LessEqual => each(ty, read, |[a, b]: [T; 2]| u8::from(a <= b)),
        Compare::LogicalAnd => each(ty, read, move |ab: [T; 2]| u8::from(!ab.contains(&zero))),
        Compare::LogicalOr => each(ty, read, move |ab: [T; 2]| u8::from(ab != [zero; 2])),
        Compare::LogicalXor => each(ty, read, move |ab: [T; 2]| {
            let [a, b] = ab.map(|x| x == zero);
            u8::from(a != b)
        }),
    })
}

/// Reads elements from an offset on, in this step.
pub(super) type Read<T> = fn(&Operand<'_>, i64, i64, &mut [T]);

/// How both operands are read, if they can be.
fn both<T>(inputs: &[TensorType], of: fn(DType) -> Option<Read<T>>) -> Option<[Read<T>; 2]> {
    let [a, b] = inputs else {
        return None;
    };
    Some([of(a.dtype)?, of(b.dtype)?])
}

/// Reads elements as they are, or as `cast` makes them.
pub(super) fn read<S: Element, T: Copy>(
    operand: &Operand<'_>,
    offset: i64,
    step: i64,
    to: &mut [T],
    cast: impl Fn(S) -> T,
) {
    let (memory, first) = operand.memory::<S>();
    let at = first as i64 + offset;
    match step {
        0 => to.fill(cast(memory[at as usize])),
        1 => {
            let from = &memory[at as usize..at as usize + to.len()];
            to.iter_mut().zip(from).for_each(|(to, x)| *to = cast(*x));
        }
        step => {
            for (i, to) in to.iter_mut().enumerate() {
                *to = cast(memory[(at + i as i64 * step) as usize]);
            }
        }
    }
}

/// As `f32`, the nearest one.
fn from_any(dtype: DType) -> Option<Read<f32>> {
    Some(match dtype {
        DType::F32 => |x, offset, step, to| read(x, offset, step, to, |x: f32| x),
        DType::F16 => |x, offset, step, to| read(x, offset, step, to, f16::widen),
        DType::Bf16 => |x, offset, step, to| read(x, offset, step, to, bf16::widen),
        DType::U8 => |x, offset, step, to| read(x, offset, step, to, |x: u8| x as f32),
        DType::U16 => |x, offset, step, to| read(x, offset, step, to, |x: u16| x as f32),
        DType::U32 => |x, offset, step, to| read(x, offset, step, to, |x: u32| x as f32),
        DType::U64 => |x, offset, step, to| read(x, offset, step, to, |x: u64| x as f32),
        DType::S8 => |x, offset, step, to| read(x, offset, step, to, |x: i8| x as f32),
        DType::S16 => |x, offset, step, to| read(x, offset, step, to, |x: i16| x as f32),
        DType::S32 => |x, offset, step, to| read(x, offset, step, to, |x: i32| x as f32),
        DType::S64 => |x, offset, step, to| read(x, offset, step, to, |x: i64| x as f32),
        DType::F64 | DType::C64 => return None,
    })
}

/// An integer, whose arithmetic wraps.
pub(super) trait Integer: Element + Ord {
    fn plus(self, b: Self) -> Self;
    fn minus(self, b: Self) -> Self;
    fn times(self, b: Self) -> Self;

    /// Integers of this dtype, modulo 2^bits.
    fn reader(dtype: DType) -> Option<Read<Self>>;
}

macro_rules! integers {
    ($($t:ty),*) => {
        $(
            impl Integer for $t {
                fn plus(self, b: $t) -> $t {
                    self.wrapping_add(b)
                }

                fn minus(self, b: $t) -> $t {
                    self.wrapping_sub(b)
                }

                fn times(self, b: $t) -> $t {
                    self.wrapping_mul(b)
                }

                #[expect(trivial_numeric_casts, reason = "one of them is to itself")]
                fn reader(dtype: DType) -> Option<Read<$t>> {
                    Some(match dtype {
                        DType::U8 => |x, offset, step, to| read(x, offset, step, to, |x: u8| x as $t),
                        DType::U16 => |x, offset, step, to| read(x, offset, step, to, |x: u16| x as $t),
                        DType::U32 => |x, offset, step, to| read(x, offset, step, to, |x: u32| x as $t),
                        DType::U64 => |x, offset, step, to| read(x, offset, step, to, |x: u64| x as $t),
                        DType::S8 => |x, offset, step, to| read(x, offset, step, to, |x: i8| x as $t),
                        DType::S16 => |x, offset, step, to| read(x, offset, step, to, |x: i16| x as $t),
                        DType::S32 => |x, offset, step, to| read(x, offset, step, to, |x: i32| x as $t),
                        DType::S64 => |x, offset, step, to| read(x, offset, step, to, |x: i64| x as $t),
                        DType::F16 | DType::Bf16 | DType::F32 | DType::F64 | DType::C64 => return None,
                    })
                }
            }
        )*
    };
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

/// The kernel of a function of elements that stand at one place.
pub(super) fn each<T: Element, R: Element, const N: usize>(
    ty: &TensorType,
    readers: [Read<T>; N],
    function: impl Fn([T; N]) -> R + Send + Sync + 'static,
) -> Kernel {
    let shape = ty.shape.clone();
    Box::new(move |operands, place| {
        if shape.contains(&0) {
            return;
        }
        let operands: [&Operand<'_>; N] = array::from_fn(|side| &operands[side]);
        let walk = Walk::new(&shape, operands);
        let steps = walk.steps();
        let result = place.into_elements::<R>();
        let mut blocks = [[T::default(); BLOCK]; N];
        for run in walk.runs(0..result.len()) {
            let mut offsets = run.offsets;
            for result in result[run.range].chunks_mut(BLOCK) {
                for side in 0..N {
                    let to = &mut blocks[side][..result.len()];
                    readers[side](operands[side], offsets[side], steps[side], to);
                    offsets[side] += steps[side] * result.len() as i64;
                }
                for (at, result) in result.iter_mut().enumerate() {
                    *result = function(array::from_fn(|side| blocks[side][at]));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use mlx_rs::Array;

    use super::*;
    use crate::mlx;

    /// What the kernel makes of two vectors of bits, as its bits.
    fn bits(op: Arithmetic, dtypes: [DType; 2], to: DType, bytes: [&[u8]; 2]) -> Vec<u8> {
        let types = [0, 1].map(|side: usize| {
            let count = bytes[side].len() / dtypes[side].size();
            TensorType::new(dtypes[side], [count])
        });
        let arrays = [0, 1].map(|side: usize| mlx::upload(&types[side], bytes[side]).unwrap());
        let count = types[0].shape[0].max(types[1].shape[0]);
        let ty = TensorType::new(to, [count]);
        let kernel = arithmetic(op, &types, &ty).expect("the host has it");
        bytes_of(mlx::computed(&arrays, &ty, &*kernel).unwrap())
    }

    fn bytes_of(array: Array) -> Vec<u8> {
        array.eval().unwrap();
        crate::Bytes::new(array).unwrap().to_vec()
    }

    /// Bits of all kinds of floats, those that are special among them.
    fn floats(mut state: u32, count: usize) -> Vec<f32> {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::MIN_POSITIVE,
            1e-45,
            f32::MAX,
            f32::NAN,
        ];
        let mut next = move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 28 {
                0 => special[(state >> 8) as usize % special.len()],
                _ => f32::from_bits(state.rotate_left(9) ^ state >> 3),
            }
        };
        (0..count).map(&mut next).collect()
    }

    #[test]
    fn floats_are_rounded_as_mlx_rounds_them() {
        let (a, b) = (floats(1, SMALL), floats(2, SMALL));
        let bytes = |x: &[f32]| -> Vec<u8> { x.iter().flat_map(|x| x.to_ne_bytes()).collect() };
        let (left, right) = (bytes(&a), bytes(&b));
        let of = |x: &[f32]| Array::from_slice(x, &[x.len() as i32]);
        let (x, y) = (of(&a), of(&b));
        for (op, mlxs) in [
            (Arithmetic::Add, x.add(&y)),
            (Arithmetic::Subtract, x.subtract(&y)),
            (Arithmetic::Multiply, x.multiply(&y)),
            (Arithmetic::Divide, x.divide(&y)),
        ] {
            let ours = bits(op, [DType::F32; 2], DType::F32, [&left, &right]);
            let theirs = bytes_of(mlxs.unwrap());
            let both = ours.chunks(4).zip(theirs.chunks(4));
            for (at, (ours, theirs)) in both.enumerate() {
                let [ours, theirs] =
                    [ours, theirs].map(|x| f32::from_ne_bytes(x.try_into().unwrap()));
                let same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
                assert!(
                    same,
                    "{op:?}({:e}, {:e}): {ours:e}, {theirs:e}",
                    a[at], b[at]
                );
            }
        }
    }

    #[test]
    fn integers_wrap_and_operands_are_cast_as_they_are_read() {
        use Arithmetic::{Add, Divide, Max, Min, Multiply, Subtract};
        let (u8s, s8s) = ([DType::U8; 2], [DType::S8; 2]);
        assert_eq!(bits(Add, u8s, DType::U8, [&[200, 1], &[100]]), [44, 101]);
        assert_eq!(bits(Subtract, u8s, DType::U8, [&[1], &[2, 0]]), [255, 1]);
        assert_eq!(bits(Multiply, s8s, DType::S8, [&[127], &[2]]), [254]);
        assert_eq!(bits(Max, s8s, DType::S8, [&[255], &[1, 254]]), [1, 255]);
        assert_eq!(bits(Min, s8s, DType::S8, [&[255], &[1, 254]]), [255, 254]);
        let mixed = [DType::S8, DType::U8];
        let sum = bits(Add, mixed, DType::S16, [&[255], &[255]]);
        assert_eq!(sum, 254i16.to_ne_bytes());
        let large = (1u64 << 24 | 1).to_ne_bytes();
        let ratio = bits(Divide, [DType::U64, DType::U8], DType::F32, [&large, &[1]]);
        assert_eq!(ratio, 16_777_216f32.to_ne_bytes());
    }

    #[test]
    fn there_may_be_no_elements() {
        let none: [&[u8]; 2] = [&[]; 2];
        for dtype in [DType::F32, DType::U8] {
            assert!(bits(Arithmetic::Add, [dtype; 2], dtype, none).is_empty());
        }
    }

    #[test]
    fn views_and_broadcasts_are_read_as_they_lie() {
        let x = Array::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
        let row = Array::from_slice(&[10f32, 20.0], &[2]);
        let turned = x.transpose_axes(&[1, 0]).unwrap();
        turned.eval().unwrap();
        let types = [[3usize, 2].to_vec(), vec![2]].map(|dims| TensorType::new(DType::F32, dims));
        let kernel = arithmetic(Arithmetic::Add, &types, &types[0]).unwrap();
        let sum = mlx::computed(&[turned, row], &types[0], &*kernel).unwrap();
        assert_eq!(sum.as_slice::<f32>(), [11.0, 24.0, 12.0, 25.0, 13.0, 26.0]);
    }

    #[test]
    fn large_ones_stay_with_mlx() {
        let [small, large] = [SMALL, SMALL + 1].map(|count| TensorType::new(DType::F32, [count]));
        let has =
            |ty: &TensorType| arithmetic(Arithmetic::Add, &[ty.clone(), ty.clone()], ty).is_some();
        assert_eq!([has(&small), has(&large)], [true, false]);
    }
}
