//! Element-wise operations on one operand.

use super::{Attributes, Plain, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::library;
use crate::{
    Cost, DType, Domain, Dtypes, Error, ErrorKind, Family, Grad, Judged, Price, Range, Result,
    ResultDType, Row, TensorType, Tolerance,
};

/// A function of each element, whose result is floating: integers are cast to `f32` first.
const UNARY: Row = Row {
    result: ResultDType::Floating,
    ..row(Family::Unary)
};

/// Smooth where the domain is.
const fn within(domain: &'static [Domain]) -> Grad {
    Grad { domain, ..SMOOTH }
}

/// A function of each element that has its dtype.
const EXACT: Row = Row {
    result: ResultDType::Same,
    ..UNARY
};

/// A function of an integer's bits.
const BITS: Row = Row {
    accepts: Dtypes::INTEGER,
    price: Price::each(8),
    ..EXACT
};

/// 1 where something holds of an element.
const PREDICATE: Row = Row {
    result: ResultDType::Predicate,
    vanishes: Dtypes::INTEGER,
    price: Price::each(6),
    ..UNARY
};

ops! {
    /// Functions of each element.
    pub enum Unary(Plain) {
        /// Absolute value. Of a complex number its modulus, which is real; of the least integer
        /// that integer, since its negative wraps.
        Abs = Row {
            name: "abs",
            result: ResultDType::Real,
            // Of complex numbers hypotf: 1 ulp in glibc, 3 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| match dtype == DType::F32 {
                true => Tolerance::Ulp(4),
                false => Tolerance::Exact,
            }),
            range: Range::NonNegative,
            grad: Some(within(&[Domain::Range(0.5, 2.0)])),
            price: Price::each(4),
            ..UNARY
        },
        /// Negative; integers wrap.
        Negate = Row { name: "negate", grad: Some(SMOOTH), ..EXACT },
        /// −1 below zero, 1 above; zeros and NaN stay. Complex numbers have no order.
        Sign = Row {
            name: "sign",
            accepts: Dtypes::REAL,
            price: Price::each(4),
            ..EXACT
        },
        /// Largest integral value not above each element; a zero result has the operand's sign.
        Floor = Row { name: "floor", accepts: Dtypes::FLOAT, ..EXACT },
        /// Smallest integral value not below each element; a zero result has the operand's sign.
        Ceil = Row { name: "ceil", accepts: Dtypes::FLOAT, ..EXACT },
        /// The other bits of each integer.
        BitwiseNot = Row { name: "bitwise_not", price: Price::SIMPLE, ..BITS },
        /// How many zeros an integer's bits begin with: all of them where it is 0.
        CountLeadingZeros = Row { name: "count_leading_zeros", price: Price::each(10), ..BITS },
        /// How many of an integer's bits are 1.
        PopulationCount = Row { name: "population_count", ..BITS },
        /// Real part of each complex number.
        Real = Row {
            name: "real",
            accepts: Dtypes::COMPLEX,
            result: ResultDType::Real,
            price: Price::MOVE,
            ..UNARY
        },
        /// Imaginary part of each complex number.
        Imag = Row {
            name: "imag",
            accepts: Dtypes::COMPLEX,
            result: ResultDType::Real,
            price: Price::MOVE,
            ..UNARY
        },
        /// Complex conjugate: the imaginary part negated, which is −0 for a real operand.
        Conjugate = Row {
            name: "conjugate",
            result: ResultDType::Complex,
            grad: Some(SMOOTH),
            ..UNARY
        },
        /// `u8` 1 where an element, or either part of a complex one, is NaN.
        IsNan = Row { name: "is_nan", ..PREDICATE },
        /// `u8` 1 where an element, or either part of a complex one, is infinite.
        IsInfinity = Row { name: "is_infinity", ..PREDICATE },
        /// `u8` 1 where an element is zero, either zero, as NaN is not.
        LogicalNot = Row {
            name: "logical_not",
            price: Price::each(1),
            vanishes: Dtypes::NONE,
            ..PREDICATE
        },
        /// Angle of each complex number from the positive real axis, from −π to π; a zero's sign says
        /// from which side. A real number's imaginary part is +0.
        Phase = Row {
            name: "phase",
            result: ResultDType::RealFloating,
            // As for atan2.
            judged: Judged::Values(|dtype| library(dtype, 6)),
            range: Range::Angles,
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Nearest integral value, halves away from zero.
        Round = Row {
            name: "round",
            accepts: Dtypes::FLOAT,
            price: Price::each(6),
            ..UNARY
        },
        /// e to the power of each element.
        Exp = Row {
            name: "exp",
            // expf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Square root, correctly rounded; NaN below zero, and −0 of −0.
        Sqrt = Row {
            name: "sqrt",
            // IEEE 754 rounds it correctly, and from f32 to f16 and bf16 once more does no harm: 24 digits
            // are more than twice 11 and two.
            // Complex: csqrtf, 2 ulp a part in glibc.
            judged: Judged::Values(|dtype| match dtype.is_complex() {
                true => library(dtype, 2),
                false => Tolerance::Exact,
            }),
            grad: Some(within(&[Domain::Range(0.5, 2.0)])),
            price: Price::SIMPLE,
            ..UNARY
        },
        /// Reciprocal of the square root: ±infinity of ±0, NaN below zero.
        Rsqrt = Row {
            name: "rsqrt",
            // rsqrtf: 2 ulp in CUDA's table; a root and a quotient, each rounded, are less.
            // Complex: a root within 4 units of its modulus, and a quotient within 8.
            judged: Judged::Values(|dtype| match dtype.is_complex() {
                true => Tolerance::Accum(12.0),
                false => library(dtype, 2),
            }),
            // A quotient: no definition of one says which zero.
            open_zero: Dtypes::COMPLEX,
            range: Range::NoNegativeZero,
            grad: Some(within(&[Domain::Range(0.5, 2.0)])),
            price: Price { temporaries: 2, complex: 16 },
            ..UNARY
        },
        /// Cube root, also of negative numbers; of complex ones the principal root, in the sector within 60
        /// degrees of the positive numbers.
        Cbrt = Row {
            name: "cbrt",
            // A power, 4 ulp in CUDA's and Metal's tables, and a correction.
            judged: Judged::Values(|dtype| library(dtype, 6)),
            grad: Some(within(&[Domain::Range(0.5, 2.0)])),
            price: Price { temporaries: 16, complex: 28 },
            ..UNARY
        },
        /// Natural logarithm: −infinity of zeros, NaN below.
        Log = Row {
            name: "log",
            // logf: 1 ulp in glibc and CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NoNegativeZero,
            grad: Some(within(&[Domain::Range(0.5, 2.0)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Natural logarithm of 1 + x, accurate near zero.
        Log1p = Row {
            name: "log1p",
            // log1pf: 1 ulp in glibc and CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(within(&[Domain::Range(-0.5, 2.0)])),
            price: Price { temporaries: 2, complex: 18 },
            ..UNARY
        },
        /// e to the power of each element, minus 1, accurate near zero.
        Expm1 = Row {
            name: "expm1",
            // expm1f: 1 ulp in glibc and CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(SMOOTH),
            price: Price { temporaries: 2, complex: 28 },
            ..UNARY
        },
        /// 1 / (1 + e^−x), accurate where it is small.
        Sigmoid = Row {
            name: "sigmoid",
            // An exponential within 4, a sum and a quotient.
            judged: Judged::Values(|dtype| library(dtype, 6)),
            // A quotient: no definition of one says which zero.
            open_zero: Dtypes::COMPLEX,
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            price: Price { temporaries: 8, complex: 25 },
            ..UNARY
        },
        /// Sine, of arguments of any size.
        Sin = Row {
            name: "sin",
            // sinf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(SMOOTH),
            price: Price { temporaries: 13, complex: 2 },
            ..UNARY
        },
        /// Cosine, of arguments of any size.
        Cos = Row {
            name: "cos",
            // cosf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NoNegativeZero,
            grad: Some(SMOOTH),
            price: Price { temporaries: 15, complex: 2 },
            ..UNARY
        },
        /// Tangent, of arguments of any size.
        Tan = Row {
            name: "tan",
            // tanf: 1 ulp in glibc, 4 in CUDA's table, 6 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 6)),
            grad: Some(within(&[Domain::Range(-1.0, 1.0)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse sine; NaN beyond −1 and 1.
        Asin = Row {
            name: "asin",
            // asinf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(within(&[Domain::Range(-0.7, 0.7)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse cosine; NaN beyond −1 and 1.
        Acos = Row {
            name: "acos",
            // acosf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NonNegative,
            grad: Some(within(&[Domain::Range(-0.7, 0.7)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse tangent.
        Atan = Row {
            name: "atan",
            // atanf: 1 ulp in glibc, 2 in CUDA's table, 5 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 5)),
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Hyperbolic sine.
        Sinh = Row {
            name: "sinh",
            // sinhf: 2 ulp in glibc, 3 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Hyperbolic cosine.
        Cosh = Row {
            name: "cosh",
            // coshf: 2 ulp in glibc and CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Hyperbolic tangent.
        Tanh = Row {
            name: "tanh",
            // tanhf: 3 ulp in glibc, 2 in CUDA's table, 5 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 5)),
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse hyperbolic sine.
        Asinh = Row {
            name: "asinh",
            // asinhf: 2 ulp in glibc, 3 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse hyperbolic cosine; NaN below 1.
        Acosh = Row {
            name: "acosh",
            // acoshf: 3 ulp in glibc, 4 in CUDA's and Metal's tables.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NonNegative,
            grad: Some(within(&[Domain::Range(1.5, 3.0)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Inverse hyperbolic tangent: ±infinity at ±1, NaN beyond.
        Atanh = Row {
            name: "atanh",
            // atanhf: 2 ulp in glibc, 3 in CUDA's table, 5 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 5)),
            grad: Some(within(&[Domain::Range(-0.7, 0.7)])),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Error function, the integral of 2/√π · e^(−t²) from 0.
        Erf = Row {
            name: "erf",
            accepts: Dtypes::REAL,
            // A series within 3, or what 1 − erfc leaves of erfc's 8 where that is below 0.16.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            grad: Some(SMOOTH),
            // A series, and all of erfc.
            price: Price::each(26),
            ..UNARY
        },
        /// Inverse error function: ±infinity at ±1, NaN beyond.
        ErfInv = Row {
            name: "erf_inv",
            accepts: Dtypes::REAL,
            // erfinvf: 2 ulp in CUDA's table, 3 in MLX's kernel. In f64 from erfc, whose 8 units count 1.2
            // times, and two roundings.
            judged: Judged::Values(|dtype| match dtype == DType::F64 {
                true => Tolerance::Ulp(12),
                false => library(dtype, 4),
            }),
            grad: Some(within(&[Domain::Range(-0.7, 0.7)])),
            // Two of Halley's steps, each with a series and all of erfc; the second one in f64.
            price: Price::each(54),
            ..UNARY
        },
        /// Complementary error function, 1 − erf(x), accurate for large x.
        Erfc = Row {
            name: "erfc",
            accepts: Dtypes::REAL,
            // By a series, a quotient of it, and two exponentials: 1 for the sum of the series, 1 for
            // the quotient and its divisor, 2 for each exponential (CUDA's table), 1 for the two
            // products, and the reference's own rounding.
            judged: Judged::Values(|dtype| library(dtype, 8)),
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            // A series of Chebyshev's polynomials, and two exponentials.
            price: Price::each(28),
            ..UNARY
        },
    }
}

impl Attributes for Plain {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, None)
    }

    /// Elements of one dtype are compared as they are; of two, exactly, in several steps.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let as_they_are = match inputs {
            [a, b] => row.result == ResultDType::Predicate && a.dtype == b.dtype,
            _ => false,
        };
        let price = match as_they_are {
            true => Price::each(1),
            false => row.price,
        };
        price.cost_of(inputs, results)
    }
}

ops! {
    /// Cast. Floats to integers truncate and wrap, NaN gives 0, infinities give the type's limits;
    /// complex to real drops the imaginary part.
    pub struct AsType = Row {
        name: "as_type",
        result: ResultDType::Asked,
        grad: Some(SMOOTH),
        price: Price::each(10),
        ..row(Family::Unary)
    }; {
        /// The result's dtype.
        dtype: DType,
    }
}

impl Attributes for AsType {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, Some(self.dtype))
    }

    /// Floats become integers in several steps; everything else is MLX's own cast.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let price = match self.dtype.is_integer() && !inputs[0].dtype.is_integer() {
            true => row.price,
            false => Price::MOVE,
        };
        price.cost_of(inputs, results)
    }
}

ops! {
    /// The same bits as elements of another dtype of the same width.
    pub struct Bitcast = Row {
        name: "bitcast",
        accepts: Dtypes::REAL,
        result: ResultDType::Asked,
        judged: Judged::Values(|_| Tolerance::Bits),
        price: Price::MOVE,
        ..row(Family::Unary)
    }; {
        /// The result's dtype.
        dtype: DType,
    }
}

impl Attributes for Bitcast {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (from, to) = (inputs[0].dtype, self.dtype);
        row.check_dtype(to)?;
        if from.size() != to.size() {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("{to} is not as wide as {from}"),
            ));
        }
        row.elementwise(inputs, Some(to))
    }
}
