//! What decides the bits of a unary op on `f32`, on a CPU.

use std::path::Path;

use anyhow::{Context as _, bail};
use emily_spec::{Op, Row, Unary, fnv1a};

/// The host's functions, by their ops' names, from this on.
const FUNCTIONS: [&str; 2] = ["engine/src/host/unary.rs", "macro_rules!"];

/// What they are made of.
const HOST: [&str; 2] = ["engine/src/host/math.rs", "engine/src/host/level.rs"];

/// What is made of MLX's primitives, and which MLX that is.
const MLX: [&str; 5] = [
    "engine/src/ops/unary.rs",
    "engine/src/ops/unary/function.rs",
    "engine/src/ops/erfc.rs",
    "engine/src/ops/float.rs",
    "engine/mlx-runtime/wheels/cpu.txt",
];

/// A digest of the code that computes the op, which comments, tests and the lengths of lines do not change.
///
/// # Errors
/// Of an op that is not unary, and of a source that is not there.
pub fn digest(root: &Path, row: &Row) -> anyhow::Result<String> {
    let code = |name: &str| {
        let text = std::fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
        text.map(|text| code_of(&text))
    };
    let Op::Unary(op) = Op::read(row.name, serde_json::json!({}))? else {
        bail!("{} is no unary op", row.name);
    };
    let [file, from] = FUNCTIONS;
    let functions = code(file)?;
    let (_, functions) = functions.split_once(from).context(file)?;
    let mut all = match is_among(op, functions) {
        true => vec![functions.to_owned()],
        false => Vec::new(),
    };
    let rest: &[&str] = if all.is_empty() { &MLX } else { &HOST };
    for name in rest {
        all.push(code(name)?);
    }
    Ok(format!("{:016x}", fnv1a(&all.join("\n"))))
}

/// Whether these functions have one for the op.
fn is_among(op: Unary, functions: &str) -> bool {
    functions.contains(&format!(" {op:?}: |"))
}

/// A source's words but for comments, and for tests, which are at its end.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let code = lines.take_while(|line| *line != "#[cfg(test)]");
    let code = code.filter(|line| !line.starts_with("//"));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::repository;

    #[test]
    fn an_op_is_the_host_s_or_made_of_mlx_s() {
        let digest = |name: &str| digest(&repository(), Row::named(name).unwrap()).unwrap();
        for (names, other) in [(["exp", "tan"], "floor"), (["floor", "erf_inv"], "exp")] {
            assert_eq!(digest(names[0]), digest(names[1]));
            assert_ne!(digest(names[0]), digest(other));
        }
    }

    #[test]
    fn comments_tests_and_lines_are_no_code() {
        let text = "//! One.\nfn one() {\n    // It is.\n    1\n}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(code_of(text), code_of("fn one() { 1 }"));
        assert_ne!(code_of(text), code_of("fn one() { 2 }"));
    }
}
