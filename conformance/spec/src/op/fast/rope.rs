//! Rotary positions.

use super::FAST;
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::row::check_integer;
use crate::{
    Arity, Cost, Domain, Error, ErrorKind, Grad, Result, Role, Row, Scalar, Shape, TensorType,
};

ops! {
    /// Rotary position embedding: pairs of features are rotated by an angle that grows with the position.
    /// The last two axes are positions and features. At position t pair i of n is rotated by
    /// scale · (offset + t) · base^(−i / n), or by scale · (offset + t) / freqs\[i\]: (a, b) becomes
    /// (a · cos − b · sin, a · sin + b · cos).
    ///
    /// An angle may have eight roundings of `f64`, each relative to all of it, so that it loses digits as the
    /// position grows, and then three of the dtype that is computed in. These are of what a base's angle is
    /// within a turn; of `freqs`' angles, which are rounded themselves, they may be of all of it.
    pub struct Rope = Row {
        name: "rope",
        operands: &["tensor", "offset", "freqs"],
        roles: &[Role::Data, Role::Index, Role::Predicate],
        arity: Arity::Within(2, 3),
        // An infinite angle has no sine.
        domain: &[Domain::Any, Domain::Any, Domain::Range(1.0, 1000.0)],
        grad: Some(Grad {
            domain: &[Domain::Range(-2.0, 2.0), Domain::Any, Domain::Range(1.0, 1000.0)],
            ..SMOOTH
        }),
        ..FAST
    }; {
        /// How many of the features are rotated, the first ones: an even number. All when absent.
        dims: Option<usize>,
        /// Features 2i and 2i + 1 are a pair; else i and i + n of 2n are.
        #[serde(default)]
        traditional: bool,
        /// What the angles are powers of, a real number above 0; 10000 when absent. None with `freqs`.
        base: Option<Scalar>,
        /// What positions are multiplied by, a real number; 1 when absent.
        scale: Option<Scalar>,
    }
}

impl Rope {
    /// The number of pairs that are rotated, of a tensor with this many features.
    pub fn pairs(&self, features: usize) -> usize {
        self.dims.unwrap_or(features) / 2
    }

    /// base^(−i / n) for each of n pairs.
    pub fn frequencies(&self, pairs: usize) -> Vec<f64> {
        let base = self.base.map_or(Some(10_000.0), Scalar::real);
        let base = base.unwrap_or(f64::NAN);
        let power = |i| base.powf(-(i as f64) / pairs as f64);
        (0..pairs).map(power).collect()
    }

    /// What positions are multiplied by; none where that is no real number.
    pub fn factor(&self) -> Option<f64> {
        self.scale.map_or(Some(1.0), Scalar::real)
    }

    fn check_attributes(&self, with_freqs: bool) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Argument, message));
        if self.base.is_some() && with_freqs {
            return wrong("base and freqs exclude each other; give one of them");
        }
        let positive = |base: Scalar| base.real().is_some_and(|base| base > 0.0);
        if !self.base.is_none_or(positive) {
            return wrong("base must be a real number above 0");
        }
        if self.factor().is_none() {
            return wrong("scale must be a real number");
        }
        Ok(())
    }
}

impl Attributes for Rope {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let misfit = |message: String| Err(Error::new(ErrorKind::Shape, message));
        let shape = &inputs[0].shape;
        let Some(&[_, features]) = shape.last_chunk::<2>() else {
            return misfit(format!(
                "the tensor is {shape}; its last two axes must be positions and features"
            ));
        };
        let dims = self.dims.unwrap_or(features);
        if !dims.is_multiple_of(2) || dims > features {
            return misfit(format!(
                "{dims} of {features} features cannot be rotated in pairs; dims must be even and no more \
                 than there are"
            ));
        }
        let offset = &inputs[1];
        check_integer(offset.dtype, "an offset")?;
        let each = (shape.rank() > 2).then(|| Shape::from([shape[0]]));
        if offset.shape != Shape::scalar() && Some(&offset.shape) != each.as_ref() {
            let or = each.map_or(String::new(), |each| format!(" or {each}"));
            return misfit(format!(
                "the offset is {}, for a tensor {shape}; it must be []{or}",
                offset.shape
            ));
        }
        if let Some(freqs) = inputs.get(2) {
            row.check_dtype(freqs.dtype)?;
            if freqs.shape != Shape::from([dims / 2]) {
                return misfit(format!(
                    "the freqs are {}, for {} pairs of features; they must be [{}]",
                    freqs.shape,
                    dims / 2,
                    dims / 2
                ));
            }
        }
        self.check_attributes(inputs.len() > 2)?;
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, shape.clone())])
    }

    /// Angles are computed in `f64`, for each pair, position and offset: as many as there are pairs of
    /// features at most.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let angles = (results[0].shape.size()? as u64).saturating_mul(8 * 4);
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(angles),
        })
    }
}
