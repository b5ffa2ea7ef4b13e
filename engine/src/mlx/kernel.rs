//! Kernels of our own in MLX's graph: src/mlx/kernel.cpp from the other side; and beside it ([`computed`]).

use std::any::type_name;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use emily_spec::{DType, TensorType};
use half::{bf16, f16};
use mlx_rs::error::{Exception, Result};
use mlx_rs::{Array, Stream};

use super::initialize;

mod now;

#[cfg(test)]
pub(crate) use now::marks;
pub(crate) use now::{Viewed, computed, lie_of, view};

/// What computes a result from its operands. It may run on any thread, and more than once.
pub(crate) type Kernel = Box<dyn Fn(&[Operand<'_>], Place<'_>) + Send + Sync>;

/// A lazy array that the kernel computes when its turn comes, on the thread's scoped stream, a CPU's.
///
/// # Errors
/// One that counts as of memory, where there is none for the graph's node.
pub(crate) fn lazy(inputs: &[Array], ty: &TensorType, kernel: Kernel) -> Result<Array> {
    initialize();
    let stream = Stream::thread_local_or_default();
    let handles: Vec<*const c_void> = inputs.iter().map(|x| x.as_ptr().ctx.cast_const()).collect();
    let shape: Vec<i32> = ty.shape.iter().map(|&dim| dim as i32).collect();
    let dtypes = inputs.iter().map(super::dtype_of).collect();
    let elements = shape.iter().map(|&dim| dim as usize).product();
    let state = State {
        kernel,
        dtypes,
        result: (ty.dtype, elements),
    };
    let function = Function {
        state: Box::into_raw(Box::new(state)).cast(),
        run,
        drop: drop_state,
    };
    // SAFETY: every handle is an mlx-c one, which points to what MLX calls an array or a stream, and is live;
    // the lists outlive the call and go with their lengths. The function is MLX's from here on.
    let array = unsafe {
        emily_lazy(
            function,
            handles.as_ptr(),
            handles.len(),
            shape.as_ptr(),
            shape.len(),
            index_of(ty.dtype),
            stream.as_ptr().ctx,
        )
    };
    if array.is_null() {
        return Err(Exception::custom("out of memory: no node for a kernel"));
    }
    // SAFETY: a new array that nobody else owns, which is what an mlx-c handle holds.
    Ok(unsafe { Array::from_ptr(mlx_sys::mlx_array { ctx: array }) })
}

/// An operand of a kernel: row-major or not, a view or not.
pub(crate) struct Operand<'a> {
    data: *const c_void,
    dtype: DType,
    pub(crate) shape: &'a [i32],
    /// The distances between neighbours along each axis, in elements; negative ones too.
    pub(crate) strides: &'a [i64],
}

// SAFETY: nobody writes to what it points to while it is there.
unsafe impl Sync for Operand<'_> {}

impl<'a> Operand<'a> {
    /// What its elements are.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same bits as unsigned integers.
    pub(crate) fn as_bits(&self) -> Operand<'a> {
        Operand {
            dtype: bits(self.dtype),
            ..*self
        }
    }

    /// The number of elements.
    pub(crate) fn size(&self) -> usize {
        self.shape.iter().map(|&dim| dim as usize).product()
    }

    /// Whether the elements lie in row-major order without gaps.
    pub(crate) fn is_dense(&self) -> bool {
        let mut expected = 1;
        let mut axes = self.shape.iter().zip(self.strides).rev();
        axes.all(|(&dim, &stride)| {
            let fits = dim == 1 || stride == expected;
            expected *= i64::from(dim);
            fits
        })
    }

    /// The memory from the first element to the last, in the order of addresses, and where in it the element
    /// of index 0 stands.
    ///
    /// # Panics
    /// Where the elements are not of this type.
    pub(crate) fn memory<T: Element>(&self) -> (&'a [T], usize) {
        assert_eq!(self.dtype, T::DTYPE, "elements are no {}", type_name::<T>());
        if self.size() == 0 {
            return (&[], 0);
        }
        let (mut below, mut above) = (0, 0);
        for (&dim, &stride) in self.shape.iter().zip(self.strides) {
            let reach = i64::from(dim - 1) * stride;
            below += reach.min(0);
            above += reach.max(0);
        }
        let data = self.data.cast::<T>();
        // SAFETY: the array is computed, has elements, and MLX holds its buffer while the kernel runs. They
        // are of type T, and each stands as far from the first as the strides say, so that all memory from the
        // lowest to the highest is of that buffer. Nobody writes to it meanwhile: the result has its own.
        let memory = unsafe {
            slice::from_raw_parts(data.offset(below as isize), (above - below) as usize + 1)
        };
        (memory, -below as usize)
    }
}

/// Where a kernel's result goes.
pub(crate) struct Place<'a> {
    data: *mut c_void,
    dtype: DType,
    elements: usize,
    _buffer: std::marker::PhantomData<&'a mut [u8]>,
}

impl<'a> Place<'a> {
    /// For bits, as unsigned integers.
    pub(crate) fn into_bits(self) -> Place<'a> {
        Place {
            dtype: bits(self.dtype),
            ..self
        }
    }

    /// The result's elements, in row-major order; what stands there before is of no meaning.
    ///
    /// # Panics
    /// Where the elements are not of this type.
    pub(crate) fn into_elements<T: Element>(self) -> &'a mut [T] {
        assert_eq!(self.dtype, T::DTYPE, "elements are no {}", type_name::<T>());
        if self.elements == 0 {
            return &mut [];
        }
        // SAFETY: MLX gave a buffer for so many elements of type T, which nobody else has; any bytes are a
        // value of T. It is used up here.
        unsafe { slice::from_raw_parts_mut(self.data.cast(), self.elements) }
    }
}

