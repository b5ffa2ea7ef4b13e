//! Convolutions.

use emily_spec::{Conv, Result, SpatialAxis};
use ndarray::{ArrayViewD, Axis, IxDyn};

use super::accumulate;
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// One sum of products per index of the result: over the channels of its group and the elements of
/// the kernel, each with the element of the input that it lies on.
pub(crate) fn conv(op: &Conv, inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let rank = inputs[0].ndim();
    let [input_order, kernel_order, output_order] = op.permutations(rank);
    let input = inputs[0].mapv(|x| target.cast(x));
    let input = input.view().permuted_axes(input_order);
    let kernel = inputs[1].mapv(|x| target.cast(x));
    let kernel = kernel.view().permuted_axes(kernel_order);
    let spatial = op.spatial(rank);
    let [feature_groups, batch_groups] = op.groups();
    let outputs_per_group = (kernel.shape()[0] / (feature_groups * batch_groups)).max(1);
    let batch = input.shape()[0] / batch_groups;
    let zero = target.cast(Wide::Int(0));

    let elements = ndarray::indices(target.ty.shape.dims())
        .into_iter()
        .map(|index| {
            let place: Vec<usize> = output_order.iter().map(|&axis| index[axis]).collect();
            let filter = kernel.index_axis(Axis(0), place[1]);
            let group = place[1] / outputs_per_group;
            // Of the two, one is split into a single group.
            let (image, first_channel) = match batch_groups {
                1 => (place[0], group * filter.shape()[0]),
                _ => (group * batch + place[0], 0),
            };
            let image = input.index_axis(Axis(0), image);
            let terms = filter.indexed_iter().map(|(offset, &weight)| {
                let channel = first_channel + offset[0];
                let at = |i: usize| met(spatial[i], place[i + 2], offset[i + 1]);
                let met: Option<Vec<usize>> = (0..rank - 2).map(at).collect();
                let element = met.and_then(|met| element(&image, channel, &met));
                (element.unwrap_or(zero), weight)
            });
            terms.collect::<Vec<_>>().into_iter()
        });
    accumulate::products(target, kernel.len() / kernel.shape()[0].max(1), elements)
}

/// Where along the axis the element of the input is that an element of the kernel lies on, for a place
/// of the window; none where that is before the first one, or between two of them.
fn met(axis: SpatialAxis, place: usize, offset: usize) -> Option<usize> {
    let at = (place * axis.stride + offset * axis.kernel_dilation) as i128 - i128::from(axis.low);
    let dilation = axis.input_dilation as i128;
    (at >= 0 && at % dilation == 0).then_some((at / dilation) as usize)
}

/// The element of a channel; none beyond the last one.
fn element(image: &ArrayViewD<Wide>, channel: usize, place: &[usize]) -> Option<Wide> {
    let index = [&[channel], place].concat();
    image.get(IxDyn(&index)).copied()
}
