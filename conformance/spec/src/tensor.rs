//! A tensor's type, and a tensor in host memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DType, Error, ErrorKind, Result, Shape};

/// A dtype and a shape: `f32[2,3]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: Shape,
}

impl TensorType {
    /// A type of this dtype and shape.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> TensorType {
        TensorType {
            dtype,
            shape: shape.into(),
        }
    }

    /// The number of bytes of a dense tensor of this type, or [`ErrorKind::Memory`] when it
    /// cannot be counted.
    pub fn byte_size(&self) -> Result<usize> {
        self.shape
            .size()?
            .checked_mul(self.dtype.size())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Memory,
                    format!("{self} has more bytes than 2^64"),
                )
            })
    }

    /// Checks that `bytes` is exactly what a dense tensor of this type takes.
    pub fn check_byte_count(&self, bytes: usize) -> Result<()> {
        let want = self.byte_size()?;
        if want == bytes {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Argument,
            format!("{self} takes {want} bytes, got {bytes}"),
        ))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// A tensor in host memory: its type and its elements, row-major, little-endian.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    ty: TensorType,
    bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of this type; a byte count that does not fit is [`ErrorKind::Argument`].
    pub fn new(ty: TensorType, bytes: Vec<u8>) -> Result<Tensor> {
        ty.check_byte_count(bytes.len())?;
        Ok(Tensor { ty, bytes })
    }

    /// The type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.ty.shape
    }

    /// The elements, row-major, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_checked() {
        let ty = TensorType::new(DType::F16, [3]);
        assert!(Tensor::new(ty.clone(), vec![0; 6]).is_ok());
        let err = Tensor::new(ty, vec![0; 5]).unwrap_err();
        assert_eq!(err.kind, ErrorKind::Argument);
        assert_eq!(err.message, "f16[3] takes 6 bytes, got 5");
    }
}
