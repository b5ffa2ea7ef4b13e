//! Convolutions.

use super::{Attributes, ops};
use crate::cost::{count, largest};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, Error, ErrorKind, Family, Judged, List, Price, Range, Result, ResultDType, Row,
    Shape, TensorType,
};

ops! {
    /// Sum of products of a window of the input with a kernel, for each place of the window. The
    /// input's axes are batch, channels and the spatial ones, the kernel's are output channels, input
    /// channels and the spatial ones, the result's are batch, output channels and the spatial ones.
    /// The kernel is not reversed. The padding's zeros, and those that a dilation puts into the input,
    /// are elements like others; what a dilation skips of the input is no term.
    pub struct Conv = Row {
        name: "conv",
        operands: &["tensor", "kernel"],
        arity: Arity::Exactly(2),
        result: ResultDType::Floating,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        price: Price::each(2),
        ..row(Family::Conv)
    }; {
        /// How far the window moves, per spatial axis; 1 when absent.
        strides: Option<List<usize>>,
        /// How many zeros before the first element of each spatial axis, less than 0 to take
        /// elements away; none when absent.
        low: Option<List<i64>>,
        /// How many zeros after the last element of each spatial axis, less than 0 to take elements
        /// away; none when absent.
        high: Option<List<i64>>,
        /// How far neighbours of the input lie apart, per spatial axis, with zeros between them; 1
        /// when absent.
        input_dilation: Option<List<usize>>,
        /// How far the elements that meet neighbours of the kernel lie apart, per spatial axis; 1
        /// when absent.
        kernel_dilation: Option<List<usize>>,
        /// Into how many groups the channels are split, of which each has its share of the kernel's
        /// output channels; 1 when absent.
        feature_group_size: Option<usize>,
        /// Into how many groups the batch is split, of which each has its share of the kernel's output
        /// channels; 1 when absent.
        batch_group_size: Option<usize>,
        /// Where the input's axes are: batch, channels, spatial axes; in this order when absent.
        input_permutation: Option<List<usize>>,
        /// Where the kernel's axes are: output channels, input channels, spatial axes; in this order
        /// when absent.
        kernel_permutation: Option<List<usize>>,
        /// Where the result's axes are: batch, output channels, spatial axes; in this order when
        /// absent.
        output_permutation: Option<List<usize>>,
    }
}

/// What a convolution does along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpatialAxis {
    /// How far the window moves.
    pub stride: usize,
    /// Zeros before the first element; less than 0 takes elements away.
    pub low: i64,
    /// Zeros after the last element; less than 0 takes elements away.
    pub high: i64,
    /// How far neighbours of the input lie apart.
    pub input_dilation: usize,
    /// How far the elements that meet neighbours of the kernel lie apart.
    pub kernel_dilation: usize,
}

impl Conv {
    /// What happens along each spatial axis of an input of this rank.
    pub fn spatial(&self, rank: usize) -> Vec<SpatialAxis> {
        let size = |list: &Option<List<usize>>, i: usize| list.as_ref().map_or(1, |list| list[i]);
        let int = |list: &Option<List<i64>>, i: usize| list.as_ref().map_or(0, |list| list[i]);
        let axis = |i: usize| SpatialAxis {
            stride: size(&self.strides, i),
            low: int(&self.low, i),
            high: int(&self.high, i),
            input_dilation: size(&self.input_dilation, i),
            kernel_dilation: size(&self.kernel_dilation, i),
        };
        (0..rank - 2).map(axis).collect()
    }

    /// Into how many groups the channels and the batch are split.
    pub fn groups(&self) -> [usize; 2] {
        [self.feature_group_size, self.batch_group_size].map(|groups| groups.unwrap_or(1))
    }

    /// Where the axes of the input, the kernel and the result are.
    pub fn permutations(&self, rank: usize) -> [Vec<usize>; 3] {
        [
            &self.input_permutation,
            &self.kernel_permutation,
            &self.output_permutation,
        ]
        .map(|order| match order {
            Some(order) => order.to_vec(),
            None => (0..rank).collect(),
        })
    }

