//! Functions of each element: which the host computes, and how.

use emily_spec::{TensorType, Unary};

use super::elementwise::{Function, unary};
use super::erfc::Erfc;
use super::float::{Float, of_float};
use super::inverse::{Acos, Acosh, Asin, Asinh, Atan, Atanh, Cbrt, ErfInv};
use super::level::Level;
use super::math;
use crate::mlx::Kernel;

/// The kernel of this op, if there is one.
pub(super) fn kernel(op: Unary, x: &TensorType, ty: &TensorType) -> Option<Kernel> {
    if x.dtype != ty.dtype {
        return None;
    }
    of_float!(ty.dtype, kernel_at(op, ty))?
}

fn kernel_at<T: Float>(op: Unary, ty: &TensorType) -> Option<Kernel> {
    Some(match op {
        Unary::Abs => unary::<T, Abs>(ty),
        Unary::Negate => unary::<T, Negate>(ty),
        Unary::Exp => unary::<T, Exp>(ty),
        Unary::Expm1 => unary::<T, Expm1>(ty),
        Unary::Log => unary::<T, Log>(ty),
        Unary::Log1p => unary::<T, Log1p>(ty),
        Unary::Sigmoid => unary::<T, Sigmoid>(ty),
        Unary::Tanh => unary::<T, Tanh>(ty),
        Unary::Sinh => unary::<T, Sinh>(ty),
        Unary::Cosh => unary::<T, Cosh>(ty),
        Unary::Erf => unary::<T, Erf>(ty),
        Unary::Erfc => unary::<T, Erfc>(ty),
        Unary::ErfInv => unary::<T, ErfInv>(ty),
        Unary::Asin => unary::<T, Asin>(ty),
        Unary::Acos => unary::<T, Acos>(ty),
        Unary::Atan => unary::<T, Atan>(ty),
        Unary::Asinh => unary::<T, Asinh>(ty),
        Unary::Acosh => unary::<T, Acosh>(ty),
        Unary::Atanh => unary::<T, Atanh>(ty),
        Unary::Cbrt => unary::<T, Cbrt>(ty),
        Unary::Sin => unary::<T, Sin>(ty),
        Unary::Cos => unary::<T, Cos>(ty),
        Unary::Tan => unary::<T, Tan>(ty),
        Unary::Sqrt => unary::<T, Sqrt>(ty),
        Unary::Rsqrt => unary::<T, Rsqrt>(ty),
        Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::BitwiseNot
        | Unary::CountLeadingZeros
        | Unary::PopulationCount
        | Unary::Real
        | Unary::Imag
        | Unary::Conjugate
        | Unary::IsNan
        | Unary::IsInfinity
        | Unary::LogicalNot
        | Unary::Phase
        | Unary::Round => return None,
    })
}

macro_rules! functions {
    ($($name:ident: |$x:ident| $value:expr;)*) => {
        $(
            struct $name;

            impl Function for $name {
                #[inline(always)]
                fn at<L: Level>($x: f32) -> f32 {
                    $value
                }
            }
        )*
    };
}

/// What the precision of `f64` is for.
#[inline(always)]
fn wide(x: f32, f: impl Fn(f64) -> f64) -> f32 {
    f(f64::from(x)) as f32
}

functions! {
    Abs: |x| x.abs();
    Negate: |x| -x;
    Exp: |x| wide(x, math::exp::<L>);
    Expm1: |x| wide(x, math::expm1::<L>);
    Log: |x| wide(x, math::log::<L>);
    Log1p: |x| wide(x, math::log1p::<L>);
    Sigmoid: |x| wide(x, math::sigmoid::<L>);
    Tanh: |x| wide(x, math::tanh::<L>);
    Sinh: |x| wide(x, math::sinh::<L>);
    Cosh: |x| wide(x, math::cosh::<L>);
    Erf: |x| wide(x, math::erf::<L>);
    Sqrt: |x| x.sqrt();
    Rsqrt: |x| wide(x, |x| 1.0 / x.sqrt());
}

macro_rules! of_angles {
    ($($name:ident: $of_both:expr, $beyond:expr;)*) => {
        $(
            struct $name;

            impl Function for $name {
                const LIMIT: f32 = math::TURNS;

                #[inline(always)]
                fn at<L: Level>(x: f32) -> f32 {
                    wide(x, |x| $of_both(math::sin_cos::<L>(x)))
                }

                fn beyond(x: f32) -> f32 {
                    wide(x, $beyond)
                }
            }
        )*
    };
}

of_angles! {
    Sin: |(sin, _)| sin, f64::sin;
    Cos: |(_, cos)| cos, f64::cos;
    Tan: |(sin, cos)| sin / cos, f64::tan;
}
