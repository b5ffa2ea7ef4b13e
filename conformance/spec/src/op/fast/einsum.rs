//! Sums of products by labels.

use crate::cost::{count, limbs};
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::row::row;
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, Dtypes, Error, ErrorKind, Family, Judged, List, Price, Result, ResultDType, Row,
    TensorType,
};

ops! {
    /// Sums of products by labels. Each axis of each operand has a label, and axes of one label have one
    /// index. For each index of the result's labels, the elements there, one of each operand, are
    /// multiplied, and the products are summed over all indices of the other labels. Integers are exact.
    ///
    /// Factors may be taken out of a sum, and partial results overflow: with an infinity or a NaN, terms
    /// that a sum would lack may show.
    pub struct Einsum = Row {
        name: "einsum",
        operands: &["tensor"],
        arity: Arity::AtLeast(1),
        result: ResultDType::Merged,
        judged: Judged::Values(sum_tolerance),
        // A lone term may be added to a 0, or not.
        open_zero: Dtypes::ALL,
        grad: Some(SMOOTH),
        price: Price::each(2),
        ..row(Family::Fast)
    }; {
        /// The labels of the operands' axes, one operand's after the other's: any numbers.
        labels: List<usize>,
        /// The labels of the result's axes, each of them once.
        result: List<usize>,
    }
}

impl Einsum {
    /// The labels of each operand of these ranks; none where there are fewer.
    pub fn operands(&self, ranks: impl IntoIterator<Item = usize>) -> Vec<&[usize]> {
        let mut rest = &self.labels[..];
        let mut take = |rank: usize| {
            let (own, others) = rest.split_at(rank.min(rest.len()));
            rest = others;
            own
        };
        ranks.into_iter().map(&mut take).collect()
    }

    /// What is left of `labels`, in order and each once, after a sum over those that neither the result
    /// nor one of the operands to come has.
    pub fn kept(&self, labels: &[usize], to_come: &[&[usize]]) -> Vec<usize> {
        let mut kept = Vec::new();
        for label in labels {
            let needed = self.result.contains(label) || to_come.iter().any(|o| o.contains(label));
            if needed && !kept.contains(label) {
                kept.push(*label);
            }
        }
        kept
    }

    /// The sizes of labels, with the label of each axis.
    fn sizes(&self, inputs: &[TensorType]) -> Result<Vec<(usize, usize)>> {
        let ranks: usize = inputs.iter().map(|ty| ty.shape.rank()).sum();
        if ranks != self.labels.len() {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "there are {} labels for {ranks} axes; each axis has one",
                    self.labels.len()
                ),
            ));
        }
        let mut sizes: Vec<(usize, usize)> = Vec::new();
        let dims = inputs.iter().flat_map(|ty| ty.shape.iter().copied());
        for (&label, size) in self.labels.iter().zip(dims) {
            match sizes.iter().find(|(known, _)| *known == label) {
                Some((_, other)) if *other != size => {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!("axes of one label have the sizes {other} and {size}"),
                    ));
                }
                Some(_) => {}
                None => sizes.push((label, size)),
            }
        }
        Ok(sizes)
    }
}

impl Attributes for Einsum {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let sizes = self.sizes(inputs)?;
        let mut dims = Vec::new();
        for (at, label) in self.result.iter().enumerate() {
            let known = sizes.iter().find(|(known, _)| known == label);
            let (Some((_, size)), false) = (known, self.result[..at].contains(label)) else {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("label {label} of the result must be an operand's, and once"),
                ));
            };
            dims.push(*size);
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }

    /// Operands are multiplied from left to right; what is there at a time are copies of both factors and
    /// their product.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let sizes = self.sizes(inputs)?;
        let elements = |labels: &[usize]| {
            let of = |(label, size): &(usize, usize)| labels.contains(label).then_some(*size);
            count(sizes.iter().filter_map(of))
        };
        let operands = self.operands(inputs.iter().map(|ty| ty.shape.rank()));
        let dtype = results[0].dtype;
        let width = dtype.size().max(4) as u64;
        let (mut product, mut most) = (Vec::new(), 0u64);
        for (at, own) in operands.iter().enumerate() {
            let all = [&product[..], own].concat();
            let left = self.kept(&all, &operands[at + 1..]);
            let [product_size, own_size, left_size] = [&product[..], own, &left[..]].map(elements);
            let factors = product_size.saturating_add(own_size);
            let buffers = factors.saturating_add(left_size).saturating_mul(2 * width);
            most = most.max(buffers.saturating_add(limbs(dtype, factors, left_size)));
            product = left;
        }
        Ok(Cost {
            temporaries: most.saturating_add(cost.temporaries),
        })
    }
}
