//! An op's examples, out of the facts that are marked as such: each is a doctest of its function.

use emily_spec::{Class, DType, Judged, Op, Row, Shape, Tensor, TensorType, Tolerance};
use serde_json::Value;

use crate::case::{Body, Case, Want};
use crate::number::{self, Format};
use crate::plan::Call;

/// The section that follows an op's other documentation.
///
/// # Errors
/// What an author has to mend: no fact is marked, or Elixir cannot write one that is.
pub(super) fn section(row: &Row, cases: &[Case]) -> Result<String, String> {
    let mut text = "\n## Examples\n".to_owned();
    let mut marked = cases
        .iter()
        .filter(|case| case.example && case.row.name == row.name)
        .peekable();
    if marked.peek().is_none() {
        return Err(format!(
            "fixtures/cases/{}/{}.toml marks no fact with example = true",
            row.family, row.name
        ));
    }
    for case in marked {
        let lines = match case.readings.first().map(|reading| &reading.body) {
            Some(Body::Fact { call, want }) => lines(row, call, want),
            Some(Body::Sweep(_)) | None => Err("a sweep is no example".to_owned()),
        };
        text.push('\n');
        for line in lines.map_err(|message| format!("{}: {message}", case.at))? {
            text.push_str(&format!("    {line}\n"));
        }
    }
    Ok(text)
}

fn lines(row: &Row, call: &Call, want: &Want) -> Result<Vec<String>, String> {
    let mut lines = vec!["iex> {:ok, worker} = Emily.Native.start_worker(:cpu)".to_owned()];
    let operands = operand_names(row, call.inputs.len());
    for (name, input) in operands.iter().zip(&call.inputs) {
        lines.extend(operand(name, &input.tensor)?);
    }
    let operands = operands.join(", ");
    let results = names("result", row.results);
    lines.push(format!(
        "iex> {{:ok, [{}]}} = Emily.Native.{}(worker, [{operands}]{})",
        results.join(", "),
        row.name,
        attributes(&call.op)
    ));
    match want {
        Want::Values(values) => {
            for (name, value) in results.iter().zip(values) {
                lines.extend(result(row, name, value)?);
            }
        }
        Want::Oracle | Want::Recorded => {
            let types = call.op.infer(&call.types()).map_err(|e| e.to_string())?;
            for (name, ty) in results.iter().zip(types) {
                lines.push(format!("iex> Emily.Native.type({name})"));
                lines.push(type_text(&ty));
            }
        }
        Want::Error(_) => return Err("an error is no example".to_owned()),
    }
    Ok(lines)
}

/// The row's names; the last one is numbered where it stands for several operands.
fn operand_names(row: &Row, count: usize) -> Vec<String> {
    let Some((last, first)) = row.operands.split_last() else {
        return Vec::new();
    };
    let mut all: Vec<String> = first.iter().map(ToString::to_string).collect();
    all.truncate(count);
    all.extend(names(last, count - all.len()));
    all
}

fn names(name: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![name.to_owned()],
        _ => (1..=count).map(|i| format!("{name}{i}")).collect(),
    }
}

fn operand(name: &str, tensor: &Tensor) -> Result<Vec<String>, String> {
    let TensorType { dtype, shape } = tensor.ty();
    let elements = elements(tensor, Digits::OfDtype)?;
    let upload = |bytes: &str| {
        let shape = tuple(shape);
        format!(
            "iex> {{:ok, {name}}} = Emily.Native.from_binary(worker, :{dtype}, {shape}, {bytes})"
        )
    };
    if dtype.size() == 1 {
        return Ok(vec![upload(&format!("<<{elements}>>"))]);
    }
    let (variable, segments) = segments(*dtype)?;
    Ok(vec![
        format!("iex> bytes = for {variable} <- [{elements}], into: <<>>, do: <<{segments}>>"),
        upload("bytes"),
    ])
}

