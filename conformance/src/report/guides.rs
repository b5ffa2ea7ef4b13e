//! `elixir/guides/backend_documentation`: what a user of Nx has to know of Emily, function by function.
//!
//! The pages are those of Nx's convention for backends, one per module of Nx.

use emily_spec::{DType, Dtypes, ErrorKind, Family, ROWS, Row, TensorType};

use super::divergences::{Recorded, by_cause, summary};
use super::markdown::{GENERATED, row};
use crate::ledger::Cause;

/// Where the page about `Nx` stands, from the repository's root.
pub const NX_GUIDE: &str = "elixir/guides/backend_documentation/nx.md";

/// Where the page about `Nx.LinAlg` stands.
pub const NX_LIN_ALG_GUIDE: &str = "elixir/guides/backend_documentation/nx_lin_alg.md";

const NX: &str = "
# Nx (Emily)

See also [Nx.LinAlg](nx_lin_alg.md).

All of Nx works on the CPU and on CUDA, and is written for Metal, where it has not been run yet. `f64` is on the CPU
only, for those who ask for it (`Emily.Backend`).

## Functions, and the types they take

Each of these is one operation of Emily's. Integers are `u8` to `u64` and `s8` to `s64`, floats `f16`, `bf16`, `f32`
and `f64`, complex numbers `c64`. What Nx answers without a backend, as `Nx.floor/1` of integers, needs no type here.

";

const REFUSED: &str = "
## What is refused

`Nx.from_pointer/5` and `Nx.to_pointer/2`, by an `ArgumentError` that names the function to use instead; and `c128`,
`f8`, `f8_e4m3fn` and integers below 8 bits, wherever they come from, by one that names a type.

## What runs on `Nx.BinaryBackend`

`Nx.reduce/4` and `Nx.window_reduce/5`, whose function is Elixir's: correctly, slowly, and with a telemetry event.
`config :emily, fallback: :raise` makes it an error.

## When errors are raised

What depends on values, as an index out of range, is raised where the result is read, not where the function is
called: see [Errors](../errors.md).
";

const NX_LIN_ALG: &str = "
# Nx.LinAlg (Emily)

See also [Nx](nx.md).

These run on the CPU, whatever the device: MLX has no others.

";

const LIN_ALG_NOTES: &str = "
The other functions of `Nx.LinAlg` are made of these and of `Nx`'s.

