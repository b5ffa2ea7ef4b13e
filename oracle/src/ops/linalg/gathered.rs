//! Products of matrices that are picked by index.

use emily_spec::{Error, ErrorKind, Result};
use ndarray::{Array3, ArrayD, Axis};

use super::super::{accumulate, index};
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};

/// For each pair of indices the sums of products of the rows of one matrix with the columns of the other.
pub(crate) fn gather_mm(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let [a, b] = [&inputs[0], &inputs[1]].map(|x| flatten_leading(&x.mapv(|x| target.cast(x))));
    let (a, b) = (a?, b?);
    let (a, b) = (&a, &b);
    let picks = picks([a.shape(), b.shape()], &inputs[2..], target)?;
    let (m, n) = (a.shape()[1], b.shape()[2]);
    let elements = picks.into_iter().flat_map(|(l, r)| {
        let places = (0..m).flat_map(move |i| (0..n).map(move |j| (i, j)));
        places.map(move |(i, j)| {
            let row = a.index_axis(Axis(0), l).index_axis_move(Axis(0), i);
            let column = b.index_axis(Axis(0), r).index_axis_move(Axis(1), j);
            row.into_iter().zip(column).map(|(x, y)| (*x, *y))
        })
    });
    accumulate::products(target, a.shape()[2], elements)
}

/// The matrices of all leading axes in one, which indices count.
fn flatten_leading<T: Clone>(x: &ArrayD<T>) -> Result<Array3<T>> {
    let (leading, own) = x.shape().split_at(x.ndim() - 2);
    let count: usize = leading.iter().product();
    let matrices = x.to_shape((count, own[0], own[1]));
    let matrices = matrices.map_err(|err| Error::new(ErrorKind::Internal, err.to_string()))?;
    Ok(matrices.into_owned())
}

/// The pairs of indices into matrices of these shapes, broadcast to the leading axes of the result.
fn picks(
    shapes: [&[usize]; 2],
    indices: &[WideArray],
    target: Target,
) -> Result<Vec<(usize, usize)>> {
    let inside = |side: usize| -> Result<ArrayD<usize>> {
        let inside = indices[side].iter();
        let inside = inside.map(|&index| index::inside(index, 0, shapes[side]));
        let inside = inside.collect::<Result<Vec<usize>>>()?;
        ArrayD::from_shape_vec(indices[side].shape(), inside)
            .map_err(|err| Error::new(ErrorKind::Internal, err.to_string()))
    };
    let (lhs, rhs) = (inside(0)?, inside(1)?);
    let leading = &target.ty.shape[..target.ty.shape.rank() - 2];
    match (lhs.broadcast(leading), rhs.broadcast(leading)) {
        (Some(lhs), Some(rhs)) => Ok(lhs.iter().copied().zip(rhs.iter().copied()).collect()),
        _ => Err(Error::new(ErrorKind::Internal, "indices do not broadcast")),
    }
}

/// The matrices of both operands that the pairs of indices name, of the result's leading axes; the shapes are
/// those that the indices are into.
pub(crate) fn picked<A: Clone, B: Clone>(
    a: &ArrayD<A>,
    b: &ArrayD<B>,
    shapes: [&[usize]; 2],
    indices: &[WideArray],
    target: Target,
) -> Result<(ArrayD<A>, ArrayD<B>)> {
    let picks = picks(shapes, indices, target)?;
    let leading = &target.ty.shape[..target.ty.shape.rank() - 2];
    let (lhs, rhs): (Vec<usize>, Vec<usize>) = picks.into_iter().unzip();
    Ok((selected(a, &lhs, leading)?, selected(b, &rhs, leading)?))
}

/// These matrices, of these leading axes.
fn selected<T: Clone>(x: &ArrayD<T>, indices: &[usize], leading: &[usize]) -> Result<ArrayD<T>> {
    let selected = flatten_leading(x)?.select(Axis(0), indices);
    let shape = [leading, &selected.shape()[1..]].concat();
    let selected = selected.to_shape(shape);
    let selected = selected.map_err(|err| Error::new(ErrorKind::Internal, err.to_string()))?;
    Ok(selected.into_owned())
}
