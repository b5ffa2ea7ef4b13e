//! Instruction sets: a kernel is compiled for each, and the best that the processor has is chosen once.
//!
//! `EMILY_CPU` chooses a lesser one: `portable`, `avx2`, `avx512`.

use std::sync::OnceLock;

/// Work that is compiled for every instruction set.
pub(crate) trait Task {
    /// Does it. Implementations are `#[inline(always)]`, as is what they call, so that they are compiled
    /// anew into each instruction set's function.
    fn run<L: Level>(self);
}

/// What code may assume of an instruction set.
pub(crate) trait Level {
    /// Whether it multiplies and adds in one instruction; where not, a call does, slowly.
    const FUSED: bool;

    /// a · b + c.
    #[inline(always)]
    fn fma(a: f64, b: f64, c: f64) -> f64 {
        match Self::FUSED {
            true => a.mul_add(b, c),
            false => a * b + c,
        }
    }

    /// a · b + c.
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        match Self::FUSED {
            true => a.mul_add(b, c),
            false => a * b + c,
        }
    }
}

/// What every processor of the architecture has.
struct Portable;

impl Level for Portable {
    const FUSED: bool = cfg!(target_arch = "aarch64");
}

/// With fused operations.
#[cfg(target_arch = "x86_64")]
struct Fused;

#[cfg(target_arch = "x86_64")]
impl Level for Fused {
    const FUSED: bool = true;
}

/// An instruction set, the lesser ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Does a task in the best instruction set.
pub(crate) fn dispatch(task: impl Task) {
    match chosen() {
        Set::Portable => task.run::<Portable>(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `chosen` gives sets that the processor has.
        Set::Avx2 => unsafe { avx2(task) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Set::Avx512 => unsafe { avx512(task) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn avx2(task: impl Task) {
    task.run::<Fused>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"
)]
fn avx512(task: impl Task) {
    task.run::<Fused>();
}

/// The instruction set that kernels run in.
pub(super) fn chosen() -> Set {
    static CHOSEN: OnceLock<Set> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let most = match std::env::var("EMILY_CPU").as_deref() {
            Ok("portable") => Set::Portable,
            #[cfg(target_arch = "x86_64")]
            Ok("avx2") => Set::Avx2,
            _ => best(),
        };
        most.min(best())
    })
}

#[cfg(target_arch = "x86_64")]
fn best() -> Set {
    let fused = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (fused, wide) {
        (true, true) => Set::Avx512,
        (true, false) => Set::Avx2,
        (false, _) => Set::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Set {
    Set::Portable
}