    fn check_lists(&self, rank: usize) -> Result<()> {
        let spatial = [
            ("strides", self.strides.as_deref().map(<[_]>::len)),
            ("low", self.low.as_deref().map(<[_]>::len)),
            ("high", self.high.as_deref().map(<[_]>::len)),
            (
                "input_dilation",
                self.input_dilation.as_deref().map(<[_]>::len),
            ),
            (
                "kernel_dilation",
                self.kernel_dilation.as_deref().map(<[_]>::len),
            ),
        ];
        for (name, len) in spatial {
            if len.is_some_and(|len| len != rank - 2) {
                return Err(argument(format!(
                    "{name} needs one entry per spatial axis, of which there are {}",
                    rank - 2
                )));
            }
        }
        let axes = self.spatial(rank);
        let least = axes
            .iter()
            .map(|axis| {
                axis.stride
                    .min(axis.input_dilation)
                    .min(axis.kernel_dilation)
            })
            .chain(self.groups());
        if least.min() == Some(0) {
            return Err(argument(
                "strides, dilations and groups must be 1 or more".into(),
            ));
        }
        for order in self.permutations(rank) {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..rank) {
                return Err(argument(format!(
                    "{order:?} is no permutation of {rank} axes"
                )));
            }
        }
        Ok(())
    }

    fn check_groups(&self, input: &Shape, kernel: &Shape) -> Result<()> {
        let [feature, batch] = self.groups();
        if feature != 1 && batch != 1 {
            return Err(argument(format!(
                "{feature} feature groups and {batch} batch groups: one of them must be 1"
            )));
        }
        let [outputs, channels] = [kernel[0], kernel[1]];
        if !outputs.is_multiple_of(feature * batch) || !input[0].is_multiple_of(batch) {
            return Err(argument(format!(
                "{} groups do not divide {outputs} output channels of the kernel, or a batch of {}",
                feature * batch,
                input[0]
            )));
        }
        if channels.checked_mul(feature) != Some(input[1]) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{} channels in {feature} groups do not meet a kernel of {channels} input channels",
                    input[1]
                ),
            ));
        }
        Ok(())
    }
}

impl SpatialAxis {
    /// The size of the input's axis with what is put in and taken away; less than 0 where more is
    /// taken away than there is.
    pub fn padded(&self, size: usize) -> i128 {
        spread(size, self.input_dilation)
            .saturating_add(self.low.into())
            .saturating_add(self.high.into())
    }

    /// The number of places that the window has.
    fn places(&self, input: usize, kernel: usize) -> Result<usize> {
        let (padded, window) = (self.padded(input), spread(kernel, self.kernel_dilation));
        if padded < window {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a window of {window} does not fit into {padded} elements"),
            ));
        }
        // What no dimension may be is refused here, as it may be harmless in the result.
        let limit = Shape::MAX_DIM as i128;
        if padded > limit || window > limit {
            return Err(Error::new(
                ErrorKind::Memory,
                format!("{padded} elements along an axis are over MLX's limit of {limit}"),
            ));
        }
        Ok(((padded - window) / self.stride as i128) as usize + 1)
    }
}

/// How far an axis reaches whose neighbours lie `step` apart.
fn spread(size: usize, step: usize) -> i128 {
    match size {
        0 => 0,
        _ => (size as i128 - 1).saturating_mul(step as i128) + 1,
    }
}

fn argument(message: String) -> Error {
    Error::new(ErrorKind::Argument, message)
}

/// The shape whose axes were at these places.
fn permuted(shape: &Shape, order: &[usize]) -> Shape {
    Shape::new(order.iter().map(|&axis| shape[axis]).collect::<Vec<_>>())
}

impl Attributes for Conv {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let rank = inputs[0].shape.rank();
        if rank < 3 || rank != inputs[1].shape.rank() {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{} and {} must be of one rank, 3 or more",
                    inputs[0].shape, inputs[1].shape
                ),
            ));
        }
        self.check_lists(rank)?;
        let [input_order, kernel_order, output_order] = self.permutations(rank);
        let input = permuted(&inputs[0].shape, &input_order);
        let kernel = permuted(&inputs[1].shape, &kernel_order);
        self.check_groups(&input, &kernel)?;
        let [_, batch_groups] = self.groups();
        let mut dims = vec![0; rank];
        dims[output_order[0]] = input[0] / batch_groups;
        dims[output_order[1]] = kernel[0];
        for (i, axis) in self.spatial(rank).into_iter().enumerate() {
            dims[output_order[i + 2]] = axis.places(input[i + 2], kernel[i + 2])?;
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }

    /// Each element of the result is a sum over a window. The input is in use in the kernel's order, and padded, and
    /// all windows side by side.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let rank = inputs[0].shape.rank();
        let [input_order, kernel_order, _] = self.permutations(rank);
        let input = permuted(&inputs[0].shape, &input_order);
        let kernel = permuted(&inputs[1].shape, &kernel_order);
        let terms = count(kernel[1..].iter().copied());
        let spatial = self.spatial(rank);
        let padded = spatial.iter().zip(&input[2..]);
        let padded = padded.map(|(axis, &dim)| axis.padded(dim).max(0) as usize);
        let padded = count(padded.chain([input[0]]));
        let elements = largest(results)?;
        let groups: usize = self.groups().iter().product();
        let windows = (elements / (kernel[0] as u64).max(1))
            .saturating_mul(terms)
            .saturating_mul(groups as u64);
        let width = results[0].dtype.size().max(4) as u64;
        // Of complex numbers the parts, too.
        let copies = if results[0].dtype.is_complex() { 2 } else { 1 };
        let copies = largest(&inputs[..1])?.saturating_mul(copies);
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: padded
                .saturating_mul(input[1] as u64)
                .saturating_add(copies)
                .saturating_add(windows)
                .saturating_mul(width)
                .saturating_add(cost.temporaries),
        })
    }
}
