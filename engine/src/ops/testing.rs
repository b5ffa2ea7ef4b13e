//! Runs one op on the CPU in a test's own thread.

use emily_spec::{DType, Error, ErrorKind, Op, Result, Shape, TensorType};
use mlx_rs::{Array, Stream, with_stream};

use super::cx::Condition;
use super::{Cx, run};
use crate::Device;
use crate::mlx;

/// Operand and answer: a type and its elements in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Host {
    pub(crate) ty: TensorType,
    pub(crate) bytes: Vec<u8>,
}

/// An element type of the tests.
pub(crate) trait Element: Copy {
    const DTYPE: DType;
    fn write(self, bytes: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! elements {
    ($($ty:ty: $dtype:ident,)*) => {$(
        impl Element for $ty {
            const DTYPE: DType = DType::$dtype;
            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_ne_bytes());
            }
            fn read(bytes: &[u8]) -> Self {
                <$ty>::from_ne_bytes(bytes.try_into().unwrap())
            }
        }
    )*};
}

elements! {
    u8: U8, u16: U16, u32: U32, u64: U64, i8: S8, i16: S16, i32: S32, i64: S64,
    half::f16: F16, half::bf16: Bf16, f32: F32, f64: F64,
}

/// A complex number.
impl Element for [f32; 2] {
    const DTYPE: DType = DType::C64;
    fn write(self, bytes: &mut Vec<u8>) {
        self.into_iter().for_each(|part| part.write(bytes));
    }
    fn read(bytes: &[u8]) -> Self {
        [f32::read(&bytes[..4]), f32::read(&bytes[4..])]
    }
}

/// A tensor of this shape.
pub(crate) fn tensor<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Host {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.write(&mut bytes));
    let ty = TensorType::new(T::DTYPE, shape);
    ty.check_byte_count(bytes.len()).unwrap();
    Host { ty, bytes }
}

/// A vector.
pub(crate) fn vector<T: Element>(values: &[T]) -> Host {
    tensor([values.len()], values)
}

/// A scalar.
pub(crate) fn scalar<T: Element>(value: T) -> Host {
    tensor(Shape::scalar(), &[value])
}

impl Host {
    pub(crate) fn values<T: Element>(&self) -> Vec<T> {
        assert_eq!(self.ty.dtype, T::DTYPE);
        self.bytes
            .chunks_exact(T::DTYPE.size())
            .map(T::read)
            .collect()
    }
}

/// Calls `f` in the scope of a CPU stream of this thread.
pub(crate) fn on_cpu<T>(f: impl FnOnce(&Stream) -> T) -> T {
    thread_local! {
        static STREAM: Stream = mlx::new_stream(Device::Cpu).unwrap();
    }
    STREAM.with(|stream| with_stream(stream, || f(stream)))
}

/// The op's answers, or the first condition's error.
pub(crate) fn answers(op: &Op, operands: &[Host]) -> Result<Vec<Host>> {
    on_cpu(|cpu| {
        let types: Vec<_> = operands.iter().map(|operand| operand.ty.clone()).collect();
        let results = op.infer(&types)?;
        let inputs = operands.iter().map(upload).collect::<Result<Vec<_>>>()?;
        let mut cx = Cx::new(Device::Cpu, cpu);
        let arrays = run(op, &inputs, &results, &mut cx)?;
        cx.into_conditions().iter().try_for_each(hold)?;
        arrays
            .iter()
            .zip(results)
            .map(|(array, ty)| {
                Ok(Host {
                    bytes: download(array)?,
                    ty,
                })
            })
            .collect()
    })
}

pub(crate) fn upload(host: &Host) -> Result<Array> {
    mlx::upload(&host.ty, &host.bytes)
}

/// The elements of an array, row-major.
pub(crate) fn download(array: &Array) -> Result<Vec<u8>> {
    let dense = mlx::contiguous(array)?;
    dense.eval().map_err(mlx::from_mlx)?;
    if dense.nbytes() == 0 {
        return Ok(Vec::new());
    }
    assert!(mlx::is_row_contiguous(&dense));
    // SAFETY: evaluated and row-contiguous, so `nbytes` bytes stand there.
    let bytes = unsafe { std::slice::from_raw_parts(mlx::data_ptr(&dense), dense.nbytes()) };
    Ok(bytes.to_vec())
}

fn hold(condition: &Condition) -> Result<()> {
    let failed = condition.failed.any(false).map_err(mlx::from_mlx)?;
    if failed.item_exact::<bool>() {
        return Err(condition.error.clone());
    }
    Ok(())
}

/// The op's only answer.
pub(crate) fn answer(op: &Op, operands: &[Host]) -> Host {
    let [answer] = answers(op, operands).unwrap().try_into().unwrap();
    answer
}

/// Asserts the op's only answer, bit by bit.
#[track_caller]
pub(crate) fn gives(op: &Op, operands: &[Host], want: &Host) {
    assert_eq!(&answer(op, operands), want, "{op:?} of {operands:?}");
}

/// Asserts that the op fails so.
#[track_caller]
pub(crate) fn fails(op: &Op, operands: &[Host], kind: ErrorKind, text: &str) {
    let error: Error = answers(op, operands).unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(text), "{error}");
}

/// The distance of two floats in representable values; NaN is at NaN.
pub(crate) fn ulps(a: f32, b: f32) -> u32 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() {
            0
        } else {
            u32::MAX
        };
    }
    let key = |x: f32| {
        let bits = i64::from(x.to_bits() as i32);
        if bits < 0 {
            i64::from(i32::MIN) - bits
        } else {
            bits
        }
    };
    key(a).abs_diff(key(b)) as u32
}
