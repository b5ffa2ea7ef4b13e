//! Matrices of small floats with a scale for each group.

use emily_spec::{
    DType, FpDequantize, FpFormat, FpGatherQmm, FpQuantize, FpQuantizedMatmul, TensorType,
};
use mlx_rs::error::Result;
use mlx_rs::ops::{max_axis, maximum, minimum, select, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::transposed_if;
use crate::mlx::{arange, bitwise_and, dtype_of, integer, left_shift, real, right_shift, to_mlx};
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::index::inside;
use crate::ops::linalg::{flatten_leading, only_picked, picked_product};
use crate::ops::{Cx, dims};

/// In integers, but for quotients and their rounding. MLX's own has other scales, and takes halves down.
pub(in crate::ops) fn fp_quantize(
    op: &FpQuantize,
    x: &Array,
    results: &[TensorType],
) -> Result<Vec<Array>> {
    if x.size() == 0 {
        let empty = |ty: &TensorType| zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
        return results.iter().map(empty).collect();
    }
    let format = op.format;
    let word = |value: i128| integer(DType::U32, value);
    let groups = cast(x, DType::F32)?.reshape(&[-1, format.group_size() as i32])?;
    // Bits without their sign are in the numbers' order, NaN above all.
    let moduli = bitwise_and(&groups.view_dtype(Dtype::Uint32)?, &word(0x7fff_ffff))?;
    let largest = max_axis(&moduli, 1, true)?;
    let finite = largest.lt(word(0x7f80_0000))?;
    let largest = select(&finite, largest, word(0))?;
    let (scales, nan) = match format {
        FpFormat::Mxfp4 => (power_below(&largest, 2)?, 255),
        FpFormat::Mxfp8 => (power_below(&largest, 8)?, 255),
        FpFormat::Nvfp4 => {
            let largest = largest.view_dtype(Dtype::Float32)?;
            let sixth = largest.divide(real(DType::F32, 6.0))?;
            (E4M3.encoded(&sixth)?, 0x7f)
        }
    };
    let (element, scale) = decodes(format);
    let divisors = looked_up(scale, 8, &scales, DType::F32)?.reshape(scales.shape())?;
    let zero = real(DType::F32, 0.0);
    let given = finite.logical_and(divisors.gt(&zero)?)?;
    let divisors = select(&given, divisors, real(DType::F32, 1.0))?;
    let codes = element.encoded(&select(&given, groups, zero)?.divide(divisors)?)?;
    let scales = select(&finite, scales, word(nan))?;
    let parts = [packed(&codes, format.bits())?, scales];
    let shaped =
        |(part, ty): (&Array, &TensorType)| cast(part, ty.dtype)?.reshape(&dims(&ty.shape));
    parts.iter().zip(results).map(shaped).collect()
}

/// The code e8m0 of the largest power of two that times 2^exponent is within the modulus of these bits, or
/// of the least.
fn power_below(modulus: &Array, exponent: i128) -> Result<Array> {
    let exponent = integer(DType::U32, exponent);
    let own = right_shift(modulus, &integer(DType::U32, 23))?;
    maximum(own, &exponent)?.subtract(exponent)
}

/// The codes of a row in words, from the lowest bits up.
fn packed(codes: &Array, bits: usize) -> Result<Array> {
    let per_word = 32 / bits as i32;
    let codes = codes.reshape(&[-1, per_word])?;
    let shifts = arange(per_word, Dtype::Uint32)?.multiply(integer(DType::U32, bits as i128))?;
    left_shift(&codes, &shifts)?.sum_axis(1, false)
}

/// Their product is exact in `f32` but at the ends of its range.
pub(in crate::ops) fn fp_dequantize(
    op: &FpDequantize,
    inputs: &[Array],
    ty: &TensorType,
) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = if ty.dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    cast(&matrix(op.format, &inputs[0], &inputs[1], wide)?, ty.dtype)
}

/// MLX's own kernel has numbers for the codes that are NaN, and scales sums of a group, or rows of x, which
/// overflow where an element does not.
pub(in crate::ops) fn fp_quantized_matmul(
    op: &FpQuantizedMatmul,
    inputs: &[Array],
    ty: &TensorType,
) -> Result<Array> {
    if ty.shape.contains(&0) || inputs[0].size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let x = widened(&inputs[0])?;
    let matrix = matrix(op.format, &inputs[1], &inputs[2], dtype_of(&x))?;
    cast(&x.matmul(transposed_if(op.transpose, matrix)?)?, ty.dtype)
}

