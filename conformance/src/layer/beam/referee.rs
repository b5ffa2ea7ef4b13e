//! What `Nx.BinaryBackend` is asked: it is the referee of what Nx means, where it says so.
//!
//! It computes with Erlang's numbers, which are exact integers and finite doubles: infinities and
//! NaN are atoms beside them, operands of two types are not cast before they meet, and a bf16 is an
//! f32 with its end cut off. Facts record, value by value, what comes of that; in a sweep it would
//! cover up the rest, so sweeps keep clear of it.

use emily_spec::{Arithmetic, DType, ErrorKind, Family, Judged, Op, OpKind, Role, Tensor};

use crate::layer::Question;
use crate::number::{self, Format};
use crate::view::Input;

/// The largest result, in bytes: it has no limit of its own, and would take the machine's.
const LARGEST: usize = 64 << 20;

/// The largest exponent of an integer, and the largest count of a left shift: Erlang's integers have no
/// bound, so a power is computed with all of its digits before it is wrapped, and one of a larger
/// exponent does not end.
const LARGEST_EXPONENT: i128 = 1 << 16;

/// True when the call can be put to it.
pub(super) fn takes(question: &Question<'_>) -> bool {
    is_meant(question)
        && ends(question)
        && pads(question)
        && (!question.generated || is_plain(question))
        && (!question.generated || tells_zeros(question))
        && (!question.generated || chooses(question))
        && (!question.generated || factors(question))
}

/// True when Nx means one answer, and a machine has room for it: whatever the backend.
pub(super) fn is_meant(question: &Question<'_>) -> bool {
    is_settled(question) && is_small(question)
}

/// Whether a complex zero is a false predicate differs between the releases of Nx that Emily is
/// tested with: 0.13.1 takes it for true, what follows takes it for zero, as every other op does.
fn is_settled(question: &Question<'_>) -> bool {
    let row = question.op.row();
    let mut operands = question.types.iter().enumerate();
    operands.all(|(index, ty)| match row.role(index) {
        Role::Predicate => !ty.dtype.is_complex(),
        Role::Data | Role::Index | Role::Codes => true,
    })
}

fn is_small(question: &Question<'_>) -> bool {
    match question.op.infer(question.types) {
        Ok(results) => results
            .iter()
            .all(|result| result.byte_size().is_ok_and(|bytes| bytes <= LARGEST)),
        Err(error) => error.kind != ErrorKind::Memory,
    }
}

/// False for an integer power with a huge exponent, unless all bases are -1, 0 or 1, and for a left
/// shift by a huge count.
fn ends(question: &Question<'_>) -> bool {
    let (OpKind::Arithmetic(kind), Some([base, exponent])) = (question.op.kind(), question.inputs)
    else {
        return true;
    };
    let shifts = match kind {
        Arithmetic::Pow => false,
        Arithmetic::LeftShift => true,
        Arithmetic::Add
        | Arithmetic::Subtract
        | Arithmetic::Multiply
        | Arithmetic::Divide
        | Arithmetic::Remainder
        | Arithmetic::Quotient
        | Arithmetic::Atan2
        | Arithmetic::Max
        | Arithmetic::Min
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::RightShift => return true,
    };
    let some = |input: &Input, is: fn(i128) -> bool| {
        let dtype = input.tensor.dtype();
        number::elements(&input.tensor).any(|e| number::integer(dtype, e).is_some_and(is))
    };
    let grows = shifts || some(base, |base| !(-1..=1).contains(&base));
    !(grows && some(exponent, |exponent| exponent > LARGEST_EXPONENT))
}

/// False for a padding that takes away more than there is, which it cannot match, though something is
/// put at the other end; or that puts in more than memory holds, though it is taken away again.
fn pads(question: &Question<'_>) -> bool {
    let (Op::Pad(pad), Some(tensor)) = (question.op, question.types.first()) else {
        return true;
    };
    let fits = |(axis, &size): (usize, &usize)| {
        let spread = size as i128 + size.saturating_sub(1) as i128 * pad.interior[axis] as i128;
        let taken = [pad.low[axis], pad.high[axis]].map(|n| i128::from(n.min(0)));
        spread + taken[0] + taken[1] >= 0 && spread <= LARGEST as i128
    };
    let per_axis = pad.interior.len() == tensor.shape.rank();
    !per_axis || tensor.shape.iter().enumerate().all(fits)
}