/// The unsigned integer of as many bytes.
fn bits(dtype: DType) -> DType {
    match dtype.size() {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ => DType::U64,
    }
}

mod sealed {
    pub(crate) trait Sealed {}
}

/// A Rust type that MLX's elements of a dtype are values of, whatever their bytes.
pub(crate) trait Element: Copy + Default + Send + Sync + sealed::Sealed + 'static {
    /// The dtype.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {
        $(
            impl sealed::Sealed for $rust {}
            impl Element for $rust {
                const DTYPE: DType = DType::$dtype;
            }
        )*
    };
}

elements!(
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => S8, i16 => S16, i32 => S32, i64 => S64,
    f16 => F16, bf16 => Bf16, f32 => F32, f64 => F64
);

/// What `run` and `drop_state` are given.
struct State {
    kernel: Kernel,
    dtypes: Vec<DType>,
    result: (DType, usize),
}

/// As kernel.cpp has it.
#[repr(C)]
struct Raw {
    data: *const c_void,
    shape: *const i32,
    strides: *const i64,
    rank: usize,
}

impl Raw {
    /// The shape and the strides.
    ///
    /// # Safety
    /// Both lists have `rank` entries, which nobody changes while they are used; of a scalar they may be null.
    unsafe fn lists<'a>(&self) -> (&'a [i32], &'a [i64]) {
        match self.rank {
            0 => (&[], &[]),
            // SAFETY: as promised above.
            rank => unsafe {
                (
                    slice::from_raw_parts(self.shape, rank),
                    slice::from_raw_parts(self.strides, rank),
                )
            },
        }
    }
}

/// As kernel.cpp has it.
#[repr(C)]
struct Function {
    state: *mut c_void,
    run: unsafe extern "C" fn(*const c_void, *const Raw, usize, *mut c_void) -> c_int,
    drop: unsafe extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    fn emily_lazy(
        function: Function,
        inputs: *const *const c_void,
        count: usize,
        shape: *const i32,
        rank: usize,
        dtype: usize,
        stream: *const c_void,
    ) -> *mut c_void;
}

/// # Safety
/// `state` is a [`State`]'s box, `operands` are as many as it has dtypes, and all of it outlives the call.
unsafe extern "C" fn run(
    state: *const c_void,
    operands: *const Raw,
    count: usize,
    result: *mut c_void,
) -> c_int {
    // SAFETY: as promised above.
    let (state, operands) = unsafe {
        let operands = match count {
            0 => &[],
            _ => slice::from_raw_parts(operands, count),
        };
        (&*state.cast::<State>(), operands)
    };
    let of = |(raw, &dtype): (&Raw, &DType)| {
        // SAFETY: as promised above.
        let (shape, strides) = unsafe { raw.lists() };
        Operand {
            data: raw.data,
            dtype,
            shape,
            strides,
        }
    };
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let operands: Vec<Operand<'_>> = operands.iter().zip(&state.dtypes).map(of).collect();
        let (dtype, elements) = state.result;
        let place = Place {
            data: result,
            dtype,
            elements,
            _buffer: std::marker::PhantomData,
        };
        (state.kernel)(&operands, place);
    }));
    c_int::from(caught.is_err())
}

/// # Safety
/// `state` is a [`State`]'s box, and this its end.
unsafe extern "C" fn drop_state(state: *mut c_void) {
    // SAFETY: as promised above.
    drop(unsafe { Box::from_raw(state.cast::<State>()) });
}

/// Where kernel.cpp has this dtype.
fn index_of(dtype: DType) -> usize {
    let mut all = DType::ALL.into_iter();
    all.position(|d| d == dtype).expect("ALL has every dtype")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lazy_sum(a: &Array, b: &Array) -> Array {
        let kernel: Kernel = Box::new(|operands, place| {
            let (a, start) = operands[0].memory::<i32>();
            let (b, _) = operands[1].memory::<i32>();
            let stride = operands[0].strides[0];
            for (i, sum) in place.into_elements().iter_mut().enumerate() {
                let at = start as i64 + i as i64 * stride;
                *sum = a[at as usize] + b[i];
            }
        });
        let ty = TensorType::new(DType::S32, [a.size()]);
        lazy(
            &[super::super::clone_array(a), super::super::clone_array(b)],
            &ty,
            kernel,
        )
        .unwrap()
    }

    #[test]
    fn a_kernel_is_part_of_the_graph() {
        let x = Array::from_slice(&[1, 2, 3], &[3]);
        let lazily = x.add(&x).unwrap();
        let reversed = super::super::slice(&lazily, &[2], &[-4], &[-1]).unwrap();
        let sum = lazy_sum(&reversed, &x).add(&x).unwrap();
        assert_eq!(sum.as_slice::<i32>(), [6 + 1 + 1, 4 + 2 + 2, 2 + 3 + 3]);
    }

    #[test]
    fn a_kernel_that_panics_is_an_error_and_the_process_goes_on() {
        let kernel: Kernel = Box::new(|_, _| panic!("planted"));
        let ty = TensorType::new(DType::F32, [1]);
        let array = lazy(&[], &ty, kernel).unwrap();
        assert!(array.eval().is_err());
    }

    #[test]
    fn nothing_is_read_or_written_of_an_empty_tensor() {
        let none = Array::from_slice::<i32>(&[], &[0]);
        let sum = lazy_sum(&none, &none);
        sum.eval().unwrap();
        assert_eq!(sum.size(), 0);
    }

    #[test]
    fn every_dtype_is_found_by_its_place() {
        for dtype in DType::ALL {
            let ty = TensorType::new(dtype, [0]);
            let array = lazy(&[], &ty, Box::new(|_, _| {})).unwrap();
            assert_eq!(super::super::dtype_of(&array), dtype);
        }
    }
}
