//! Convolutions.
//!
//! MLX's own takes channels last, as does everything here; permutations are views. On the CPU it is a
//! matrix product of all windows side by side, in `f32`, where nothing is dilated or grouped, and a
//! plain loop where something is. What it lacks or does in that loop is such a product made here.

use emily_spec::{Class, Conv, DType, SpatialAxis, TensorType, row_major_strides};
use mlx_rs::error::Result;
use mlx_rs::ops::{stack, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::cast::{cast, operand};
use super::float::widened;
use super::shape::aligned;
use super::{Cx, axes as mlx_axes, dims, length, shape, within_memory};
use crate::Device;
use crate::mlx::{clone_array, conv_general, dtype_of, real, shape_of, to_mlx};

/// Sums of products of the windows with the kernel.
pub(super) fn conv(op: &Conv, inputs: &[Array], ty: &TensorType, cx: &Cx) -> Result<Array> {
    let [input_order, kernel_order, output_order] = op.permutations(ty.shape.rank());
    let input = channels_last(&*operand(&inputs[0], ty.dtype)?, &input_order)?;
    let kernel = channels_last(&*operand(&inputs[1], ty.dtype)?, &kernel_order)?;
    if kernel.size() == 0 || ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let [feature_groups, batch_groups] = op.groups();
    let input = match batch_groups {
        1 => input,
        groups => batches_as_channels(&input, groups as i32)?,
    };
    let call = Call {
        spatial: op.spatial(ty.shape.rank()),
        groups: feature_groups.max(batch_groups) as i32,
        places: output_order[2..]
            .iter()
            .map(|&axis| ty.shape[axis])
            .collect(),
    };
    let sums = match ty.dtype.class() {
        Class::Complex => complex(&input, &kernel, call, cx)?,
        Class::Float | Class::Unsigned | Class::Signed => call.sums(&input, &kernel, cx)?,
    };
    let mut order = vec![0; output_order.len()];
    order[output_order[1]] = sums.ndim() as i32 - 1;
    for (i, &axis) in output_order[2..].iter().enumerate() {
        order[axis] = i as i32 + 1;
    }
    sums.transpose_axes(&order)
}

/// A view with the first of these axes first and the second last.
fn channels_last(x: &Array, order: &[usize]) -> Result<Array> {
    let order = [&order[..1], &order[2..], &order[1..2]].concat();
    x.transpose_axes(&mlx_axes(&order))
}

/// The batch's groups, one after another among the channels: those of the channels have the kernel's
/// output channels as those of the batch have.
fn batches_as_channels(x: &Array, groups: i32) -> Result<Array> {
    let mut split = vec![groups, x.dim(0) / groups];
    split.extend(&x.shape()[1..]);
    let last = split.len() as i32 - 1;
    let mut order: Vec<i32> = (1..last).collect();
    order.extend([0, last]);
    let mut joined = split[1..].to_vec();
    joined[x.ndim() - 1] *= groups;
    x.reshape(&split)?.transpose_axes(&order)?.reshape(&joined)
}

/// A convolution of real numbers with twice as many channels: the parts of a complex number lie beside
/// each other, in the input and in the result. (a + b·i)·(c + d·i) has the parts (a, b)·(c, −d) and
/// (a, b)·(d, c).
fn complex(input: &Array, kernel: &Array, call: Call, cx: &Cx) -> Result<Array> {
    let twice = |x: &Array, axis: usize| {
        let mut shape = x.shape().to_vec();
        shape[axis] *= 2;
        shape
    };
    let beside = |a: &Array, b: &Array| -> Result<Array> {
        stack(&[a, b], -1)?.reshape(&twice(a, a.ndim() - 1))
    };
    let (re, im) = (kernel.real()?, kernel.imag()?);
    let filters = [beside(&re, &im.negative()?)?, beside(&im, &re)?];
    let kernel = stack(&filters, 1)?.reshape(&twice(&filters[0], 0))?;
    let input = beside(&input.real()?, &input.imag()?)?;
    call.sums(&input, &kernel, cx)?.view_dtype(Dtype::Complex64)
}

/// A convolution of real numbers, but for its operands.
struct Call {
    spatial: Vec<SpatialAxis>,
    groups: i32,
    /// The spatial sizes of the result.
    places: Vec<usize>,
}

impl Call {
    /// `f16` and `bf16` are added up in `f32` and rounded once. On a GPU MLX does that, but where an `f16`
    /// would overflow, of which some of cuDNN's kernels make 0.
    fn sums(self, input: &Array, kernel: &Array, cx: &Cx) -> Result<Array> {
        self.check_size(input, kernel)?;
        let dtype = dtype_of(input);
        let rounds_once = cx.device == Device::Gpu && dtype != DType::F16;
        if dtype.is_small_float() && !rounds_once {
            return cast(&self.wide(&widened(input)?, &widened(kernel)?, cx)?, dtype);
        }
        self.wide(input, kernel, cx)
    }

    fn wide(mut self, input: &Array, kernel: &Array, cx: &Cx) -> Result<Array> {
        // MLX takes elements away before it dilates, and cuDNN multiplies no zeros that it puts in, so
        // that NaN and infinities of the kernel do not show there.
        let pads = |axis: &SpatialAxis| match cx.device {
            Device::Cpu => axis.low.min(axis.high) < 0,
            Device::Gpu => axis.low != 0 || axis.high != 0 || axis.input_dilation > 1,
        };
        let is_own = self.is_mlx_s(dtype_of(input), cx.device);
        let input = match is_own && !self.spatial.iter().any(pads) {
            true => clone_array(input),
            false => self.take_padding(input)?,
        };
        match is_own {
            true => self.direct(&aligned(&input, cx)?, &aligned(kernel, cx)?),
            false => self.windows(&input, kernel),
        }
    }

    /// True where MLX has it, and on the CPU does it fast and with all digits.
    fn is_mlx_s(&self, dtype: DType, device: Device) -> bool {
        let (rank, grouped) = (self.spatial.len(), self.groups > 1);
        let dilated = |axis: &SpatialAxis| axis.input_dilation > 1 || axis.kernel_dilation > 1;
        match device {
            Device::Gpu => rank <= 2 || rank == 3 && !grouped,
            Device::Cpu => {
                dtype == DType::F32
                    && !self.spatial.iter().any(dilated)
                    && (rank == 1 || rank <= 3 && !grouped)
            }
        }
    }

    fn direct(&self, input: &Array, kernel: &Array) -> Result<Array> {
        let each = |of: fn(&SpatialAxis) -> i32| self.spatial.iter().map(of).collect::<Vec<_>>();
        conv_general(
            input,
            kernel,
            [
                &each(|axis| bounded(axis.stride)),
                &each(|axis| axis.low as i32),
                &each(|axis| axis.high as i32),
                &each(|axis| bounded(axis.kernel_dilation)),
                &each(|axis| bounded(axis.input_dilation)),
            ],
            self.groups,
        )
    }

    /// The input with the zeros that belong to it, which the call then no longer asks for.
    fn take_padding(&mut self, input: &Array) -> Result<Array> {
        let padded = self.padded(input)?;
        for axis in &mut self.spatial {
            (axis.low, axis.high, axis.input_dilation) = (0, 0, 1);
        }
        Ok(padded)
    }

    fn padded(&self, input: &Array) -> Result<Array> {
        let per_axis = |of: fn(&SpatialAxis) -> i64| {
            let spatial = self.spatial.iter().map(of);
            [0].into_iter().chain(spatial).chain([0])
        };
        let low: Vec<i64> = per_axis(|axis| axis.low).collect();
        let high: Vec<i64> = per_axis(|axis| axis.high).collect();
        let between = per_axis(|axis| axis.input_dilation as i64 - 1);
        let interior: Vec<usize> = between.map(|between| between as usize).collect();
        let zero = real(dtype_of(input), 0.0);
        shape::padded(input, &zero, &low, &high, &interior)
    }

    /// All windows side by side, times the kernel: for each group a product of matrices.
    fn windows(&self, input: &Array, kernel: &Array) -> Result<Array> {
        let places: Vec<i32> = self.places.iter().map(|&dim| dim as i32).collect();
        let rank = places.len();
        let (batch, outputs) = (input.dim(0), kernel.dim(0) / self.groups);
        let sizes = &kernel.shape()[1..];
        let channels = sizes[rank];

        let shape = [&[self.groups, batch], &places[..], sizes].concat();
        let steps = row_major_strides(&shape_of(input));
        let steps: Vec<i64> = steps.into_iter().map(|step| step as i64).collect();
        let along = |of: fn(&SpatialAxis) -> usize| {
            let axes = self.spatial.iter().zip(&steps[1..]);
            axes.map(move |(axis, step)| i64::from(bounded(of(axis))) * step)
        };
        let mut all = vec![channels.into(), steps[0]];
        all.extend(along(|axis| axis.stride));
        all.extend(along(|axis| axis.kernel_dilation));
        all.push(1);
        let windows = input.contiguous()?.as_strided(&shape[..], &all[..], 0)?;

        let rows = batch * places.iter().product::<i32>();
        let terms = sizes.iter().product::<i32>();
        let windows = windows.reshape(&[self.groups, rows, terms])?;
        let kernel = kernel.reshape(&[self.groups, outputs, terms])?;
        let sums = windows.matmul(kernel.transpose_axes(&[0, 2, 1])?)?;

        let split = [&[self.groups, batch], &places[..], &[outputs]].concat();
        let mut order: Vec<i32> = (1..rank as i32 + 2).collect();
        order.extend([0, rank as i32 + 2]);
        let joined = [&[batch], &places[..], &[self.groups * outputs]].concat();
        sums.reshape(&split)?
            .transpose_axes(&order)?
            .reshape(&joined)
    }

    /// Refuses what would not fit beside the operands: the padded input and all windows, which may be
    /// many times as large as the result.
    fn check_size(&self, input: &Array, kernel: &Array) -> Result<()> {
        let product = |sizes: &mut dyn Iterator<Item = usize>| sizes.fold(1, usize::saturating_mul);
        let size = |x: &Array, axis: usize| x.shape()[axis] as usize;
        let last = input.ndim() - 1;
        let padded = (self.spatial.iter().enumerate())
            .map(|(i, axis)| axis.padded(size(input, i + 1)) as usize);
        let padded = product(&mut padded.chain([size(input, 0), size(input, last)]));
        let rows = product(&mut self.places.iter().copied().chain([size(input, 0)]));
        let terms = product(&mut (1..=last).map(|axis| size(kernel, axis)));
        length(rows)?;
        length(terms)?;
        let windows = product(&mut [rows, terms, self.groups as usize].into_iter());
        let width = dtype_of(input).size().max(4);
        length(windows)?;
        within_memory(padded.saturating_add(windows).saturating_mul(width))
    }
}

/// A step along an axis. One beyond an axis's largest size is never taken.
fn bounded(step: usize) -> i32 {
    i32::try_from(step).unwrap_or(i32::MAX)
}
