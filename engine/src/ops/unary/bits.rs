//! Counts of an integer's bits, in unsigned integers of its width.

use mlx_rs::Array;
use mlx_rs::error::Result;

use super::super::integer::unsigned;
use crate::mlx::{bitwise_and, bitwise_or, dtype_of, integer, right_shift, to_mlx};

/// How many bits are 1.
pub(super) fn population(x: &Array) -> Result<Array> {
    ones(&as_unsigned(x)?)?.view_dtype(x.dtype())
}

/// How many zeros come before the first 1: those that stay when every bit below it is 1 too.
pub(super) fn leading_zeros(x: &Array) -> Result<Array> {
    let mut filled = as_unsigned(x)?;
    let width = width(&filled);
    let mut shift = 1;
    while shift < width {
        filled = bitwise_or(&filled, &shifted(&filled, shift)?)?;
        shift *= 2;
    }
    integer(dtype_of(&filled), width.into())
        .subtract(ones(&filled)?)?
        .view_dtype(x.dtype())
}

fn as_unsigned(x: &Array) -> Result<Array> {
    x.view_dtype(to_mlx(unsigned(dtype_of(x))))
}

fn width(x: &Array) -> u32 {
    8 * dtype_of(x).size() as u32
}

fn shifted(x: &Array, by: u32) -> Result<Array> {
    right_shift(x, &integer(dtype_of(x), by.into()))
}

/// The ones of pairs of bits, of fours and of bytes, each in its place; a product adds the bytes up in
/// the highest one.
fn ones(x: &Array) -> Result<Array> {
    let dtype = dtype_of(x);
    let each = |byte: i128| integer(dtype, byte * 0x0101_0101_0101_0101);
    let and = |x: &Array, byte: i128| bitwise_and(x, &each(byte));
    let pairs = x.subtract(and(&shifted(x, 1)?, 0x55)?)?;
    let fours = and(&pairs, 0x33)?.add(and(&shifted(&pairs, 2)?, 0x33)?)?;
    let bytes = and(&fours.add(shifted(&fours, 4)?)?, 0x0f)?;
    if dtype.size() == 1 {
        return Ok(bytes);
    }
    shifted(&bytes.multiply(each(1))?, width(x) - 8)
}