/// As `fp_quantized_matmul`. Where fewer matrices are picked than there are, none but those are looked up.
pub(in crate::ops) fn fp_gather_qmm(
    op: &FpGatherQmm,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let (x, packed) = (flatten_leading(&inputs[0])?, flatten_leading(&inputs[1])?);
    let lhs = inside(&x, &inputs[3], 0, cx)?;
    let rhs = inside(&packed, &inputs[4], 0, cx)?;
    if ty.shape.contains(&0) || x.size() == 0 || packed.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let ([packed, scales], rhs) = only_picked([packed, flatten_leading(&inputs[2])?], rhs)?;
    let x = widened(&x)?;
    let wide = TensorType::new(dtype_of(&x), ty.shape.clone());
    let matrix = matrix(op.format, &packed, &scales, wide.dtype)?;
    let matrix = transposed_if(op.transpose, matrix)?;
    let product = picked_product([&x, &matrix], [lhs, rhs], &wide, cx)?;
    cast(&product, ty.dtype)
}

/// The matrix in `f32` or `f64`. Elements and scales are looked up: MLX's own has an infinity for the scale
/// that is NaN, and powers of two in the result's digits.
fn matrix(format: FpFormat, packed: &Array, scales: &Array, wide: DType) -> Result<Array> {
    let (element, scale) = decodes(format);
    let bytes = packed.view_dtype(Dtype::Uint8)?;
    let elements = looked_up(element.decode, format.bits(), &bytes, wide)?;
    let elements = elements.reshape(&[-1, format.group_size() as i32])?;
    let scales_of_groups = looked_up(scale, 8, scales, wide)?.reshape(&[-1, 1])?;
    let (rows, groups) = scales.shape().split_at(scales.ndim() - 1);
    let shape = [rows, &[groups[0] * format.group_size() as i32]].concat();
    elements.multiply(scales_of_groups)?.reshape(&shape)
}

/// What a code is, whatever bits are above it.
type Decode = fn(u8) -> f32;

/// What the codes in these bytes are, from their lowest bits up, along an axis of their own.
fn looked_up(value: Decode, bits: usize, bytes: &Array, wide: DType) -> Result<Array> {
    let per_byte = 8 / bits;
    let of_byte = |byte: u8| (0..per_byte).map(move |i| value(byte >> (i * bits)));
    let all: Vec<f32> = (0..=u8::MAX).flat_map(of_byte).collect();
    cast(&Array::from_slice(&all, &[256, per_byte as i32]), wide)?.take_axis(bytes, 0)
}

/// Elements, and what the codes of scales are.
fn decodes(format: FpFormat) -> (&'static SmallFloat, Decode) {
    match format {
        FpFormat::Mxfp4 => (&E2M1, e8m0),
        FpFormat::Mxfp8 => (&E4M3, e8m0),
        FpFormat::Nvfp4 => (&E2M1, e4m3),
    }
}

/// A float of fewer bits: a sign, an exponent and a mantissa.
struct SmallFloat {
    bits: i128,
    mantissa_bits: i128,
    /// The exponent of the smallest normal value.
    min_exponent: i128,
    largest: f64,
    decode: Decode,
}

const E2M1: SmallFloat = SmallFloat {
    bits: 4,
    mantissa_bits: 1,
    min_exponent: 0,
    largest: 6.0,
    decode: e2m1,
};

const E4M3: SmallFloat = SmallFloat {
    bits: 8,
    mantissa_bits: 3,
    min_exponent: -6,
    largest: 448.0,
    decode: e4m3,
};

impl SmallFloat {
    /// The codes of what is nearest to each `f32`, of two the even one, as `u32`; not of NaN.
    ///
    /// At an exponent values are the multiples of a power of two. One rounded up to the next exponent is
    /// the first one there, whose code comes next.
    fn encoded(&self, x: &Array) -> Result<Array> {
        let word = |value: i128| integer(DType::U32, value);
        let bits = |x: &Array| x.view_dtype(Dtype::Uint32);
        let modulus = minimum(x.abs()?, real(DType::F32, self.largest))?;
        let least = word(127 + self.min_exponent);
        let exponent = maximum(right_shift(&bits(&modulus)?, &word(23))?, &least)?;
        let unit = exponent.subtract(word(self.mantissa_bits))?;
        let unit = left_shift(&unit, &word(23))?.view_dtype(Dtype::Float32)?;
        let units = modulus.divide(unit)?.round(0)?.as_dtype(Dtype::Uint32)?;
        let base = left_shift(&exponent.subtract(least)?, &word(self.mantissa_bits))?;
        let sign = left_shift(&right_shift(&bits(x)?, &word(31))?, &word(self.bits - 1))?;
        base.add(units)?.add(sign)
    }
}

/// The float of a sign, two bits of exponent and one of mantissa.
fn e2m1(code: u8) -> f32 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The float of a sign, four bits of exponent and three of mantissa. An f32's have a bias of 127 instead of
/// 7, and its subnormals another step.
fn e4m3(code: u8) -> f32 {
    let magnitude = match code & 0x7f {
        0x7f => f32::NAN,
        subnormal @ 0..8 => f32::from(subnormal) / 512.0,
        normal => f32::from_bits((u32::from(normal) << 20) + (120 << 23)),
    };
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The power of two with this exponent: an f32's, but for the least, which is subnormal, and NaN.
fn e8m0(code: u8) -> f32 {
    match code {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        exponent => f32::from_bits(u32::from(exponent) << 23),
    }
}