Complex matrices that a decomposition does not take are computed by Nx's own function, operation by operation,
each of which is Emily's: correct, and slower. `[:emily, :block, :fallback]` tells of each, and `config :emily,
fallback: :raise` is not about them.

## Options

`:max_iter` and `:eps` of `Nx.LinAlg.eigh/2` and `Nx.LinAlg.svd/2` are ignored, and so is `:eps` of `Nx.LinAlg.qr/2`:
LAPACK goes on until rounding is all that is left.

## Matrices without an answer

  * A singular matrix is an `ArgumentError` where the result of `Nx.LinAlg.solve/2` or
    `Nx.LinAlg.triangular_solve/3` is read, and so is one that is not positive definite of
    `Nx.LinAlg.cholesky/1`. `Nx.LinAlg.invert/1` has NaN, as on every backend.
  * A matrix with a NaN or an infinity has NaN for its factors.

## Factors that are not unique

  * `Nx.LinAlg.qr/2` has Nx's signs. With `mode: :complete` the columns of Q after the n-th are another basis of
    the same rest.
  * `Nx.LinAlg.eigh/2` and `Nx.LinAlg.svd/2` order values as Nx does; the signs of their vectors, and which basis
    the vectors of a repeated value are, may be others.
";

const DIFFERS: &str = "
## What differs from what Nx says

";

const UNDER_DEFN: &str = "
Under `defn` also, on every backend alike:

";

const ALL: &str = "
Where `Nx.BinaryBackend` itself is not what Nx means, results change for somebody who comes from it:
[DIVERGENCES.md](../../../DIVERGENCES.md) lists these, with reasons.
";

/// The page about `Nx`.
pub fn nx_guide(entries: &[Recorded]) -> String {
    let is_here = |row: &Row| match row.family {
        Family::Unary
        | Family::Binary
        | Family::Creation
        | Family::Shape
        | Family::Index
        | Family::Reduce
        | Family::Sort
        | Family::Window
        | Family::Cumulative
        | Family::Conv
        | Family::Fft => true,
        Family::Linalg => row.name == "dot",
        Family::Quantized | Family::Fast => false,
    };
    page(NX, "Nx", REFUSED, &is_here, entries)
}

/// The page about `Nx.LinAlg`.
pub fn nx_lin_alg_guide(entries: &[Recorded]) -> String {
    let is_here =
        |row: &Row| row.family == Family::Linalg && !["dot", "gather_mm"].contains(&row.name);
    page(NX_LIN_ALG, "Nx.LinAlg", LIN_ALG_NOTES, &is_here, entries)
}

fn page(
    intro: &str,
    module: &str,
    notes: &str,
    is_here: &dyn Fn(&Row) -> bool,
    entries: &[Recorded],
) -> String {
    let rows: Vec<&Row> = ROWS.iter().copied().filter(|row| is_here(row)).collect();
    let about = |entry: &&Recorded| rows.iter().any(|row| entry.is_about(row.name));
    let entries: Vec<Recorded> = entries.iter().filter(about).cloned().collect();
    let emily = summary(
        &by_cause(&entries, Cause::Emily),
        "Nothing that is known.\n",
    );
    let nx = summary(&by_cause(&entries, Cause::Nx), "");
    let under_defn = if nx.is_empty() { "" } else { UNDER_DEFN };
    let functions = functions(module, &rows);
    format!("{GENERATED}{intro}{functions}{notes}{DIFFERS}{emily}{under_defn}{nx}{ALL}")
}

/// The functions, by the types that they take.
fn functions(module: &str, rows: &[&Row]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let (types, name) = (types(row), format!("`{module}.{}`", function(row)));
        match groups.iter_mut().find(|(known, _)| *known == types) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => groups.push((types, vec![name])),
        }
    }
    let lines = groups
        .iter()
        .map(|(types, names)| row([types.clone(), names.join(" ")]));
    row(["types", "functions"]) + "|---|---|\n" + &lines.collect::<String>()
}

fn types(row: &Row) -> String {
    let Dtypes {
        integer,
        float,
        complex,
    } = row.accepts;
    let classes = [
        ("integers", integer),
        ("floats", float),
        ("complex", complex),
    ];
    let taken: Vec<&str> = classes
        .iter()
        .filter_map(|(name, is_taken)| is_taken.then_some(*name))
        .collect();
    // A complex result has no double precision, nor has what MLX computes by one.
    let double = row.result_dtype(&[TensorType::new(DType::F64, [])], None);
    let is_refused = double.is_err_and(|error| error.kind == ErrorKind::Dtype);
    let without = if is_refused { "; no `f64`" } else { "" };
    taken.join(", ") + without
}

/// What Nx calls the op.
fn function(row: &Row) -> &'static str {
    match row.name {
        "constant" => "tensor",
        "dynamic_slice" => "slice",
        "dynamic_put_slice" => "put_slice",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(trial: &str, cause: Cause, why: &str) -> Recorded {
        Recorded {
            trials: vec![trial.to_owned()],
            when: String::new(),
            result: String::new(),
            why: why.to_owned(),
            cause,
        }
    }

    #[test]
    fn a_page_has_its_functions_types_and_differences() {
        let entries = [
            entry("native::unary::exp::a::f32", Cause::Emily, "mine"),
            entry("compiler::linalg::svd::a::f32", Cause::Nx, "Nx's own"),
            entry("nx::unary::exp::a::f32", Cause::Emily, "the referee's"),
            entry("native::fast::softmax::a::f32", Cause::Emily, "elsewhere"),
        ];
        let (nx, lin_alg) = (nx_guide(&entries), nx_lin_alg_guide(&entries));
        for text in [
            "| integers, floats; no `f64` | `Nx.rfft` |\n",
            "`Nx.dot`",
            "- `exp` of f32: mine\n",
        ] {
            assert!(nx.contains(text), "{text} in\n{nx}");
        }
        for text in [
            "`Nx.LinAlg.svd`",
            "Nothing that is known.\n",
            "- `svd` of f32: Nx's own\n",
        ] {
            assert!(lin_alg.contains(text), "{text} in\n{lin_alg}");
        }
        for text in ["referee's", "elsewhere", "gather_mm", "Under `defn`"] {
            assert!(!nx.contains(text), "{text} in\n{nx}");
        }
        assert_eq!(nx.matches("`Nx.slice`").count(), 1, "{nx}");
    }
}