/// Its `all` and `any` take every complex number for true; facts record that.
fn tells_zeros(question: &Question<'_>) -> bool {
    let complex = question.types.iter().any(|ty| ty.dtype.is_complex());
    !matches!(question.op, Op::Quantifier(..)) || !complex
}

/// Where it scatters it compares and adds numbers as s32 and f32, and pads with the initial value, which
/// may be chosen then; facts record that.
fn chooses(question: &Question<'_>) -> bool {
    !matches!(question.op, Op::WindowScatter(..))
}

/// Its decompositions take minutes for what a sweep asks.
fn factors(question: &Question<'_>) -> bool {
    match question.op.row().judged {
        Judged::Values(_) => true,
        Judged::Promise { .. } => false,
    }
}

/// True for finite operands, of one type where they meet, without bf16.
fn is_plain(question: &Question<'_>) -> bool {
    let Question { op, types, .. } = *question;
    let results = op.infer(types).unwrap_or_default();
    let one_type = types.windows(2).all(|pair| pair[0].dtype == pair[1].dtype);
    let mut inputs = question.inputs.into_iter().flatten();
    let meet = op.row().family == Family::Binary
        || matches!(op.kind(), OpKind::Pad | OpKind::Clip | OpKind::Indexed(_));
    (one_type || !meet)
        && types
            .iter()
            .chain(&results)
            .all(|ty| ty.dtype != DType::Bf16)
        && inputs.all(|input| is_finite(&input.tensor))
}

fn is_finite(tensor: &Tensor) -> bool {
    let Some(format) = Format::of(tensor.dtype()) else {
        return true;
    };
    let finite = |bits| format.is_finite(bits);
    let mut elements = number::elements(tensor);
    if tensor.dtype().is_complex() {
        return elements.all(|element| number::parts(element).into_iter().all(finite));
    }
    elements.all(finite)
}

#[cfg(test)]
mod tests {
    use emily_spec::{Axes, Quantifier, Select, TensorType};

    use super::*;
    use crate::literal::Literal;

    fn sweeps(op: &Op, operands: &[&str]) -> bool {
        let read = |text: &&str| {
            let literal = Literal::parse(text).unwrap();
            Input::plain(literal.at(literal.ty().dtype).unwrap())
        };
        let inputs: Vec<Input> = operands.iter().map(read).collect();
        let types: Vec<TensorType> = inputs.iter().map(|i| i.tensor.ty().clone()).collect();
        takes(&Question {
            op,
            types: &types,
            generated: true,
            inputs: Some(&inputs),
        })
    }

    #[test]
    fn sweeps_keep_to_what_erlang_s_numbers_are() {
        let add = Op::from(Arithmetic::Add);
        assert!(sweeps(&add, &["f32[1] 1", "f32[1] max"]));
        assert!(!sweeps(&add, &["f32[1] 1", "f32[1] inf"]));
        assert!(!sweeps(&add, &["c64[1] (1,0)", "c64[1] (0,nan)"]));
        assert!(!sweeps(&add, &["f32[1] 1", "s32[1] 1"]));
        assert!(!sweeps(&add, &["bf16[1] 1", "bf16[1] 1"]));
        let (axes, keep_axes) = (None, false);
        let all = Op::Quantifier(Quantifier::All, Axes { axes, keep_axes });
        assert!(sweeps(&all, &["f32[1] 1"]));
        assert!(!sweeps(&all, &["c64[1] 1"]));
        let select = Op::Select(Select { dtype: None });
        assert!(sweeps(&select, &["u8[1] 1", "f32[1] 1", "f32[1] 2"]));
    }

    #[test]
    fn an_integer_power_that_does_not_end_is_not_asked() {
        let pow = Op::from(Arithmetic::Pow);
        assert!(!sweeps(&pow, &["s32[2] 1 2", "s32[2] 65537 65537"]));
        assert!(sweeps(&pow, &["s32[3] 1 -1 0", "s32[3] max max max"]));
        assert!(sweeps(&pow, &["u16[1] 3", "u16[1] 65535"]));
        assert!(sweeps(&pow, &["f32[1] 2", "f32[1] 1e9"]));
        let shift = Op::from(Arithmetic::LeftShift);
        assert!(!sweeps(&shift, &["s32[1] 1", "s32[1] 65537"]));
        assert!(sweeps(&shift, &["s32[1] 1", "s32[1] 64"]));
    }
}
