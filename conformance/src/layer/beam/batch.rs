//! Several calls in one message.

use std::collections::HashMap;
use std::slice;
use std::sync::{Mutex, PoisonError};

use emily_spec::{Error, ErrorKind, Result};

/// An answer for each call. All are asked together; where that fails, one of them ended the VM or
/// took too long, and asked alone they tell which: only that one is without an answer.
pub(super) fn each<C, T>(
    calls: &[C],
    ask: &impl Fn(&[C]) -> Result<Vec<Result<T>>>,
) -> Vec<Result<T>> {
    match ask(calls) {
        Ok(answers) => answers,
        Err(error) if calls.len() == 1 => vec![Err(error)],
        Err(_) => calls.chunks(1).flat_map(|call| each(call, ask)).collect(),
    }
}

/// How often calls of one kind may end the VM, one by one: a new VM takes a second, and a sweep has a
/// thousand calls.
const PATIENCE: u32 = 3;

/// How often calls of each kind have ended the VM.
pub(super) type Deaths = Mutex<HashMap<String, u32>>;

const SPARED: &str = "not asked, as calls of its kind have ended the VM";

/// Whether this error is of a call that was not asked.
pub(super) fn is_spared(error: &Error) -> bool {
    error.message == SPARED
}

/// As [`each`], but calls of a kind that ends the VM again and again are asked together only: where that
/// fails, one of them is without an answer, and the others are spared.
pub(super) fn sparing<C, T>(
    calls: &[C],
    kind: impl Fn(&C) -> String,
    deaths: &Deaths,
    ask: &impl Fn(&[C]) -> Result<Vec<Result<T>>>,
) -> Vec<Result<T>> {
    let death = match ask(calls) {
        Ok(answers) => return answers,
        Err(error) if calls.len() == 1 => return vec![Err(error)],
        Err(error) => error,
    };
    let mut told = false;
    let mut alone = |call: &C| {
        let kind = kind(call);
        let deaths = || deaths.lock().unwrap_or_else(PoisonError::into_inner);
        if deaths().get(&kind).is_some_and(|ends| *ends >= PATIENCE) {
            return Err(Error::new(ErrorKind::Internal, SPARED));
        }
        match ask(slice::from_ref(call)) {
            Ok(mut answers) => answers.swap_remove(0),
            Err(error) => {
                told = true;
                *deaths().entry(kind).or_default() += 1;
                Err(error)
            }
        }
    };
    let mut answers: Vec<_> = calls.iter().map(&mut alone).collect();
    if !told {
        answers[0] = Err(death);
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_ends_the_vm_again_and_again_is_spared() {
        let asked = RefCell::new(0);
        let ask = |calls: &[u8]| {
            *asked.borrow_mut() += 1;
            match calls.iter().any(|call| *call < 10) {
                true => Err(Error::new(ErrorKind::Internal, "the VM ended")),
                false => Ok(calls.iter().map(|call| Ok(*call)).collect()),
            }
        };
        let deaths = Deaths::default();
        let kind = |call: &u8| format!("{}", *call < 10);
        let fates = |calls: &[u8]| -> String {
            let answers = sparing(calls, kind, &deaths, &ask).into_iter();
            let fate = |answer: Result<u8>| match answer {
                Ok(_) => '.',
                Err(error) if is_spared(&error) => '-',
                Err(_) => 'x',
            };
            answers.map(fate).collect()
        };
        assert_eq!(fates(&[1, 20, 2, 3, 4, 5, 21]), "x.xx--.");
        assert_eq!(asked.take(), 6);
        assert_eq!(fates(&[20, 1, 2]), "x--");
        assert_eq!(fates(&[1]), "x");
        assert_eq!(fates(&[20, 21]), "..");
    }

    #[test]
    fn a_failure_is_that_of_the_call_that_fails_alone() {
        let asked = RefCell::new(Vec::new());
        let ask = |calls: &[u8]| {
            asked.borrow_mut().push(calls.to_vec());
            match calls.contains(&3) {
                true => Err(Error::new(ErrorKind::Internal, "the VM ended")),
                false => Ok(calls.iter().map(|call| Ok(call + 10)).collect()),
            }
        };
        let fates = |calls: &[u8]| -> Vec<Option<u8>> {
            each(calls, &ask).into_iter().map(Result::ok).collect()
        };
        assert_eq!(fates(&[1, 2]), [Some(11), Some(12)]);
        assert_eq!(fates(&[1, 3, 2]), [Some(11), None, Some(12)]);
        assert_eq!(fates(&[3]), [None]);
        let asked: Vec<Vec<u8>> = asked.take();
        let want: [&[u8]; 6] = [&[1, 2], &[1, 3, 2], &[1], &[3], &[2], &[3]];
        assert_eq!(asked, want);
    }
}
