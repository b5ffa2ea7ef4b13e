use super::*;
use crate::{Arithmetic, DType, ErrorKind, Result, Unary};

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims.to_vec())
}

fn run(results: &[u32], op: impl Into<Op>, operands: &[u32]) -> Node {
    Node {
        results: ids(results),
        step: Step::Op {
            op: Arc::new(op.into()),
            operands: ids(operands),
        },
    }
}

fn ids(numbers: &[u32]) -> Vec<Id> {
    numbers.iter().copied().map(Id).collect()
}

fn region(nodes: Vec<Node>, results: &[u32]) -> Region {
    Region {
        nodes,
        results: ids(results),
    }
}

fn program(parameters: &[TensorType], nodes: Vec<Node>, results: &[u32]) -> Result<Program> {
    Program::new(parameters.to_vec(), vec![], region(nodes, results))
}

fn refusal(result: Result<Program>) -> (ErrorKind, String) {
    let error = result.expect_err("a refusal");
    (error.kind, error.message)
}

/// `|x|` by a branch, then a loop that adds the first operand until the second is over 10.
fn example() -> Program {
    let negate = region(vec![run(&[20], Unary::Negate, &[0])], &[20]);
    let branch = Node {
        results: ids(&[5]),
        step: Step::If {
            predicate: Id(1),
            then: region(vec![], &[0]),
            otherwise: negate,
        },
    };
    let add = region(vec![run(&[32], Arithmetic::Add, &[30, 5])], &[32]);
    let repeat = Node {
        results: ids(&[9]),
        step: Step::While {
            initial: ids(&[0]),
            state: ids(&[30]),
            condition: region(vec![run(&[31], crate::Compare::Less, &[30, 1])], &[31]),
            body: add,
        },
    };
    let parameters = [f32s(&[]), f32s(&[])];
    program(&parameters, vec![branch, repeat], &[9, 5]).expect("it fits")
}

#[test]
fn values_are_numbered_in_the_order_of_the_text_and_typed() {
    let ty = f32s(&[2]);
    let nodes = |ids: [u32; 2]| {
        let [sum, root] = ids;
        vec![
            run(&[sum], Arithmetic::Add, &[0, 0]),
            run(&[root], Unary::Sqrt, &[sum]),
        ]
    };
    let program_of = |ids: [u32; 2]| program(std::slice::from_ref(&ty), nodes(ids), &[ids[1], 0]);
    let given = program_of([7, 3]).expect("it fits");
    assert_eq!(given.body().results, ids(&[2, 0]));
    assert_eq!(given.types(), [f32s(&[2]), f32s(&[2]), f32s(&[2])]);
    assert_eq!(Ok(given), program_of([1, 2]));
}

#[test]
fn it_prints() {
    let text = "%0 = parameter : f32[]\n%1 = parameter : f32[]\n%3 = if %1\n  -> %0\nelse\n  %2 = \
                negate(%0) : f32[]\n  -> %2\n%7 = while %4 = %0\n  %5 = less(%4, %1) : u8[]\n  -> \
                %5\ndo\n  %6 = add(%4, %3) : f32[]\n  -> %6\n-> %7, %3\n";
    assert_eq!(example().to_string(), text);
    assert_eq!(example().node_count(), 5);
}

