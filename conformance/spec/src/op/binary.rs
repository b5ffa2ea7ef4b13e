//! Element-wise operations on two operands, each broadcast to the result's shape.

use super::{Attributes, Plain, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::library;
use crate::{
    Arity, Class, DType, Domain, Dtypes, Family, Grad, Judged, Price, Result, ResultDType, Row,
    TensorType, Tolerance,
};

const BINARY: Row = Row {
    operands: &["left", "right"],
    arity: Arity::Exactly(2),
    ..row(Family::Binary)
};

const COMPARE: Row = Row {
    result: ResultDType::Predicate,
    price: Price::each(9),
    ..BINARY
};

const ARITHMETIC: Row = Row {
    result: ResultDType::Merged,
    price: Price::SIMPLE,
    ..BINARY
};

const SHIFT: Row = Row {
    accepts: Dtypes::INTEGER,
    // Counts beyond every width, too.
    domain: &[Domain::Any, Domain::Range(0.0, 70.0)],
    price: Price::each(8),
    ..ARITHMETIC
};

ops! {
    /// Arithmetic on the operands cast to the result's dtype.
    pub enum Arithmetic(Typed) {
        /// Sum of two tensors; integers wrap.
        Add = Row { name: "add", grad: Some(SMOOTH), ..ARITHMETIC },
        /// Difference of two tensors; integers wrap.
        Subtract = Row { name: "subtract", grad: Some(SMOOTH), ..ARITHMETIC },
        /// Product of two tensors; integers wrap.
        Multiply = Row {
            name: "multiply",
            // Each part of a complex product is two products and a sum: three roundings of at most
            // half a unit of the modulus, and the reference's own.
            judged: Judged::Values(|dtype| match dtype.is_complex() {
                true => Tolerance::Accum(2.0),
                false => Tolerance::Exact,
            }),
            grad: Some(SMOOTH),
            price: Price { temporaries: 2, complex: 12 },
            ..ARITHMETIC
        },
        /// Quotient of two tensors, always floating: integers are cast to `f32` first.
        Divide = Row {
            name: "divide",
            result: ResultDType::Floating,
            // A complex quotient by way of the conjugate is within five roundings of the modulus, of
            // half an eps each (Baudin and Smith, 2012); the reference's own is another.
            judged: Judged::Values(|dtype| match dtype.is_complex() {
                true => Tolerance::Accum(3.0),
                false => Tolerance::Exact,
            }),
            grad: Some(Grad {
                domain: &[Domain::Range(-2.0, 2.0), Domain::Range(0.5, 2.0)],

                ..SMOOTH
            }),
            price: Price { temporaries: 4, complex: 15 },
            ..ARITHMETIC
        },
        /// Quotient of integers, truncated towards zero; a zero divisor is a numeric error, and the
        /// least integer by −1 wraps to itself.
        Quotient = Row {
            name: "quotient",
            accepts: Dtypes::INTEGER,
            domain: &[Domain::Any, Domain::NonZero],
            price: Price::each(8),
            ..ARITHMETIC
        },
        /// Remainder of truncated division: the sign is the dividend's, also for floats.
        Remainder = Row {
            name: "remainder",
            accepts: Dtypes::REAL,
            domain: &[Domain::Any, Domain::NonZero],
            // Between two jumps, and of positive numbers: for others Nx has the slope of a floored
            // division's remainder.
            grad: Some(Grad {
                domain: &[Domain::Range(4.4, 4.8), Domain::Range(1.3, 1.4)],
                ..SMOOTH
            }),
            price: Price::each(8),
            ..ARITHMETIC
        },
        /// Power; integer powers wrap, a negative integer exponent is a numeric error.
        Pow = Row {
            name: "pow",
            // powf: 1 ulp in glibc, 4 in CUDA's and Metal's tables. Complex: e^(w · ln z), whose
            // magnitude counts 1 + |w|·(1 + |ln z|) errors: that of the exponential, and those of the
            // exponent. An exponential, a sine and a product are within 2 + 2 + ½ units, the
            // reference's rounding is another ½; a hypotenuse, a logarithm and an arc tangent are
            // within 3 units (CUDA's table), and a complex product of them within 2.
            judged: Judged::Values(|dtype| match dtype.class() {
                Class::Unsigned | Class::Signed => Tolerance::Exact,
                Class::Complex => Tolerance::Accum(5.0),
                Class::Float => library(dtype, 4),
            }),
            // By products or by a logarithm: no definition of a complex power says which zero.
            open_zero: Dtypes::COMPLEX,
            domain: &[Domain::Any, Domain::Range(0.0, 7.0)],
            grad: Some(Grad {
                domain: &[Domain::Range(0.5, 2.0), Domain::Range(-2.0, 2.0)],
                ..SMOOTH
            }),
            price: Price { temporaries: 10, complex: 28 },
            ..ARITHMETIC
        },
        /// Angle of the point (right, left) from the positive x-axis, from −π to π; a zero's sign says
        /// from which side.
        Atan2 = Row {
            name: "atan2",
            accepts: Dtypes::REAL,
            result: ResultDType::Floating,
            // atan2f: 1 ulp in glibc, 3 in CUDA's table, 6 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 6)),
            grad: Some(Grad {
                domain: &[Domain::Range(-2.0, 2.0), Domain::Range(0.5, 2.0)],
                ..SMOOTH
            }),
            price: Price::FUNCTION,
            ..ARITHMETIC
        },
        /// Bits that both have.
        BitwiseAnd = Row { name: "bitwise_and", accepts: Dtypes::INTEGER, ..ARITHMETIC },
        /// Bits that either has.
        BitwiseOr = Row { name: "bitwise_or", accepts: Dtypes::INTEGER, ..ARITHMETIC },
        /// Bits that just one has.
        BitwiseXor = Row { name: "bitwise_xor", accepts: Dtypes::INTEGER, ..ARITHMETIC },
        /// Left times 2 to the power right; bits beyond the width are lost. A negative count is an
        /// error.
        LeftShift = Row { name: "left_shift", price: Price::each(4), ..SHIFT },
        /// Left by 2 to the power right, rounded down: signed integers keep their sign. A negative
        /// count is an error.
        RightShift = Row { name: "right_shift", price: Price::each(4), ..SHIFT },
        /// The larger of two elements, the left one where they are equal; NaN where either is.
        Max = Row {
            name: "max",
            accepts: Dtypes::REAL,
            grad: Some(SMOOTH),
            ..ARITHMETIC
        },
        /// The smaller of two elements, the left one where they are equal; NaN where either is.
        Min = Row {
            name: "min",
            accepts: Dtypes::REAL,
            grad: Some(SMOOTH),
            ..ARITHMETIC
        },
    }
}

ops! {
    /// The attributes of arithmetic.
    pub struct Typed {
        /// The result's dtype; the operands' merged dtype, made floating where the op's result
        /// always is, when absent.
        dtype: Option<DType>,
    }
}

impl Attributes for Typed {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let results = row.elementwise(inputs, self.dtype)?;
        row.check_dtype(results[0].dtype)?;
        Ok(results)
    }
}

