//! Windows that slide over a tensor.

use emily_spec::{DType, Scattering, Sliding, TensorType, Window, WindowScatter};
use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, select, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::binary::{larger, multiply, smaller};
use super::cast::cast;
use super::float::{order_keys, widened};
use super::index::added;
use super::integer::limits;
use super::reduce::nan_first;
use super::{Cx, dims, length, shape};
use crate::mlx::{self, dtype_of, integer, real, slice_axis, to_mlx};

/// One element per place of the window: integers modulo 2^bits, `f16` and `bf16` in `f32`, rounded
/// once.
pub(super) fn window(
    op: Window,
    attrs: &Sliding,
    x: &Array,
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let x = widened(x)?;
    let wide = TensorType::new(dtype_of(&x), ty.shape.clone());
    let whole = match op {
        Window::WindowSum => {
            let zero = integer(wide.dtype, 0);
            // A sum begins at 0, to which −0 adds nothing.
            slide(attrs, &x, &wide, &zero, |a, b| a.add(b))?.add(&zero)?
        }
        Window::WindowProduct => {
            let one = integer(wide.dtype, 1);
            slide(attrs, &x, &wide, &one, |a, b| multiply(a, b, &wide, cx))?
        }
        Window::WindowMax => {
            let least = least(wide.dtype);
            slide(attrs, &x, &wide, &least, |a, b| larger(a, b, cx))?
        }
        Window::WindowMin => {
            let greatest = greatest(wide.dtype);
            slide(attrs, &x, &wide, &greatest, |a, b| smaller(a, b, cx))?
        }
    };
    cast(&whole, ty.dtype)
}

/// The number of a real dtype that is above no other.
fn least(dtype: DType) -> Array {
    match dtype.is_integer() {
        true => integer(dtype, limits(dtype).0),
        false => real(dtype, f64::NEG_INFINITY),
    }
}

/// The number of a real dtype that is below no other.
fn greatest(dtype: DType) -> Array {
    match dtype.is_integer() {
        true => integer(dtype, limits(dtype).1),
        false => real(dtype, f64::INFINITY),
    }
}

/// The elements under the window put together, in a tensor of type `ty`. Padding is of `identity`.
fn slide(
    window: &Sliding,
    x: &Array,
    ty: &TensorType,
    identity: &Array,
    combine: impl Fn(&Array, &Array) -> Result<Array>,
) -> Result<Array> {
    if x.size() == 0 {
        return broadcast_to(identity, &dims(&ty.shape));
    }
    let padded = padded(window, x, identity)?;
    let combine = |a: &[Array], b: &[Array]| Ok(vec![combine(&a[0], &b[0])?]);
    Ok(over_axes(window, vec![padded], combine)?.remove(0))
}

/// The window over arrays of one shape that go together, along one axis after the other.
fn over_axes(
    window: &Sliding,
    parts: Vec<Array>,
    combine: impl Fn(&[Array], &[Array]) -> Result<Vec<Array>>,
) -> Result<Vec<Array>> {
    (0..window.lengths.len()).try_fold(parts, |parts, axis| {
        slide_along(window, axis, parts, &combine)
    })
}

fn padded(window: &Sliding, x: &Array, identity: &Array) -> Result<Array> {
    shape::padded(x, identity, &window.low, &window.high, &vec![0; x.ndim()])
}

