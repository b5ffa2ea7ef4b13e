//! Shapes, axes and the sizes MLX can hold.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::attribute::List;
use crate::{Error, ErrorKind, Result};

/// The dimensions of a tensor, outermost first; `[]` is a scalar. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Shape(Arc<[usize]>);

impl Shape {
    /// MLX counts a dimension in an `i32`.
    pub const MAX_DIM: usize = i32::MAX as usize;

    /// A shape with more axes, or a list with more entries than there can be axes, is refused where
    /// it is read.
    pub const MAX_RANK: usize = 64;

    /// A shape with these dimensions.
    pub fn new(dims: impl Into<Arc<[usize]>>) -> Shape {
        Shape(dims.into())
    }

    /// The 0-d shape.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements, or [`ErrorKind::Memory`] when MLX cannot count that far.
    ///
    /// A dimension beyond [`Shape::MAX_DIM`] is an error also where another one is zero.
    pub fn size(&self) -> Result<usize> {
        if let Some(dim) = self.0.iter().find(|&&dim| dim > Shape::MAX_DIM) {
            return Err(Error::new(
                ErrorKind::Memory,
                format!(
                    "dimension {dim} of {self} is over MLX's limit of {}",
                    Shape::MAX_DIM
                ),
            ));
        }
        if self.0.contains(&0) {
            return Ok(0);
        }
        self.0
            .iter()
            .try_fold(1usize, |size, &dim| size.checked_mul(dim))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Memory,
                    format!("{self} has more elements than 2^64"),
                )
            })
    }

    /// Checks that every axis is within the rank and none is named twice.
    pub fn check_axes(&self, axes: &[usize]) -> Result<()> {
        for (i, &axis) in axes.iter().enumerate() {
            self.check_axis(axis)?;
            if axes[..i].contains(&axis) {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("axis {axis} is named twice in {axes:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Checks that the axis is within the rank.
    pub fn check_axis(&self, axis: usize) -> Result<()> {
        if axis < self.rank() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Argument,
            format!("axis {axis} is out of range for rank {}", self.rank()),
        ))
    }

    /// The shape both broadcast to: trailing axes aligned, a 1 stretching to the other's size.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape> {
        if self == other {
            return Ok(self.clone());
        }
        let rank = self.rank().max(other.rank());
        let at = |shape: &Shape, i: usize| match (i + shape.rank()).checked_sub(rank) {
            Some(axis) => shape.0[axis],
            None => 1,
        };
        (0..rank)
            .map(|i| match (at(self, i), at(other, i)) {
                (a, b) if a == b => Ok(a),
                (1, b) => Ok(b),
                (a, 1) => Ok(a),
                (a, b) => Err(Error::new(
                    ErrorKind::Shape,
                    format!(
                        "{self} and {other} do not broadcast: axis {i} is {a} against {b}; \
                         make them equal, or one of them 1"
                    ),
                )),
            })
            .collect::<Result<_>>()
            .map(Shape)
    }

    /// Checks that this shape broadcasts to exactly `target`.
    pub fn check_broadcasts_to(&self, target: &Shape) -> Result<()> {
        if self.broadcast(target).as_ref() == Ok(target) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!("{self} does not broadcast to {target}"),
        ))
    }

    /// This shape after reducing `axes`: removed, or kept as 1.
    pub fn reduce(&self, axes: &[usize], keep: bool) -> Shape {
        let dims = self.0.iter().enumerate();
        if keep {
            return Shape(
                dims.map(|(i, &d)| if axes.contains(&i) { 1 } else { d })
                    .collect(),
            );
        }
        Shape(
            dims.filter(|(i, _)| !axes.contains(i))
                .map(|(_, &d)| d)
                .collect(),
        )
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Shape, D::Error> {
        let dims = List::<usize>::deserialize(deserializer)?;
        Ok(Shape::new(&*dims))
    }
}

/// Row-major strides in elements for these dimensions.
pub fn row_major_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape::new(dims)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
        let shape = Shape::new(a).broadcast(&Shape::new(b))?;
        Ok(shape.to_vec())
    }

    #[test]
    fn broadcasting_aligns_trailing_axes() {
        assert_eq!(broadcast(&[], &[2, 3]), Ok(vec![2, 3]));
        assert_eq!(broadcast(&[3], &[2, 3]), Ok(vec![2, 3]));
        assert_eq!(broadcast(&[2, 1], &[1, 3]), Ok(vec![2, 3]));
        assert_eq!(broadcast(&[0], &[1]), Ok(vec![0]));
        assert_eq!(broadcast(&[2], &[3]).unwrap_err().kind, ErrorKind::Shape);
    }

    #[test]
    fn a_broadcast_target_is_never_stretched() {
        let one = Shape::from([1]);
        let two = Shape::from([2]);
        assert!(one.check_broadcasts_to(&two).is_ok());
        assert!(two.check_broadcasts_to(&one).is_err());
    }

    #[test]
    fn sizes_that_mlx_cannot_hold_are_errors() {
        assert_eq!(Shape::from([0, 5]).size(), Ok(0));
        assert_eq!(Shape::from([2, 3]).size(), Ok(6));
        let huge = Shape::from([1 << 31, 1]);
        assert_eq!(huge.size().unwrap_err().kind, ErrorKind::Memory);
        let product = Shape::from([1 << 30; 3]);
        assert_eq!(product.size().unwrap_err().kind, ErrorKind::Memory);
    }

    #[test]
    fn axes_are_checked_for_range_and_repeats() {
        let shape = Shape::from([2, 3]);
        assert!(shape.check_axes(&[1, 0]).is_ok());
        assert!(shape.check_axes(&[2]).is_err());
        assert!(shape.check_axes(&[0, 0]).is_err());
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(row_major_strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(row_major_strides(&[]), [0usize; 0]);
    }
}
