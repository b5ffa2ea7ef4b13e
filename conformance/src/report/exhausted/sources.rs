//! What decides the bits of a unary op on `f32`, on a CPU.

use std::path::Path;

use anyhow::{Context as _, bail};
use emily_spec::{Op, Row, Unary, fnv1a};

/// A file with functions of the host's, from which words on, and what they are made of.
struct Functions {
    file: &'static str,
    from: &'static str,
    made_of: &'static [&'static str],
}

const HOST: [Functions; 3] = [
    Functions {
        file: "engine/src/host/unary.rs",
        from: "macro_rules!",
        made_of: &MATH,
    },
    Functions {
        file: "engine/src/host/erfc.rs",
        from: "",
        made_of: &FITS,
    },
    Functions {
        file: "engine/src/host/inverse.rs",
        from: "",
        made_of: &FITS,
    },
];

const MATH: [&str; 3] = [
    "engine/src/host/math.rs",
    "engine/src/host/level.rs",
    "engine/src/host/elementwise.rs",
];
const FITS: [&str; 4] = ["engine/src/host/fit.rs", MATH[0], MATH[1], MATH[2]];

/// What is made of MLX's primitives, and which MLX that is.
const MLX: [&str; 4] = [
    "engine/src/ops/unary.rs",
    "engine/src/ops/unary/function.rs",
    "engine/src/ops/float.rs",
    "engine/mlx-runtime/wheels/cpu.txt",
];

/// A digest of the code that computes the op, which comments, tests, visibility and the lengths of lines do not
/// change.
///
/// # Errors
/// Of an op that is not unary, and of a source that is not there.
pub fn digest(root: &Path, row: &Row) -> anyhow::Result<String> {
    let Op::Unary(op) = Op::read(row.name, serde_json::json!({}))? else {
        bail!("{} is no unary op", row.name);
    };
    let mut all = Vec::new();
    for functions in &HOST {
        let code = code_at(root, functions.file)?;
        let from = code.find(functions.from).context(functions.file)?;
        if is_among(op, &code[from..]) {
            all.push(code[from..].to_owned());
            for name in functions.made_of {
                all.push(code_at(root, name)?);
            }
        }
    }
    if all.is_empty() {
        for name in MLX {
            all.push(code_at(root, name)?);
        }
    }
    Ok(format!("{:016x}", fnv1a(&all.join("\n"))))
}

fn code_at(root: &Path, name: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
    text.map(|text| code_of(&text))
}

/// Whether these functions have one for the op.
fn is_among(op: Unary, functions: &str) -> bool {
    let head = format!(" {op:?}: ");
    let alone = format!(" Function for {op:?} {{");
    [head, alone].iter().any(|head| functions.contains(head))
}

/// A source's words but for comments, for who may use what, and for tests, which are at its end.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let code = lines.take_while(|line| *line != "#[cfg(test)]");
    let code = code.filter(|line| !line.starts_with("//"));
    let words = code.flat_map(str::split_whitespace);
    let words: Vec<&str> = words
        .filter(|word| *word != "pub" && !word.starts_with("pub("))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::repository;

    #[test]
    fn an_op_is_the_host_s_or_made_of_mlx_s() {
        let digest = |name: &str| digest(&repository(), Row::named(name).unwrap()).unwrap();
        for (names, other) in [
            (["exp", "tan"], "floor"),
            (["asin", "erf_inv"], "exp"),
            (["floor", "round"], "erfc"),
        ] {
            assert_eq!(digest(names[0]), digest(names[1]));
            assert_ne!(digest(names[0]), digest(other));
        }
    }

    #[test]
    fn comments_tests_and_lines_are_no_code() {
        let text = "//! One.\npub(super) fn one() {\n    // It is.\n    1\n}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(code_of(text), code_of("fn one() { 1 }"));
        assert_ne!(code_of(text), code_of("fn one() { 2 }"));
    }
}
