//! Tensors as text: `f32[2,2] 1 -0.0 nan:0x1 #7fc00001`.
//!
//! The language is described in `fixtures/README.md`. A decimal is rounded once to the dtype it is
//! read at, which is why a literal keeps its text: [`Literal::at`] reads it again.

use std::fmt::Write as _;

use emily_spec::{Class, DType, Shape, Tensor, TensorType};
use rustc_apfloat::ieee::{BFloat, Double, Half, Single};
use rustc_apfloat::{Float, Round, Status, StatusAnd};

use crate::number::{self, Format};

/// The most elements a literal may have.
const MOST: usize = 1 << 24;

/// A tensor literal, read as far as it does not depend on the dtype.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    ty: TensorType,
    values: Vec<String>,
    fill: Option<String>,
}

impl Literal {
    /// Reads `dtype[dims] values…`, and checks that the values are ones of that dtype.
    pub fn parse(text: &str) -> Result<Literal, String> {
        let (head, rest) = text
            .split_once(']')
            .ok_or_else(|| format!("{text:?} is not a literal like `f32[2] 1 2`"))?;
        let (dtype, dims) = head
            .split_once('[')
            .ok_or_else(|| format!("{text:?} is not a literal like `f32[2] 1 2`"))?;
        let dtype: DType = dtype.trim().parse().map_err(|e| format!("{e}"))?;
        let shape = parse_dims(dims)?;
        let mut values: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
        let fill = values
            .pop_if(|last| last.starts_with('*'))
            .map(|last| last[1..].to_owned());
        let literal = Literal {
            ty: TensorType::new(dtype, shape),
            values,
            fill,
        };
        literal.at(dtype)?;
        Ok(literal)
    }

    /// The type as written.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The tensor, its values read at `dtype`.
    pub fn at(&self, dtype: DType) -> Result<Tensor, String> {
        let size = self.ty.shape.size().map_err(|e| e.to_string())?;
        if size > MOST {
            return Err(format!(
                "{} has more than {MOST} elements; use a sweep",
                self.ty
            ));
        }
        let fits = match self.fill {
            Some(_) => self.values.len() <= size,
            None => self.values.len() == size,
        };
        if !fits {
            return Err(format!(
                "{} holds {size} values, got {}",
                self.ty,
                self.values.len()
            ));
        }
        let mut elements = self
            .values
            .iter()
            .map(|text| parse_value(dtype, text))
            .collect::<Result<Vec<u64>, _>>()?;
        if let Some(fill) = &self.fill {
            elements.resize(size, parse_value(dtype, fill)?);
        }
        number::tensor(TensorType::new(dtype, self.ty.shape.clone()), elements)
            .ok_or_else(|| format!("{} does not hold {size} values", self.ty))
    }
}

/// Reads a shape as `[2,3]`.
pub fn parse_shape(text: &str) -> Result<Shape, String> {
    text.trim()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(|| format!("{text:?} is not a shape like `[2,3]`"))
        .and_then(parse_dims)
}

/// Writes a tensor as a literal that reads back to the same bits.
pub fn print(tensor: &Tensor) -> String {
    let mut text = tensor.ty().to_string();
    let elements: Vec<u64> = number::elements(tensor).collect();
    let tail = elements.last().map_or(0, |last| {
        elements.iter().rev().take_while(|e| *e == last).count()
    });
    let listed = if tail > 3 {
        elements.len() - tail
    } else {
        elements.len()
    };
    for &element in &elements[..listed] {
        let _ = write!(text, " {}", print_value(tensor.dtype(), element));
    }
    if let Some(&fill) = elements.get(listed) {
        let _ = write!(text, " *{}", print_value(tensor.dtype(), fill));
    }
    text
}

/// Writes one element as it stands in a literal.
pub fn print_value(dtype: DType, element: u64) -> String {
    if let Some(value) = number::integer(dtype, element) {
        return value.to_string();
    }
    if dtype.is_complex() {
        let [re, im] = number::parts(element);
        return format!(
            "({},{})",
            print_float(Format::F32, re),
            print_float(Format::F32, im)
        );
    }
    Format::of(dtype).map_or_else(String::new, |format| print_float(format, element))
}

