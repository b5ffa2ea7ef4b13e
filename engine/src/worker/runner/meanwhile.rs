//! What a thread sees to between its jobs and, on the CPU, while MLX computes: who came, who went, and who asks for what
//! is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use emily_spec::Result;
use mlx_rs::{Array, transforms};

use super::evaluation::all_there;
use super::{Runner, Taken};
use crate::worker::thread::Job;
use crate::{Device, ending, mlx};

/// Jobs that wait for longer than this are looked at again: their callers may be gone, or what they ask for there.
const STALE: Duration = Duration::from_millis(1);

/// So much of what takes long is under way when more is started: one that runs, and one that the CPU goes on with.
const UNDER_WAY: usize = 2;

impl Runner {
    /// Looks at what came meanwhile, unless that was done a moment ago.
    pub(super) fn look(&mut self) {
        if self.looked.elapsed() >= STALE {
            self.thread.queue().take_more(&mut self.jobs);
            self.prune();
            self.tell_what_is_there();
        }
    }

    /// Answers who asks for what is there, in the middle of whatever else this thread is at. All others keep their
    /// order.
    fn tell_what_is_there(&mut self) {
        if ending::begun() || !self.jobs.iter().any(Job::is_known) {
            return;
        }
        let thread = self.thread.clone();
        let (known, rest) = (self.jobs.drain(..)).partition::<VecDeque<Job>, _>(Job::is_known);
        self.jobs = rest;
        for job in known {
            self.job(job, Taken(&thread));
        }
    }

    /// Drops what nobody waits for any more, and notes what is computed.
    pub(super) fn prune(&mut self) {
        self.see_computed();
        let dropped = Job::prune(&mut self.jobs);
        if dropped > 0 {
            self.thread.queue().done(dropped);
        }
        self.looked = Instant::now();
    }

    /// Waits until little of what takes long is under way, before more is started: MLX holds who gives it more up by
    /// itself, and then nobody sees to others, and what was started is computed whoever goes away meanwhile.
    pub(super) fn keep_up(&mut self) {
        if !self.pending.takes_long() {
            return;
        }
        while self.long.len() >= UNDER_WAY && !ending::begun() {
            let ends = self.progress.ends();
            if self.long.front().is_none_or(|&end| end <= ends) {
                self.long.pop_front();
                continue;
            }
            self.progress.wait(ends, STALE);
            self.look();
        }
    }

    /// Waits for what was handed over. Meanwhile, on the CPU, others have what is there: MLX computes for seconds
    /// what one of them waits for, and what the next one asks for may have been there before.
    pub(super) fn attend(&mut self, arrays: &[Array]) -> Result<()> {
        while self.thread.device == Device::Cpu {
            let ends = self.progress.ends();
            if all_there(arrays)? {
                break;
            }
            self.progress.wait(ends, STALE);
            self.look();
        }
        transforms::eval(arrays).map_err(mlx::from_mlx)
    }
}