ops! {
    /// Comparisons: `u8` 1 where they hold, 0 elsewhere. Operands are compared as the numbers they
    /// are, whatever their dtypes.
    pub enum Compare(Plain) {
        /// `u8` 1 where the operands are equal as numbers, whatever their dtypes; NaN equals nothing.
        Equal = Row { name: "equal", ..COMPARE },
        /// `u8` 1 where the operands are not equal as numbers, whatever their dtypes; NaN is unequal to
        /// everything, itself too.
        NotEqual = Row { name: "not_equal", ..COMPARE },
        /// `u8` 1 where the left number is the greater one, whatever the dtypes; never beside NaN.
        Greater = Row { name: "greater", accepts: Dtypes::REAL, ..COMPARE },
        /// `u8` 1 where the left number is the lesser one, whatever the dtypes; never beside NaN.
        Less = Row { name: "less", accepts: Dtypes::REAL, ..COMPARE },
        /// `u8` 1 where the left number is the greater one or both are equal, whatever the dtypes;
        /// never beside NaN.
        GreaterEqual = Row {
            name: "greater_equal",
            accepts: Dtypes::REAL,
            price: Price::each(14),
            ..COMPARE
        },
        /// `u8` 1 where the left number is the lesser one or both are equal, whatever the dtypes; never
        /// beside NaN.
        LessEqual = Row {
            name: "less_equal",
            accepts: Dtypes::REAL,
            price: Price::each(14),
            ..COMPARE
        },
        /// `u8` 1 where neither operand is zero; NaN is no zero.
        LogicalAnd = Row { name: "logical_and", price: Price::each(1), ..COMPARE },
        /// `u8` 1 where one operand or both are not zero; NaN is no zero.
        LogicalOr = Row { name: "logical_or", price: Price::each(1), ..COMPARE },
        /// `u8` 1 where just one operand is zero; NaN is no zero.
        LogicalXor = Row { name: "logical_xor", price: Price::each(1), ..COMPARE },
    }
}