fn print_float(format: Format, bits: u64) -> String {
    let digits = format.width as usize / 4;
    if format.is_nan(bits) {
        return match bits {
            bits if bits == format.nan() => "nan".to_owned(),
            bits => format!("#{bits:0digits$x}"),
        };
    }
    match format.width {
        // Widening is exact, and the shortest f32 that reads back is shorter than the f64.
        16 | 32 => format!("{:?}", format.value(bits) as f32),
        _ => format!("{:?}", format.value(bits)),
    }
}

fn parse_dims(text: &str) -> Result<Shape, String> {
    if text.trim().is_empty() {
        return Ok(Shape::scalar());
    }
    text.split(',')
        .map(|dim| {
            dim.trim()
                .parse()
                .map_err(|_| format!("{:?} is not a dimension", dim.trim()))
        })
        .collect::<Result<Vec<usize>, _>>()
        .map(Shape::new)
}

/// One value's bits at `dtype`.
fn parse_value(dtype: DType, text: &str) -> Result<u64, String> {
    if let Some(hex) = text.strip_prefix('#') {
        return parse_bits(8 * dtype.size(), hex)
            .ok_or_else(|| format!("{text:?}: {dtype} takes {} hex digits", 2 * dtype.size()));
    }
    match (dtype.class(), Format::of(dtype)) {
        (Class::Float, Some(format)) => parse_float(format, text),
        (Class::Complex, Some(format)) => parse_complex(format, text),
        _ => parse_integer(dtype, text),
    }
    .map_err(|problem| format!("{text:?} is not a value of {dtype}: {problem}"))
}

fn parse_bits(width: usize, hex: &str) -> Option<u64> {
    let digits = hex.len() * 4 == width && hex.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(hex, 16).ok()).flatten()
}

fn parse_integer(dtype: DType, text: &str) -> Result<u64, String> {
    let (min, max) = number::limits(dtype).ok_or("no integer dtype")?;
    let value = match text {
        "t" => 1,
        "f" => 0,
        "min" => min,
        "max" => max,
        _ => parse_whole(text).ok_or("want an integer, min, max, t, f or #bits")?,
    };
    if !(min..=max).contains(&value) {
        return Err(format!("it lies outside {min} to {max}"));
    }
    Ok(number::wrapped(dtype, value))
}

fn parse_whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(if negative {
        -i128::from(value)
    } else {
        value.into()
    })
}

fn parse_complex(format: Format, text: &str) -> Result<u64, String> {
    let inside = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let Some(inside) = inside else {
        let re = parse_float(format, text).map_err(|e| format!("{e}; or (re,im)"))?;
        return Ok(number::complex(re, 0));
    };
    let (re, im) = inside.split_once(',').ok_or("want (re,im)")?;
    Ok(number::complex(
        parse_float(format, re)?,
        parse_float(format, im)?,
    ))
}

fn parse_float(format: Format, text: &str) -> Result<u64, String> {
    if let Some(hex) = text.strip_prefix('#') {
        return parse_bits(format.width as usize, hex)
            .ok_or_else(|| format!("want {} hex digits", format.width / 4));
    }
    let (sign, name) = match text.strip_prefix('-') {
        Some(rest) => (format.sign(), rest),
        None => (0, text),
    };
    let magnitude = match name {
        "nan" => format.nan(),
        "inf" => format.inf(),
        "max" => format.max(),
        "tiny" => format.tiny(),
        "denorm" => 1,
        "eps" => format.eps(),
        "t" => format.one(),
        "f" => 0,
        _ => match name.strip_prefix("nan:0x") {
            Some(payload) => parse_payload(format, payload)?,
            None => parse_rounded(format, name)?,
        },
    };
    Ok(sign | magnitude)
}

fn parse_payload(format: Format, hex: &str) -> Result<u64, String> {
    let payload = u64::from_str_radix(hex, 16).map_err(|e| e.to_string())?;
    if payload == 0 || payload >= format.tiny() {
        return Err(format!(
            "a payload lies between 1 and {:#x}",
            format.tiny() - 1
        ));
    }
    Ok(format.inf() | payload)
}