fn result(row: &Row, name: &str, value: &Tensor) -> Result<Vec<String>, String> {
    let dtype = value.dtype();
    if dtype.size() == 1 {
        let elements = elements(value, Digits::OfDtype)?;
        return Ok(vec![
            format!("iex> Emily.Native.read({name})"),
            format!("{{:ok, <<{elements}>>}}"),
        ]);
    }
    let (variable, segments) = segments(dtype)?;
    let digits = Digits::of_result(row, value);
    let shown = match (digits, dtype.class()) {
        (Digits::Four, Class::Complex) => "{Float.round(re, 4), Float.round(im, 4)}",
        (Digits::Four, _) => "Float.round(x, 4)",
        (Digits::OfDtype | Digits::All, _) => variable,
    };
    Ok(vec![
        format!("iex> {{:ok, bytes}} = Emily.Native.read({name})"),
        format!("iex> for <<{segments} <- bytes>>, do: {shown}"),
        format!("[{}]", elements(value, digits)?),
    ])
}

/// How a float is written.
#[derive(Clone, Copy, PartialEq)]
enum Digits {
    /// As few as give the same number in its own dtype.
    OfDtype,
    /// As few as give the same number in Elixir's doubles.
    All,
    /// Rounded to four decimals.
    Four,
}

impl Digits {
    /// Four where the answer may differ in its last bits, or would take more to write.
    fn of_result(row: &Row, value: &Tensor) -> Digits {
        let exact = match row.judged {
            Judged::Values(tolerance) => {
                matches!(tolerance(value.dtype()), Tolerance::Exact | Tolerance::Bits)
            }
            Judged::Promise { .. } => false,
        };
        let short = numbers(value).all(|number| rounded(number) == number);
        match Format::of(value.dtype()) {
            Some(_) if !(exact && short) => Digits::Four,
            _ => Digits::All,
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Every float of a tensor, part by part; none of an integer tensor.
fn numbers(tensor: &Tensor) -> impl Iterator<Item = f64> {
    let format = Format::of(tensor.dtype());
    number::elements(tensor)
        .flat_map(move |element| parts(tensor.dtype(), element))
        .filter_map(move |bits| Some(format?.value(bits)))
}

fn parts(dtype: DType, element: u64) -> Vec<u64> {
    match dtype.class() {
        Class::Complex => number::parts(element).to_vec(),
        Class::Unsigned | Class::Signed | Class::Float => vec![element],
    }
}

/// A tensor's elements as Elixir writes them.
fn elements(tensor: &Tensor, digits: Digits) -> Result<String, String> {
    let dtype = tensor.dtype();
    let mut texts = Vec::new();
    for element in number::elements(tensor) {
        if let Some(integer) = number::integer(dtype, element) {
            texts.push(integer.to_string());
            continue;
        }
        let format = Format::of(dtype).ok_or("this dtype has no format")?;
        let mut written = Vec::new();
        for bits in parts(dtype, element) {
            if !format.is_finite(bits) {
                return Err("Elixir writes no infinity and no NaN".to_owned());
            }
            written.push(decimal(format.value(bits), digits));
        }
        let written = written.join(", ");
        texts.push(match dtype.class() {
            Class::Complex => format!("{{{written}}}"),
            Class::Unsigned | Class::Signed | Class::Float => written,
        });
    }
    Ok(texts.join(", "))
}

/// A float literal of Elixir's, which has a point also before an exponent.
fn decimal(number: f64, digits: Digits) -> String {
    let text = match digits {
        Digits::OfDtype => format!("{:?}", number as f32),
        Digits::All => format!("{number:?}"),
        Digits::Four => format!("{:?}", rounded(number)),
    };
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

/// What an element is called, and its place in a binary.
fn segments(dtype: DType) -> Result<(&'static str, String), String> {
    let bits = 8 * dtype.size();
    match (dtype, dtype.class()) {
        (DType::Bf16 | DType::F64, _) => Err(format!("an example has no {dtype}")),
        (_, Class::Unsigned) => Ok(("x", format!("x::unsigned-{bits}-little"))),
        (_, Class::Signed) => Ok(("x", format!("x::signed-{bits}-little"))),
        (_, Class::Float) => Ok(("x", format!("x::float-{bits}-little"))),
        (_, Class::Complex) => Ok((
            "{re, im}",
            "re::float-32-little, im::float-32-little".to_owned(),
        )),
    }
}

fn type_text(ty: &TensorType) -> String {
    format!("{{:{}, {}}}", ty.dtype, tuple(&ty.shape))
}

fn tuple(shape: &Shape) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("{{{}}}", dims.join(", "))
}

/// The attributes that are not what they would be anyway, as the function's third argument.
fn attributes(op: &Op) -> String {
    let json = serde_json::to_value(op).unwrap_or_default();
    let Some(Value::Object(attrs)) = json.get("attrs") else {
        return String::new();
    };
    let stated = attrs.iter().filter(|(name, _)| {
        let mut plain = attrs.clone();
        plain.remove(*name);
        Op::read(op.name(), Value::Object(plain)).ok().as_ref() != Some(op)
    });
    let texts: Vec<String> = stated
        .map(|(name, value)| format!("{name}: {}", term(value)))
        .collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!(", %{{{}}}", texts.join(", "))
    }
}

/// An attribute's value: what is a name in text is an atom in Elixir.
fn term(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(name) => format!(":{name}"),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(term).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name}: {}", term(value)))
                .collect();
            format!("%{{{}}}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn example(op: &str, fact: &str) -> String {
        let row = Row::named(op).unwrap();
        let file = format!("fixtures/cases/{}/{op}.toml", row.family);
        let text =
            format!("op = \"{op}\"\ndoc = \"d\"\n[[case]]\nname = \"a\"\nexample = true\n{fact}\n");
        let cases = crate::case::parse(Path::new(&file), &text).unwrap();
        section(row, &cases).unwrap_or_else(|message| message)
    }

    #[test]
    fn attributes_that_have_their_default_are_left_away() {
        let text = example(
            "sum",
            "attrs = { axes = [1], keep_axes = false }\nin = [\"u8[1,2] 3 4\"]\nout = \"u32[1] 7\"",
        );
        let want = "
## Examples

    iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
    iex> {:ok, tensor} = Emily.Native.from_binary(worker, :u8, {1, 2}, <<3, 4>>)
    iex> {:ok, [result]} = Emily.Native.sum(worker, [tensor], %{axes: [1]})
    iex> {:ok, bytes} = Emily.Native.read(result)
    iex> for <<x::unsigned-32-little <- bytes>>, do: x
    [7]
";
        assert_eq!(text, want);
    }

    #[test]
    fn what_may_differ_in_its_last_bits_is_rounded() {
        let text = example("exp", "in = [\"f32[1] 0.1\"]\nout = \"f32[1] 1.1051709\"");
        assert!(text.contains("for x <- [0.1], into"), "{text}");
        assert!(
            text.contains("do: Float.round(x, 4)\n    [1.1052]"),
            "{text}"
        );
    }

    #[test]
    fn exact_answers_are_shown_as_they_are() {
        let fact = "in = [\"c64[1] (1,2)\", \"c64[1] (0.5,1e30)\"]\nout = \"c64[1] (1.5,1e30)\"";
        let text = example("add", fact);
        assert!(text.contains("<- [{0.5, 1.0e30}], into"), "{text}");
        assert!(text.contains("do: {re, im}\n    [{1.5, 1.0"), "{text}");
    }

    #[test]
    fn operands_of_one_name_are_numbered_and_unstated_answers_are_types() {
        let text = example(
            "concatenate",
            "attrs = { axis = 0 }\nin = [\"u8[1] 1\", \"s8[1] -1\"]",
        );
        assert!(
            text.contains("(worker, [tensors1, tensors2], %{axis: 0})"),
            "{text}"
        );
        assert!(
            text.contains("Emily.Native.type(result)\n    {:s16, {2}}"),
            "{text}"
        );
    }

    #[test]
    fn what_elixir_cannot_write_is_a_problem_with_its_place() {
        let text = example("exp", "in = [\"f32[1] inf\"]\nout = \"f32[1] inf\"");
        assert!(
            text.contains("exp.toml:4: Elixir writes no infinity"),
            "{text}"
        );
        let text = example("exp", "in = [\"bf16[1] 0\"]\nout = \"bf16[1] 1\"");
        assert!(text.contains("an example has no bf16"), "{text}");
        let round = Row::named("round").unwrap();
        let none = section(round, &[]).unwrap_err();
        assert!(none.contains("unary/round.toml marks no fact"), "{none}");
    }
}
