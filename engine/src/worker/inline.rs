//! Small ops, computed in the call on the caller's thread: no queue, no wake, and a handle on what is there.
//!
//! That is for calls on the CPU whose operands are computed, without conditions, and which are views ([`ops::view`]) or
//! for which the host has a kernel that takes a moment ([`host::is_small`]). What cannot be had so is queued as ever,
//! with its errors: this says `None` and has done nothing.
//!
//! **Operands.** Another thread's graph may use the same arrays, and MLX writes over what nobody else has. So a call
//! takes a share of each operand first, under its slot's lock, and holds it until the kernel is done: MLX counts two
//! and leaves it alone. An evaluated array is only ever read, and its counts are atomic.
//!
//! `EMILY_INLINE=off` queues everything, for comparison.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use emily_spec::{Context, Op, Result, TensorType};
use mlx_rs::Array;
use smallvec::SmallVec;

use super::failure::Failure;
use super::guard::Guards;
use super::runner::{Origin, at, is_wasteful, panicked};
use super::slot::{Slot, State, Value};
use super::{Handle, Worker};
use crate::bytes::Bytes;
use crate::{Device, host, memory, mlx, ops};

/// Whether workers of this device compute small ops in the call, and whether what is there is read so.
pub(super) fn is_on(device: Device) -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    let on = || !std::env::var("EMILY_INLINE").is_ok_and(|name| name == "off");
    device == Device::Cpu && *ON.get_or_init(on)
}

impl Worker {
    /// The results of a call that was checked, if it is one to compute now.
    pub(super) fn at_once(
        &self,
        op: &Op,
        inputs: &[Handle],
        types: &[TensorType],
        results: &[TensorType],
        [bytes, on_the_way]: [usize; 2],
    ) -> Option<Handle> {
        let [ty] = results else {
            return None;
        };
        if !self.inline {
            return None;
        }
        if let Op::Constant(op) = op {
            let array = ops::constant(op, ty)?.ok()?;
            return Some(self.ready(ty, Value::computed(array, bytes)));
        }
        if ops::Layout::of(op) != ops::Layout::Fresh {
            return self.view(op, inputs, ty, bytes);
        }
        if !host::is_small(op, types, results) {
            return None;
        }
        let arrays = inputs.iter().map(|input| Some(input.0.computed()?.0));
        let arrays = arrays.collect::<Option<SmallVec<[Array; 3]>>>()?;
        // A queued op has room made.
        let room = self.claim(bytes.saturating_add(on_the_way), true);
        let room = room.ok().flatten()?;
        let computed = || host::compute(op, &arrays, types, ty);
        let state = match catch_unwind(AssertUnwindSafe(computed)) {
            Ok(made) => State::Ready(Value::computed(made?.ok()?, bytes)),
            Err(panic) => {
                let origin = Origin {
                    call: Arc::new(Context {
                        op: op.clone(),
                        inputs: types.to_vec(),
                        worker: None,
                    }),
                    worker: self.lane.name.clone(),
                };
                State::Failed(Failure::new(at(panicked(&*panic), &origin)))
            }
        };
        memory::given(bytes);
        drop(room);
        Some(Handle(Slot::new(ty.clone(), self.thread.clone(), state)))
    }

    /// A view of an operand, whatever its size: no element is touched.
    fn view(&self, op: &Op, inputs: &[Handle], ty: &TensorType, bytes: usize) -> Option<Handle> {
        let [input] = inputs else {
            return None;
        };
        let (array, kept) = input.0.computed()?;
        if is_wasteful(kept, bytes) {
            return None;
        }
        let view = ops::view(op, &array, ty)?.ok()?;
        Some(self.ready(ty, Value::computed(view, kept.max(bytes))))
    }

    /// A handle on what is there.
    fn ready(&self, ty: &TensorType, value: Value) -> Handle {
        let state = State::Ready(value);
        Handle(Slot::new(ty.clone(), self.thread.clone(), state))
    }
}

impl Handle {
    /// The tensor's bytes, where they are there.
    pub(super) fn bytes_now(&self) -> Option<Result<Bytes>> {
        let array = self.array_now()?;
        mlx::is_row_contiguous(&array).then(|| Bytes::new(array))
    }

    /// Whether the tensor is there.
    pub(super) fn is_there(&self) -> bool {
        is_on(self.0.thread.device) && self.0.is_computed()
    }

    fn array_now(&self) -> Option<Array> {
        is_on(self.0.thread.device).then(|| Some(self.0.computed()?.0))?
    }
}

impl Value {
    /// An array that is there, of so many bytes, under no condition.
    pub(super) fn computed(array: Array, bytes: usize) -> Value {
        Value {
            array,
            guards: Guards::default(),
            evaluated: true,
            origin: None,
            kept: bytes,
            era: 0,
        }
    }
}

impl Slot {
    /// A share of the array, and the bytes that it keeps, if it is computed and under no condition, so that any
    /// thread may read it.
    fn computed(&self) -> Option<(Array, usize)> {
        match &*self.state() {
            State::Ready(value) if value.evaluated && value.guards.is_empty() => {
                Some((mlx::clone_array(&value.array), value.kept))
            }
            State::Ready(_) | State::Pending | State::Failed(_) | State::Released => None,
        }
    }
}

#[cfg(test)]
mod tests;
