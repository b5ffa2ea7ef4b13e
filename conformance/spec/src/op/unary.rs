//! Element-wise operations on one operand.

use super::{Attributes, Plain, ops};
use crate::row::{ROW, SMOOTH, library};
use crate::{
    DType, Domain, Dtypes, Grad, Judged, Price, Range, Result, ResultDType, Row, TensorType,
    Tolerance,
};

/// A function of each element, whose result is floating: integers are cast to `f32` first.
const UNARY: Row = Row {
    family: "unary",
    result: ResultDType::Floating,
    ..ROW
};

/// A function of each element that has its dtype.
const EXACT: Row = Row {
    result: ResultDType::Same,
    ..UNARY
};

/// A function of an integer's bits.
const BITS: Row = Row {
    accepts: Dtypes::INTEGER,
    price: Price {
        work: 16,
        temporaries: 8,
    },
    ..EXACT
};

/// 1 where something holds of an element.
const PREDICATE: Row = Row {
    result: ResultDType::Predicate,
    vanishes: Dtypes::INTEGER,
    price: Price {
        work: 4,
        temporaries: 6,
    },
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
            grad: Some(Grad {
                domain: &[Domain::Range(0.5, 2.0)],
                ..SMOOTH
            }),
            price: Price { work: 2, temporaries: 4 },
            ..UNARY
        },
        /// Negative; integers wrap.
        Negate = Row { name: "negate", grad: Some(SMOOTH), ..EXACT },
        /// −1 below zero, 1 above; zeros and NaN stay. Complex numbers have no order.
        Sign = Row {
            name: "sign",
            accepts: Dtypes::REAL,
            price: Price { work: 4, temporaries: 4 },
            ..EXACT
        },
        /// Largest integral value not above each element; a zero result has the operand's sign.
        Floor = Row { name: "floor", accepts: Dtypes::FLOAT, ..EXACT },
        /// Smallest integral value not below each element; a zero result has the operand's sign.
        Ceil = Row { name: "ceil", accepts: Dtypes::FLOAT, ..EXACT },
        /// The other bits of each integer.
        BitwiseNot = Row { name: "bitwise_not", price: Price::SIMPLE, ..BITS },
        /// How many zeros an integer's bits begin with: all of them where it is 0.
        CountLeadingZeros = Row { name: "count_leading_zeros", ..BITS },
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
            ..UNARY
        },
        /// `u8` 1 where an element, or either part of a complex one, is NaN.
        IsNan = Row { name: "is_nan", ..PREDICATE },
        /// `u8` 1 where an element, or either part of a complex one, is infinite.
        IsInfinity = Row { name: "is_infinity", ..PREDICATE },
        /// Nearest integral value, halves away from zero.
        Round = Row {
            name: "round",
            accepts: Dtypes::FLOAT,
            price: Price { work: 4, temporaries: 4 },
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
            price: Price { work: 60, temporaries: 12 },
            ..UNARY
        },
    }
}

impl Attributes for Plain {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, None)
    }
}

ops! {
    /// Cast. Floats to integers truncate and wrap, NaN gives 0, infinities give the type's limits;
    /// complex to real drops the imaginary part.
    pub struct AsType = Row {
        name: "as_type",
        family: "unary",
        result: ResultDType::Asked,
        grad: Some(SMOOTH),
        price: Price { work: 4, temporaries: 6 },
        ..ROW
    }; {
        /// The result's dtype.
        dtype: DType,
    }
}

impl Attributes for AsType {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, Some(self.dtype))
    }
}
