//! Attention: what queries take of values.

use super::FAST;
use crate::cost::count;
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::{
    Arity, Cost, Domain, Dtypes, Error, ErrorKind, Grad, Result, Row, Scalar, Shape, TensorType,
};

ops! {
    /// What each query takes of the values: their sum, each times its weight. The weights are the softmax
    /// of the query's scores, its products with the keys, scaled and masked. Operands have the axes batch,
    /// heads, length, features; several consecutive heads of queries may share one of keys and values. A
    /// fully masked query has NaN, as a softmax of −∞ alone has; a value of weight 0 is still multiplied by
    /// it.
    ///
    /// A mask broadcasts to batch, heads, queries, keys: of integers, it hides a key where it is zero; of
    /// floats, it is added to the scores. Sinks are a score more for each head of queries, whose weight is
    /// dropped. Mask and sinks are taken in the dtype that is computed in.
    pub struct ScaledDotProductAttention = Row {
        name: "scaled_dot_product_attention",
        operands: &["query", "key", "value", "mask", "sinks"],
        arity: Arity::Within(3, 5),
        // A weight may vanish that the definition gives a sign to.
        open_zero: Dtypes::FLOAT,
        // Of a mask that hides all keys no slope is a number. A slope is of differences between a value and
        // the mean, of which the values drawn may leave an eighth.
        grad: Some(Grad {
            domain: &[
                Domain::Range(-2.0, 2.0),
                Domain::Range(-2.0, 2.0),
                Domain::Range(-2.0, 2.0),
                Domain::NonZero,
                Domain::Range(-2.0, 2.0),
            ],
            eps: 8.0 * SMOOTH.eps,
            ..SMOOTH
        }),
        ..FAST
    }; {
        /// What products of queries and keys are multiplied by, a real number; one over the root of the number
        /// of features when absent.
        scale: Option<Scalar>,
        /// The last query sees all keys, and each one before it one less.
        #[serde(default)]
        causal: bool,
        /// The last operand is sinks.
        #[serde(default)]
        sinks: bool,
    }
}

/// The operands of attention by their part in it.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOperands<'a, T> {
    /// Query, key and value.
    pub data: [&'a T; 3],
    /// What hides keys from queries, where there is a mask.
    pub mask: Option<&'a T>,
    /// A score more per head of queries, where there are any.
    pub sinks: Option<&'a T>,
}

impl ScaledDotProductAttention {
    /// The operands by their part; none where there are too many or too few of them.
    pub fn operands<'a, T>(&self, inputs: &'a [T]) -> Option<AttentionOperands<'a, T>> {
        let (data, rest) = inputs.split_first_chunk::<3>()?;
        let (mask, sinks) = match (self.sinks, rest) {
            (false, []) => (None, None),
            (false, [mask]) => (Some(mask), None),
            (true, [sinks]) => (None, Some(sinks)),
            (true, [mask, sinks]) => (Some(mask), Some(sinks)),
            (false | true, _) => return None,
        };
        Some(AttentionOperands {
            data: data.each_ref(),
            mask,
            sinks,
        })
    }

    /// True where causality alone hides every key from a query, and there are no sinks.
    pub fn has_fully_masked_queries(&self, inputs: &[TensorType]) -> bool {
        let length = |at: usize| inputs.get(at).and_then(|ty| ty.shape.get(2));
        self.causal && !self.sinks && length(0) > length(1)
    }

    /// What products of vectors of this many features are multiplied by; none where that is no real number.
    pub fn factor(&self, features: usize) -> Option<f64> {
        self.scale
            .map_or_else(|| Some(1.0 / (features as f64).sqrt()), Scalar::real)
    }
}

impl Attributes for ScaledDotProductAttention {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let Some(AttentionOperands { data, mask, sinks }) = self.operands(inputs) else {
            return Err(Error::new(
                ErrorKind::Argument,
                "sinks are the last operand, after a mask if there is one; say sinks: true",
            ));
        };
        let [query, key, value] = axes(row, data)?;
        check_sizes(query, key, value)?;
        let [batch, heads, queries, features] = query;
        let scores = Shape::from([batch, heads, queries, key[2]]);
        if let Some(mask) = mask
            && mask.shape.check_broadcasts_to(&scores).is_err()
        {
            return misfit(format!(
                "the mask {} does not broadcast to {scores}: batch, heads, queries, keys",
                mask.shape
            ));
        }
        if let Some(sinks) = sinks
            && sinks.shape != Shape::from([heads])
        {
            return misfit(format!(
                "the sinks are {}, for {heads} heads of queries; they must be [{heads}]",
                sinks.shape
            ));
        }
        if self.factor(features).is_none() {
            return Err(Error::new(
                ErrorKind::Argument,
                "scale must be a real number",
            ));
        }
        let dtype = row.result_dtype(&data.map(Clone::clone), None)?;
        Ok(vec![TensorType::new(
            dtype,
            [batch, heads, queries, value[3]],
        )])
    }

    /// A score and a weight for each query and key, in four buffers, and two copies of the operands, in
    /// the dtype that is computed in.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let [query, key, value] = [0, 1, 2].map(|at| inputs[at].shape.dims());
        let scores = count([query[0], query[1], query[2], key[2]]);
        let operands = [query, key, value].map(|shape| count(shape.iter().copied()));
        let operands = operands.into_iter();
        let operands = operands.fold(0, u64::saturating_add);
        let width = results[0].dtype.size().max(4) as u64;
        let buffers = scores
            .saturating_mul(4)
            .saturating_add(operands.saturating_mul(3));
        Ok(Cost {
            temporaries: buffers
                .saturating_mul(width)
                .saturating_add(cost.temporaries),
        })
    }
}

fn misfit<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Shape, message))
}

/// The sizes of the four axes of each of these.
fn axes(row: &Row, data: [&TensorType; 3]) -> Result<[[usize; 4]; 3]> {
    let mut sizes = [[0; 4]; 3];
    for ((ty, name), sizes) in data.iter().zip(row.operands).zip(&mut sizes) {
        let Ok(four) = <[usize; 4]>::try_from(ty.shape.dims()) else {
            return misfit(format!(
                "the {name} is {}; it must have the axes batch, heads, length, features",
                ty.shape
            ));
        };
        *sizes = four;
    }
    Ok(sizes)
}

fn check_sizes(query: [usize; 4], key: [usize; 4], value: [usize; 4]) -> Result<()> {
    let [batch, heads, _, features] = query;
    if key[0] != batch || value[0] != batch {
        return misfit(format!(
            "batches differ: {batch} of queries, {} of keys, {} of values",
            key[0], value[0]
        ));
    }
    if key[1] != value[1] || key[2] != value[2] {
        return misfit(format!(
            "each key has a value, but there are {} heads of {} keys and {} heads of {} values",
            key[1], key[2], value[1], value[2]
        ));
    }
    if key[3] != features {
        return misfit(format!(
            "queries have {features} features and keys {}; they must be as many",
            key[3]
        ));
    }
    if heads != 0 && (key[1] == 0 || !heads.is_multiple_of(key[1])) {
        return misfit(format!(
            "{heads} heads of queries cannot share {} of keys evenly; there must be a multiple",
            key[1]
        ));
    }
    Ok(())
}
