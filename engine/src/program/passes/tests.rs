use super::*;

fn run(result: u32, name: &str, operands: &[u32]) -> String {
    format!(
        r#"{{"results": [{result}], "step": {{"run": {{"op": {{"op": "{name}"}}, "operands": {operands:?}}}}}}}"#
    )
}

fn region(nodes: &[String], results: &[u32]) -> String {
    let nodes = nodes.join(", ");
    format!(r#"{{"nodes": [{nodes}], "results": {results:?}}}"#)
}

fn program(nodes: &[String], results: &[u32]) -> Program {
    let parameter = r#"{"dtype": "f32", "shape": []}"#;
    let constants = r#"[{"dtype": "u8", "shape": [], "bytes": "01"}, {"dtype": "f32", "shape": [], "bytes": "0000803f"},
        {"dtype": "f32", "shape": [], "bytes": "0000803f"}]"#;
    let body = region(nodes, results);
    let text = format!(
        r#"{{"parameters": [{parameter}, {parameter}], "constants": {constants}, "body": {body}}}"#
    );
    serde_json::from_str(&text).expect(&text)
}

/// A program's text after a pass.
fn after(pass: fn(Program) -> Result<Program>, nodes: &[String], results: &[u32]) -> String {
    let text = pass(program(nodes, results)).expect("it fits").to_string();
    let lines = text.lines().filter(|line| !line.contains(" = parameter :"));
    lines.map(str::trim).collect::<Vec<_>>().join("; ")
}

fn constants_once(program: Program) -> Result<Program> {
    let (parameters, constants, body) = program.into_parts();
    let (constants, body) = constants::once(parameters.len(), constants, body);
    Program::new(parameters, constants, body)
}

fn computations_once(program: Program) -> Result<Program> {
    let (parameters, constants, body) = program.into_parts();
    Program::new(parameters, constants, dead::removed(common::once(body)))
}

#[test]
fn equal_constants_are_one_and_unused_ones_none() {
    let nodes = [run(5, "add", &[3, 4])];
    let expected = "%2 = constant : f32[]; %3 = add(%2, %2) : f32[]; -> %3";
    assert_eq!(after(constants_once, &nodes, &[5]), expected);
    let bits = "%2 = constant : u8[]; %3 = constant : f32[]; -> %2, %3";
    assert_eq!(after(constants_once, &[], &[2, 4]), bits);
}

#[test]
fn equal_computations_are_one_where_they_are_seen() {
    let nodes = [
        run(5, "exp", &[0]),
        run(6, "exp", &[0]),
        run(7, "exp", &[1]),
        run(8, "add", &[5, 6]),
        run(9, "subtract", &[6, 7]),
    ];
    let text = after(computations_once, &nodes, &[8, 9]);
    let constants = "%2 = constant : u8[]; %3 = constant : f32[]; %4 = constant : f32[]; ";
    let expected = "%5 = exp(%0) : f32[]; %6 = exp(%1) : f32[]; %7 = add(%5, %5) : f32[]; \
                    %8 = subtract(%5, %6) : f32[]; -> %7, %8";
    assert_eq!(text, format!("{constants}{expected}"));
}

#[test]
fn a_branch_sees_what_was_computed_before_it_and_nobody_what_it_computes() {
    let then = region(&[run(20, "exp", &[0]), run(21, "exp", &[1])], &[21]);
    let otherwise = region(&[run(22, "exp", &[1])], &[22]);
    let branch = format!(
        r#"{{"results": [9], "step": {{"if": {{"predicate": 0, "then": {then}, "else": {otherwise}}}}}}}"#
    );
    let nodes = [run(5, "exp", &[0]), branch, run(10, "exp", &[1])];
    let text = after(optimised, &nodes, &[5, 9, 10]);
    let expected = "%2 = exp(%0) : f32[]; %5 = if %0; %3 = exp(%1) : f32[]; -> %3; else; %4 = \
                    exp(%1) : f32[]; -> %4; %6 = exp(%1) : f32[]; -> %2, %5, %6";
    assert_eq!(text, expected);
}

#[test]
fn a_loop_that_nothing_needs_is_not_run_and_one_that_is_needed_keeps_what_it_uses() {
    let condition = region(&[run(21, "less", &[20, 6]), run(25, "exp", &[20])], &[21]);
    let body = region(
        &[
            run(22, "exp", &[20]),
            run(23, "add", &[22, 5]),
            run(24, "add", &[0, 0]),
        ],
        &[23],
    );
    let repeat = format!(
        r#"{{"results": [9], "step": {{"while": {{"initial": [0], "state": [20], "condition": {condition}, "body": {body}}}}}}}"#
    );
    let nodes = [run(5, "exp", &[0]), run(6, "exp", &[1]), repeat];
    assert_eq!(after(optimised, &nodes, &[0]), "-> %0");
    let expected = "%2 = exp(%0) : f32[]; %3 = exp(%1) : f32[]; %8 = while %4 = %0; %5 = \
                    less(%4, %3) : u8[]; %6 = exp(%4) : f32[]; -> %5; do; %7 = add(%6, %2) : f32[]; \
                    -> %7; -> %8";
    assert_eq!(after(optimised, &nodes, &[9]), expected);
}