/// The window along one axis.
///
/// It is made of windows of 1, 2, 4, … elements, each of two of the one before, so that it takes as
/// many steps as its length has binary digits, and nothing as large as all windows together.
fn slide_along(
    window: &Sliding,
    axis: usize,
    mut parts: Vec<Array>,
    combine: &impl Fn(&[Array], &[Array]) -> Result<Vec<Array>>,
) -> Result<Vec<Array>> {
    let (length, dilation) = (window.lengths[axis], window.dilations[axis]);
    let len = parts[0].shape()[axis];
    // A step beyond the tensor is as good as one of its size: it is never taken.
    let within = |step: usize| step.min(len as usize) as i32;
    let reach = |elements: usize| within(elements.saturating_mul(dilation));
    let stride = within(window.strides[axis]);
    let places = (len - reach(length - 1) - 1) / stride + 1;
    let (mut size, mut offset) = (1, 0);
    let mut whole: Option<Vec<Array>> = None;
    loop {
        if length & size != 0 {
            let of_size = each(&parts, |x| {
                at_places(x, axis, reach(offset), stride, places)
            })?;
            whole = Some(match whole {
                Some(whole) => combine(&whole, &of_size)?,
                None => of_size,
            });
            offset += size;
        }
        if let Some(whole) = whole.take_if(|_| offset == length) {
            return Ok(whole);
        }
        let (len, second) = (parts[0].shape()[axis], reach(size));
        parts = combine(
            &each(&parts, |x| slice_axis(x, axis, 0..len - second))?,
            &each(&parts, |x| slice_axis(x, axis, second..len))?,
        )?;
        size *= 2;
    }
}

fn each(parts: &[Array], f: impl Fn(&Array) -> Result<Array>) -> Result<Vec<Array>> {
    parts.iter().map(f).collect()
}

/// As many elements as there are places, `stride` apart, from the first one on.
fn at_places(x: &Array, axis: usize, first: i32, stride: i32, places: i32) -> Result<Array> {
    let (mut starts, mut stops) = (vec![0; x.ndim()], x.shape().to_vec());
    let mut strides = vec![1; x.ndim()];
    starts[axis] = first;
    stops[axis] = first + (places - 1) * stride + 1;
    strides[axis] = stride;
    mlx::slice(x, &starts, &stops, &strides)
}

/// The initial value everywhere, and what the source adds to it where the window's last element beyond
/// all others is.
///
/// An element's index goes with it through the window; of equal elements the one of the larger index
/// wins, and padding has none. What no element is under is added to one behind the last, which is left
/// out.
pub(super) fn scatter(
    op: WindowScatter,
    attrs: &Scattering,
    inputs: &[Array],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let [x, source, init] = [&inputs[0], &inputs[1], &inputs[2]];
    let init = widened(&cast(init, ty.dtype)?)?;
    let source = widened(&cast(source, ty.dtype)?)?;
    let shape = dims(&ty.shape);
    if x.size() == 0 {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let size = length(x.size())?;
    let sums = broadcast_to(&init, &[length(x.size() + 1)?])?;
    let chosen = chosen(op, &attrs.window(), x, size)?;
    let outside = chosen.lt(integer(DType::S32, 0))?;
    let at = select(&outside, integer(DType::S32, size.into()), &chosen)?;
    let count = length(source.size())?;
    let (at, source) = ([at.reshape(&[count])?], source.reshape(&[count, 1])?);
    let sums = added(&sums, &at, &source, &[0], cx)?;
    cast(&slice_axis(&sums, 0, 0..size)?.reshape(&shape)?, ty.dtype)
}

/// The index in the flattened tensor of what is chosen at each place, −1 where there is nothing.
fn chosen(op: WindowScatter, window: &Sliding, x: &Array, size: i32) -> Result<Array> {
    let keys = match op {
        WindowScatter::WindowScatterMax => order_keys(x)?,
        // The other way round: −1 − k turns integer keys around, modulo 2^bits for unsigned ones.
        WindowScatter::WindowScatterMin => {
            let keys = nan_first(x)?;
            integer(dtype_of(&keys), -1).subtract(keys)?
        }
    };
    let indices = mlx::arange(size, Dtype::Int32)?.reshape(x.shape())?;
    let parts = vec![
        padded(window, &keys, &least(dtype_of(&keys)))?,
        padded(window, &indices, &integer(DType::S32, -1))?,
    ];
    let later = |a: &[Array], b: &[Array]| {
        let further = b[1].gt(&a[1])?.logical_and(b[0].eq(&a[0])?)?;
        let wins = b[0].gt(&a[0])?.logical_or(further)?;
        Ok(vec![
            select(&wins, &b[0], &a[0])?,
            select(&wins, &b[1], &a[1])?,
        ])
    };
    Ok(over_axes(window, parts, later)?.swap_remove(1))
}
