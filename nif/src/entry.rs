//! How the VM loads the library, and how code that is loaded again takes it over.
//!
//! `rustler::init!` makes an entry without an upgrade: code that is loaded while older code is there
//! would never be bound to the library. So the entry is made here, of what the macro makes it of.
//!
//! The types of resources belong to the code that opened them. New code takes them over, which is
//! sound if it is bound to this very library: what they hold is its own. The library's private data
//! tells.

use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::align_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use rustler::codegen_runtime::{ErlNifEntry, ResourceRegistration, inventory};
use rustler::sys::{
    ErlNifEnv, ErlNifResourceFlags, ErlNifResourceTypeInit, ErlNifTerm, enif_open_resource_type_x,
};
use rustler::{Env, Nif, Resource, Term};

use crate::pressure::Pressure;
use crate::program::ProgramRef;
use crate::request::Request;
use crate::resource::{Buffer, TensorRef, WorkerRef};

const MODULE: &CStr = c"Elixir.Emily.Native.NIF";

const LOADED: c_int = 0;
const REFUSED: c_int = 1;

/// The library's entry, as every load of it finds it.
struct Entry(ErlNifEntry);

// SAFETY: what an entry points to is never changed and never freed.
unsafe impl Sync for Entry {}
// SAFETY: as above.
unsafe impl Send for Entry {}

static ENTRY: OnceLock<Entry> = OnceLock::new();

/// Where the VM begins.
#[unsafe(no_mangle)]
extern "C" fn nif_init() -> *const ErlNifEntry {
    let entry = ENTRY.get_or_init(|| {
        // SAFETY: the VM, whose symbols these are, is what calls this.
        unsafe { rustler::codegen_runtime::internal_write_symbols() };
        let functions: Vec<_> = inventory::iter::<Nif>().map(Nif::get_def).collect();
        let mut entry = ErlNifEntry::new(MODULE, functions.leak(), load);
        entry.upgrade = Some(upgrade);
        Entry(entry)
    });
    &raw const entry.0
}

/// What tells this library from another one that is loaded as well.
fn mark() -> *mut c_void {
    (&raw const ENTRY).cast_mut().cast()
}

unsafe extern "C" fn load(
    env: *mut ErlNifEnv,
    private: *mut *mut c_void,
    expected: ErlNifTerm,
) -> c_int {
    answer(|| {
        // SAFETY: the VM's arguments, for the time of this call.
        let env = unsafe { Env::new_init_env(&env, env) };
        // SAFETY: as above.
        let loads = is_expected(unsafe { Term::new(env, expected) })
            && ResourceRegistration::register_all_collected(env).is_ok();
        if loads {
            // SAFETY: the VM gives the place of the library's private data.
            unsafe { *private = mark() };
        }
        loads
    })
}

unsafe extern "C" fn upgrade(
    env: *mut ErlNifEnv,
    private: *mut *mut c_void,
    old_private: *mut *mut c_void,
    expected: ErlNifTerm,
) -> c_int {
    answer(|| {
        // SAFETY: the VM's arguments, for the time of this call.
        let ours = unsafe { *old_private } == mark();
        // SAFETY: as above.
        let term = unsafe { Term::new(Env::new_init_env(&env, env), expected) };
        if !ours || !is_expected(term) {
            return false;
        }
        // SAFETY: this is an upgrade, from code that was bound to this library.
        let taken = unsafe {
            take_over::<TensorRef>(env)
                && take_over::<WorkerRef>(env)
                && take_over::<Buffer>(env)
                && take_over::<Request>(env)
                && take_over::<Pressure>(env)
                && take_over::<ProgramRef>(env)
        };
        if taken {
            // SAFETY: the VM gives the place of the library's private data.
            unsafe { *private = mark() };
        }
        taken
    })
}

/// Refuses Elixir code that was generated from another list of ops.
fn is_expected(fingerprint: Term<'_>) -> bool {
    matches!(fingerprint.decode::<&str>(), Ok(expected) if expected == emily_spec::fingerprint())
}

fn answer(loads: impl FnOnce() -> bool) -> c_int {
    match catch_unwind(AssertUnwindSafe(loads)) {
        Ok(true) => LOADED,
        Ok(false) | Err(_) => REFUSED,
    }
}

/// Makes the type that rustler registered for `T` belong to the code that is being loaded.
///
/// # Safety
/// `env` is that of an upgrade from code that was bound to this library.
unsafe fn take_over<T: Resource>(env: *mut ErlNifEnv) -> bool {
    const {
        assert!(!T::IMPLEMENTS_DESTRUCTOR && !T::IMPLEMENTS_DOWN);
    }
    let Ok(name) = CString::new(std::any::type_name::<T>()) else {
        return false;
    };
    let callbacks = ErlNifResourceTypeInit {
        dtor: drop_resource::<T> as *const _,
        stop: ptr::null(),
        down: ptr::null(),
    };
    let mut tried = ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER;
    // SAFETY: all of it lives for the time of the call, and the VM copies what it keeps.
    let resource_type = unsafe {
        enif_open_resource_type_x(
            env,
            name.as_ptr(),
            &raw const callbacks,
            ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER,
            &raw mut tried,
        )
    };
    !resource_type.is_null()
}

/// Ends a resource, as rustler's own destructor does: `T` lies at the first aligned place behind the
/// start of the VM's object.
unsafe extern "C" fn drop_resource<T: Resource>(_env: *mut ErlNifEnv, object: *mut c_void) {
    let offset = align_of::<T>() - object.addr() % align_of::<T>();
    // SAFETY: the VM calls this once for an object that rustler made (`ResourceArc::new`), and
    // nobody uses it later.
    let drop = || unsafe { ptr::drop_in_place(object.byte_add(offset).cast::<T>()) };
    // Whoever drops has nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(drop));
}