#[test]
fn text_round_trips() {
    let (parameters, _, body) = example().into_parts();
    let tensor = Tensor::new(f32s(&[1]), vec![0, 0, 128, 63]).expect("four bytes");
    // A constant takes the number after the parameters' from what had it.
    let renumbered = Region {
        results: vec![Id(2)],
        ..body.clone()
    };
    let with_constant = Program::new(
        parameters,
        vec![Arc::new(tensor)],
        Region {
            nodes: vec![],
            ..renumbered
        },
    );
    for program in [example(), with_constant.expect("it fits")] {
        let text = serde_json::to_string(&program).expect("it is written");
        let read: Program = serde_json::from_str(&text).expect(&text);
        assert_eq!(read, program);
    }
    for text in [
        r#"{"parameters": [], "body": {"nodes": [], "results": [0]}}"#,
        r#"{"parameters": [], "body": {"nodes": [], "results": []}, "more": 1}"#,
        r#"{"parameters": [], "constants": [{"dtype": "u8", "shape": [1], "bytes": "0g"}], "body": {"nodes": [], "results": []}}"#,
        r#"{"parameters": [], "constants": [{"dtype": "u8", "shape": [1], "bytes": "0000"}], "body": {"nodes": [], "results": []}}"#,
    ] {
        assert!(serde_json::from_str::<Program>(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_not_known_where_it_is_used_is_refused() {
    let one = [f32s(&[])];
    let before = vec![run(&[2], Unary::Exp, &[3]), run(&[3], Unary::Exp, &[0])];
    let (kind, message) = refusal(program(&one, before, &[2]));
    assert_eq!(kind, ErrorKind::Argument);
    assert_eq!(
        message,
        "%3 is not known here; a value stands before its use"
    );
    let twice = vec![run(&[1], Unary::Exp, &[0]), run(&[1], Unary::Exp, &[0])];
    assert_eq!(refusal(program(&one, twice, &[1])).1, "%1 is given twice");
    // What a branch computes is its own.
    let inside = region(vec![run(&[20], Unary::Exp, &[0])], &[20]);
    let branch = Node {
        results: ids(&[1]),
        step: Step::If {
            predicate: Id(0),
            then: inside.clone(),
            otherwise: inside,
        },
    };
    assert!(program(&one, vec![branch.clone()], &[1]).is_ok());
    assert_eq!(
        refusal(program(&one, vec![branch], &[20])).0,
        ErrorKind::Argument
    );
}

#[test]
fn results_and_types_have_to_fit() {
    let parameters = [f32s(&[]), f32s(&[2])];
    let branch = |predicate, then: &[u32], otherwise: &[u32], results: &[u32]| Node {
        results: ids(results),
        step: Step::If {
            predicate: Id(predicate),
            then: region(vec![], then),
            otherwise: region(vec![], otherwise),
        },
    };
    let one = |node| refusal(program(&parameters, vec![node], &[0]));
    assert_eq!(one(branch(1, &[0], &[0], &[5])).0, ErrorKind::Shape);
    assert_eq!(one(branch(0, &[0], &[1], &[5])).0, ErrorKind::Shape);
    assert_eq!(one(branch(0, &[0], &[], &[5])).0, ErrorKind::Argument);
    assert_eq!(one(branch(0, &[0], &[0], &[])).0, ErrorKind::Argument);
    assert_eq!(one(run(&[5], Arithmetic::Add, &[0])).0, ErrorKind::Argument);
    let repeat = |state: &[u32], condition: &[u32], body: &[u32]| Node {
        results: ids(&[5]),
        step: Step::While {
            initial: ids(&[1]),
            state: ids(state),
            condition: region(vec![], condition),
            body: region(vec![], body),
        },
    };
    assert_eq!(one(repeat(&[7], &[7], &[7])).0, ErrorKind::Shape);
    assert_eq!(one(repeat(&[7], &[0], &[0])).0, ErrorKind::Shape);
    assert_eq!(one(repeat(&[7], &[], &[7])).0, ErrorKind::Argument);
    assert_eq!(one(repeat(&[], &[0], &[7])).0, ErrorKind::Argument);
    assert!(program(&parameters, vec![repeat(&[7], &[0], &[7])], &[5]).is_ok());
}

#[test]
fn regions_are_only_so_deep() {
    let nested = |depth: usize| {
        let innermost = region(vec![], &[0]);
        let body = (0..depth).fold(innermost, |inner, level| {
            let number = 10 + u32::try_from(level).expect("a few");
            let node = Node {
                results: ids(&[number]),
                step: Step::If {
                    predicate: Id(0),
                    then: inner,
                    otherwise: region(vec![], &[0]),
                },
            };
            region(vec![node], &[number])
        });
        Program::new(vec![f32s(&[])], vec![], body)
    };
    assert!(nested(Program::MAX_DEPTH).is_ok());
    assert_eq!(
        refusal(nested(Program::MAX_DEPTH + 1)).0,
        ErrorKind::Argument
    );
}
