//! Sums of products by labels, out of `dot`: MLX's own multiplies no integers, and adds up small floats in
//! their few digits.

use emily_spec::{Dot, Einsum, Error, ErrorKind, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;

use crate::mlx::{clone_array, dtype_of, refusal, shape_of, slice};
use crate::ops::binary::multiply;
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::reduce::sum;
use crate::ops::{Cx, axes as mlx_axes, fits, length, linalg};

/// An array and the labels of its axes.
struct Labelled {
    array: Array,
    labels: Vec<usize>,
}

/// Operands are multiplied from left to right, and what is needed no more is summed over as soon as it may.
pub(in crate::ops) fn einsum(
    op: &Einsum,
    inputs: &[Array],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let operands = op.operands(inputs.iter().map(Array::ndim));
    let mut product: Option<Labelled> = None;
    for (at, (input, labels)) in inputs.iter().zip(&operands).enumerate() {
        let own = Labelled {
            array: widened(&cast(input, ty.dtype)?)?,
            labels: labels.to_vec(),
        };
        let own = own.diagonals()?;
        let to_come = &operands[at + 1..];
        product = Some(match product {
            None => own.summed(|labels| op.kept(labels, to_come))?,
            Some(product) => {
                let factor = [&product.labels[..]];
                let to_come = [to_come, &factor].concat();
                let own = own.summed(|labels| op.kept(labels, &to_come))?;
                product.times(&own, |labels| op.kept(labels, &operands[at + 1..]), cx)?
            }
        });
    }
    let Some(Labelled { array, labels }) = product else {
        return Err(refusal(Error::new(
            ErrorKind::Internal,
            "einsum has no operands",
        )));
    };
    let order = op.result.iter().filter_map(|label| place(&labels, *label));
    let order: Vec<usize> = order.collect();
    cast(&array.transpose_axes(&mlx_axes(&order))?, ty.dtype)
}

fn place(labels: &[usize], label: usize) -> Option<usize> {
    labels.iter().position(|other| *other == label)
}

impl Labelled {
    /// Of axes with one label the elements whose indices are the same: every (n + 1)th of n · n.
    fn diagonals(self) -> Result<Labelled> {
        let Labelled {
            mut array,
            mut labels,
        } = self;
        while let Some((first, second)) = repeated(&labels) {
            let size = array.dim(first as i32);
            let others = (0..labels.len()).filter(|axis| ![first, second].contains(axis));
            let order: Vec<usize> = [first, second].into_iter().chain(others).collect();
            let apart = array.transpose_axes(&mlx_axes(&order))?;
            let mut shape = apart.shape()[1..].to_vec();
            // A row longer by one makes the diagonal a column; the last row lacks nothing of it.
            shape[0] = length(size as usize * size as usize)?;
            let flat = apart.reshape(&shape)?;
            array = every(&flat, size + 1)?;
            labels = order[1..].iter().map(|&axis| labels[axis]).collect();
        }
        Ok(Labelled { array, labels })
    }

    /// Summed over the labels that are not kept.
    fn summed(self, kept: impl Fn(&[usize]) -> Vec<usize>) -> Result<Labelled> {
        let kept = kept(&self.labels);
        let axes = (0..self.labels.len()).filter(|&axis| !kept.contains(&self.labels[axis]));
        let axes: Vec<usize> = axes.collect();
        if axes.is_empty() {
            return Ok(self);
        }
        let shape = shape_of(&self.array).reduce(&axes, false);
        let ty = TensorType::new(dtype_of(&self.array), shape);
        Ok(Labelled {
            array: sum(&self.array, &axes, &ty)?,
            labels: kept,
        })
    }

    /// The product of both, summed over the labels that are not kept, which both have.
    fn times(
        &self,
        other: &Labelled,
        kept: impl Fn(&[usize]) -> Vec<usize>,
        cx: &Cx,
    ) -> Result<Labelled> {
        let kept = kept(&[&self.labels[..], &other.labels].concat());
        let both = self
            .labels
            .iter()
            .filter(|label| other.labels.contains(label));
        let (batch, contract): (Vec<usize>, Vec<usize>) =
            both.partition(|label| kept.contains(label));
        let free = |side: &Labelled| -> Vec<usize> {
            let own = side.labels.iter().copied();
            own.filter(|label| !batch.contains(label) && !contract.contains(label))
                .collect()
        };
        let labels = [batch.clone(), free(self), free(other)].concat();
        let axes = |side: &Labelled, labels: &[usize]| {
            labels
                .iter()
                .filter_map(|&label| place(&side.labels, label))
                .collect()
        };
        let dot = Dot {
            contract_left: axes(self, &contract),
            batch_left: Some(axes(self, &batch)),
            contract_right: axes(other, &contract),
            batch_right: Some(axes(other, &batch)),
            dtype: None,
        };
        let size = |label: &usize| {
            let of =
                |side: &Labelled| place(&side.labels, *label).map(|axis| side.array.shape()[axis]);
            of(self)
                .or_else(|| of(other))
                .map_or(1, |size| size as usize)
        };
        let shape: Vec<usize> = labels.iter().map(size).collect();
        let sizes: Vec<i32> = shape.iter().map(|&size| size as i32).collect();
        fits(&sizes, self.array.item_size(), cx)?;
        let ty = TensorType::new(dtype_of(&self.array), shape);
        let array = if contract.is_empty() {
            let factors = [self.spread(&labels)?, other.spread(&labels)?];
            multiply(&factors[0], &factors[1], &ty, cx)?
        } else {
            let factors = [clone_array(&self.array), clone_array(&other.array)];
            linalg::dot(&dot, &factors, &ty, cx)?
        };
        Ok(Labelled { array, labels })
    }

    /// The array with an axis for each of these labels, of size 1 where it has none.
    fn spread(&self, labels: &[usize]) -> Result<Array> {
        let own = labels
            .iter()
            .filter_map(|label| place(&self.labels, *label));
        let own: Vec<usize> = own.collect();
        let size = |label: &usize| match place(&self.labels, *label) {
            Some(axis) => self.array.shape()[axis],
            None => 1,
        };
        let shape: Vec<i32> = labels.iter().map(size).collect();
        self.array.transpose_axes(&mlx_axes(&own))?.reshape(&shape)
    }
}

/// The first two axes with one label.
fn repeated(labels: &[usize]) -> Option<(usize, usize)> {
    let second = (0..labels.len()).find(|&at| labels[..at].contains(&labels[at]))?;
    Some((place(labels, labels[second])?, second))
}

/// Every `step`-th element along the first axis, from the first on.
fn every(x: &Array, step: i32) -> Result<Array> {
    let mut strides = vec![1; x.ndim()];
    strides[0] = step;
    slice(x, &vec![0; x.ndim()], x.shape(), &strides)
}
