//! Several calls in one message.

use emily_spec::Result;

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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use emily_spec::{Error, ErrorKind};

    use super::*;

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