/// A decimal or hexadecimal number without sign, rounded once.
fn parse_rounded(format: Format, text: &str) -> Result<u64, String> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("want a number or one of nan inf max tiny denorm eps #bits".to_owned());
    }
    fn read<F: Float>(text: &str) -> Result<u64, String> {
        // Digits without a point or exponent, in hexadecimal, lack the `p0` that the parser wants.
        let hex = text.starts_with("0x") && !text.contains('p');
        let text = if hex {
            format!("{text}p0")
        } else {
            text.to_owned()
        };
        let StatusAnd { status, value } =
            F::from_str_r(&text, Round::NearestTiesToEven).map_err(|e| e.0.to_owned())?;
        if status.contains(Status::OVERFLOW) {
            return Err("it rounds to infinity; write inf if that is meant".to_owned());
        }
        Ok(value.to_bits() as u64)
    }
    match (format.width, format.fraction) {
        (16, 10) => read::<Half>(text),
        (16, _) => read::<BFloat>(text),
        (32, _) => read::<Single>(text),
        _ => read::<Double>(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(text: &str) -> Vec<u64> {
        let literal = Literal::parse(text).unwrap();
        number::elements(&literal.at(literal.ty().dtype).unwrap()).collect()
    }

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let problem = Literal::parse(text).unwrap_err();
        assert!(problem.contains(part), "{problem}");
    }

    #[test]
    fn floats_are_read_to_the_bit() {
        assert_eq!(
            bits("f32[9] 1 -0.0 nan inf -inf 0x1.8p3 #7fc00001 nan:0x3 -denorm"),
            [
                0x3f80_0000,
                0x8000_0000,
                0x7fc0_0000,
                0x7f80_0000,
                0xff80_0000,
                0x4140_0000,
                0x7fc0_0001,
                0x7f80_0003,
                0x8000_0001
            ]
        );
        assert_eq!(bits("f16[3] max tiny eps"), [0x7bff, 0x0400, 0x1400]);
        assert_eq!(bits("bf16[2] t f"), [0x3f80, 0]);
        assert_eq!(bits("f64[1] 5e-324"), [1]);
        assert_eq!(bits("f32[1] 0x10"), [0x4180_0000]);
    }

    /// 1 + 2⁻⁸ + 2⁻⁶⁰ is above the middle of two bf16 values, but rounds to that middle in f64.
    #[test]
    fn decimals_round_once() {
        let text = "bf16[1] 1.00390625000000000086736173798840354720596224069595336914";
        assert_eq!(bits(text), [0x3f81]);
        assert_eq!(bits("bf16[1] 1.00390625"), [0x3f80]);
        assert_eq!(bits("f16[1] 0x1.0020000000000001p0"), [0x3c01]);
        refused("f16[1] 65520", "rounds to infinity");
        assert_eq!(bits("f16[1] 65519.9"), [0x7bff]);
    }

    #[test]
    fn integers_are_read_within_their_limits() {
        assert_eq!(
            bits("u64[3] max 18446744073709551615 0xff"),
            [u64::MAX, u64::MAX, 255]
        );
        assert_eq!(bits("s8[4] min -1 t #80"), [0x80, 0xff, 1, 0x80]);
        refused("u8[1] -1", "outside");
        refused("s32[1] 2.5", "integer");
        refused("s32[1] 2147483648", "outside");
    }

    #[test]
    fn complex_numbers_are_pairs() {
        let one_minus_zero = 0x3f80_0000 | 0x8000_0000 << 32;
        assert_eq!(
            bits("c64[3] 1 (1,-0.0) (#7fc00001,inf)")[..2],
            [0x3f80_0000, one_minus_zero]
        );
        refused("c64[1] 1+2i", "(re,im)");
    }

    #[test]
    fn a_fill_repeats_and_a_count_is_checked() {
        assert_eq!(bits("u8[5] 7 *1"), [7, 1, 1, 1, 1]);
        assert_eq!(bits("u8[0,3]"), [0u64; 0]);
        assert_eq!(bits("u8[] 3"), [3]);
        refused("u8[2] 1", "holds 2 values, got 1");
        refused("u8[2] 1 2 3", "holds 2 values, got 3");
        refused("f17[1] 1", "unknown dtype");
        refused("u8[2", "is not a literal");
        refused("u8[a] 1", "not a dimension");
    }

    #[test]
    fn printing_reads_back() {
        for text in [
            "f32[6] 1.0 -0.0 nan inf #7fc00001 1e-45",
            "f16[2] 0.099975586 -inf",
            "bf16[5] 2.0 *0.5",
            "f64[1] 0.1",
            "c64[2] (1.0,-0.0) (nan,3.5)",
            "u64[2] 18446744073709551615 0",
            "s8[0,3]",
        ] {
            let literal = Literal::parse(text).unwrap();
            assert_eq!(print(&literal.at(literal.ty().dtype).unwrap()), text);
        }
    }
}
