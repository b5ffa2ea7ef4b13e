//! What a result's rounding errors are relative to.

use emily_spec::DType;

use crate::format::Format;

/// What `Tolerance::Accum` counts in, per element of a result in row-major order: an allowance of
/// `k` is an error of `k · eps · worst`.
#[derive(Clone, Debug, PartialEq)]
pub struct Magnitude {
    /// What the sizes are of.
    pub of: Of,
    /// Σ|xᵢ| for a sum, Σ|aᵢ·bᵢ| for a product, the modulus of a complex function's result.
    pub sizes: Vec<f64>,
    /// The sizes times what errors may grow by: with the number of terms, or with a function's
    /// condition. Results that underflow on the way have errors of a size of their own, so none is
    /// smaller than the smallest normal value but where nothing is rounded.
    pub worst: Vec<f64>,
    /// The share of `worst` that errors reach where they do not all point the same way, as with
    /// operands drawn at random; 1 where that is no less.
    pub random: f64,
    /// Whether the sign of a zero is open for what was rounded away, of each element's real and
    /// imaginary part; empty where none is.
    pub open_zeros: Vec<[bool; 2]>,
}

impl Magnitude {
    /// Of terms that are added up, given what errors make of a size. What all that is added up is less
    /// than the smallest number there is has no sign.
    pub(crate) fn of_terms(dtype: DType, sizes: Vec<f64>, grown: impl Fn(f64) -> f64) -> Magnitude {
        let least = Format::of(dtype).map_or(0.0, Format::least);
        let worst: Vec<f64> = sizes.iter().copied().map(grown).collect();
        let open = |(&size, &worst): (&f64, &f64)| [worst > 0.0 && size < least; 2];
        Magnitude {
            of: Of::Terms,
            open_zeros: sizes.iter().zip(&worst).map(open).collect(),
            worst,
            sizes,
            random: 1.0,
        }
    }
}

/// Where a magnitude comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Terms that are added up: partial sums are of any size up to theirs, and of either sign.
    Terms,
    /// A complex function, both of whose parts share the error of the modulus.
    Function,
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use emily_spec::{Arithmetic, Dot, Op, Reduce, Reduction, Typed, Unary};

    use super::*;
    use crate::testing::tensor;

    /// What is beside the op's only answer.
    fn magnitude(op: &Op, inputs: &[&str]) -> Option<Magnitude> {
        let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
        let [answer] = crate::run(op, &inputs).unwrap().try_into().unwrap();
        answer.magnitude
    }

    #[test]
    fn a_sum_s_is_of_its_terms_moduli() {
        let op = Op::Reduce(
            Reduce::Sum,
            Reduction {
                axes: Some([1].into()),
                keep_axes: false,
                dtype: None,
            },
        );
        let of_floats = magnitude(&op, &["f32[2,2] 1 -2 3 4"]).unwrap();
        assert_eq!(of_floats.of, Of::Terms);
        assert_eq!(of_floats.sizes, [3.0, 7.0]);
        assert_eq!(of_floats.worst, [3.0, 7.0]);
        let of_complex = magnitude(&op, &["c64[1,2] 3+4i -3-4i"]).unwrap();
        assert_eq!(of_complex.sizes, [10.0]);
        assert_eq!(magnitude(&op, &["s32[1,2] 1 -2"]), None);
    }

    #[test]
    fn a_product_s_is_of_its_terms_and_their_number() {
        let op = Op::Dot(Dot {
            contract_left: [0].into(),
            batch_left: None,
            contract_right: [0].into(),
            batch_right: None,
            dtype: None,
        });
        let two = magnitude(&op, &["f32[2] 1 -2", "f32[2] 3 4"]).unwrap();
        assert_eq!(two.of, Of::Terms);
        assert_eq!((two.sizes, two.worst), (vec![11.0], vec![11.0]));
        // (n + 1) / 4 for eight terms in f32; f16 accumulates in f32, which rounds below its digits.
        let eight = ["f32[8] 1 -2 0 0 0 0 0 0", "f32[8] 3 4 1 1 1 1 1 1"];
        let wide = magnitude(&op, &eight).unwrap();
        assert_eq!((wide.sizes, wide.worst), (vec![11.0], vec![24.75]));
        let narrow = eight.map(|text| text.replace("f32", "f16"));
        let narrow = magnitude(&op, &[&narrow[0], &narrow[1]]).unwrap();
        assert_eq!(narrow.worst, [11.0]);
        // Products below f32's normal range are rounded to its step.
        let tiny = f64::from(f32::MIN_POSITIVE);
        let lost = magnitude(&op, &["f32[2] 1e-30 1e-30", "f32[2] 1e-30 1e-30"]).unwrap();
        assert_relative_eq!(lost.worst[0], tiny, max_relative = 1e-6);
    }

    #[test]
    fn a_complex_function_s_is_the_modulus() {
        // (3 + 4i) / (1 + 2i) has the modulus 5 / √5; e^(1 + iπ/2) has e.
        let divide = Op::Arithmetic(Arithmetic::Divide, Typed { dtype: None });
        let quotient = magnitude(&divide, &["c64[] 3+4i", "c64[] 1+2i"]).unwrap();
        assert_eq!(quotient.of, Of::Function);
        assert_relative_eq!(quotient.sizes[0], 5f64.sqrt(), max_relative = 1e-15);
        let exp = Op::Unary(Unary::Exp);
        let power = magnitude(&exp, &["c64[] 1+1.5707963267948966i"]).unwrap();
        assert_relative_eq!(power.sizes[0], std::f64::consts::E, max_relative = 1e-15);
        assert_eq!(magnitude(&exp, &["f32[] 1"]), None);
    }
}
