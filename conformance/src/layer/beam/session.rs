//! One BEAM that answers calls, and the few of them that trials share.
//!
//! The VM's own input and output are closed to it and joined to its errors, so that no log line can
//! get between the answers: those travel on file descriptors 3 and 4.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The lines of the VM's errors that a death is reported with.
const LAST_WORDS: usize = 12;

/// Why a request has no answer: the VM ended or did not start, or its time was over and it was ended.
pub(super) type Silence = String;

/// A running VM.
struct Session {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<io::Result<Vec<u8>>>,
    errors: Arc<Mutex<VecDeque<String>>>,
    /// Closed once the last error has been read.
    silent: Receiver<()>,
}

impl Session {
    fn start(command: &[String]) -> io::Result<Session> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>&2"#, "sh"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().ok_or_else(unpiped)?;
        let output = child.stdout.take().ok_or_else(unpiped)?;
        let words = child.stderr.take().ok_or_else(unpiped)?;
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let frame = read_frame(&mut output);
                let ended = frame.is_err();
                if sender.send(frame).is_err() || ended {
                    return;
                }
            }
        });
        let kept = errors.clone();
        let (speaking, silent) = channel();
        thread::spawn(move || {
            let _until_the_end = speaking;
            for line in BufReader::new(words).lines().map_while(Result::ok) {
                let mut kept = lock(&kept);
                kept.push_back(line);
                if kept.len() > LAST_WORDS {
                    kept.pop_front();
                }
            }
        });
        Ok(Session {
            child,
            requests,
            answers,
            errors,
            silent,
        })
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, request: &[u8], time: Duration) -> Result<Vec<u8>, Silence> {
        let sent = write_frame(&mut self.requests, request);
        match (sent, self.answers.recv_timeout(time)) {
            (_, Ok(Ok(answer))) => Ok(answer),
            (_, Err(RecvTimeoutError::Timeout)) => Err(format!(
                "no answer within {} s; the VM was ended",
                time.as_secs()
            )),
            (_, Ok(Err(_)) | Err(RecvTimeoutError::Disconnected)) => Err(self.last_words()),
        }
    }

    fn last_words(&mut self) -> String {
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // Processes that outlive the VM may hold its errors open.
        let _ = self.silent.recv_timeout(Duration::from_secs(1));
        let errors = lock(&self.errors);
        let lines: Vec<&str> = errors.iter().map(String::as_str).collect();
        format!("the VM ended: {status}\n{}", lines.join("\n"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unpiped() -> io::Error {
    io::Error::other("a child without pipes")
}

/// Four big-endian bytes with the length, and the message.
fn write_frame(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(message)?;
    to.flush()
}

fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut message)?;
    Ok(message)
}

/// VMs that take calls from any thread, at most `most` at a time. One that ends is replaced.
pub(super) struct Pool {
    command: Vec<String>,
    most: usize,
    time: Duration,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    running: usize,
}

impl Pool {
    /// VMs that this command line starts, and the time that an answer may take.
    pub(super) fn new(command: Vec<String>, most: usize, time: Duration) -> Pool {
        Pool {
            command,
            most,
            time,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Silence> {
        let mut session = match self.take() {
            Some(session) => session,
            None => match Session::start(&self.command) {
                Ok(session) => session,
                Err(error) => {
                    self.give_back(None);
                    let command = self.command.join(" ");
                    return Err(format!("{command}: {error}"));
                }
            },
        };
        let answer = session.ask(request, self.time);
        self.give_back(answer.is_ok().then_some(session));
        answer
    }

    /// An idle VM, or leave to start one.
    fn take(&self) -> Option<Session> {
        let mut state = lock(&self.state);
        while state.idle.is_empty() && state.running >= self.most {
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.running += 1;
        state.idle.pop()
    }

    fn give_back(&self, session: Option<Session>) {
        let mut state = lock(&self.state);
        state.running -= 1;
        state.idle.extend(session);
        drop(state);
        self.freed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A shell that speaks the protocol: it sends back what it gets, once.
    fn echo(script: &str) -> Pool {
        Pool::new(
            ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            1,
            MINUTE,
        )
    }

    #[test]
    fn what_is_printed_stays_out_of_the_answers() {
        let pool = echo("echo noise; cat <&3 >&4");
        assert_eq!(pool.ask(b"one").unwrap(), b"one");
        assert_eq!(pool.ask(b"").unwrap(), b"");
    }

    #[test]
    fn a_death_is_told_with_its_last_words_and_the_next_call_is_answered() {
        let pool = echo("head -c 5 <&3 >&4; echo went wrong; exit 3");
        assert_eq!(pool.ask(b"a").unwrap(), b"a");
        let Err(death) = pool.ask(b"b") else {
            panic!("the shell has ended");
        };
        assert!(
            death.contains("exit status: 3") && death.contains("went wrong"),
            "{death}"
        );
        assert_eq!(pool.ask(b"c").unwrap(), b"c");
    }

    #[test]
    fn a_command_that_is_not_there_is_an_error() {
        let pool = Pool::new(vec!["/no/such/program".to_owned()], 1, MINUTE);
        assert!(pool.ask(b"a").is_err());
        assert!(pool.ask(b"a").is_err());
    }
}
