//! How an operand comes to be: uploaded as it is, or a strided view of something else.
//!
//! MLX arrays are strided and its kernels differ by stride. A view is made of ops, so that every
//! layer can replay it: upload the base, apply the ops, and the operand is what it was.

use std::fmt;
use std::str::FromStr;

use emily_spec::{Broadcast, Op, Shape, Slice, Tensor, TensorType, Transpose, row_major_strides};

/// The fill of the elements that a view leaves out; a kernel that reads one shows.
const FILL: u8 = 0xa5;

/// An operand, and the way to build it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The operand's value.
    pub tensor: Tensor,
    /// What is uploaded.
    pub base: Tensor,
    /// What turns the base into the operand, in order; nothing for a plain one.
    pub views: Vec<Op>,
}

impl Input {
    /// A written operand under a view; plain where its shape cannot take it, or, for `broadcast`,
    /// where its values are not constant along the axis.
    pub fn viewed(tensor: Tensor, view: View) -> Input {
        let shape = tensor.shape().clone();
        let Some(filled) = view.filled(&shape) else {
            return Input::plain(tensor);
        };
        if filled == shape {
            return view.wrap(tensor, &shape);
        }
        let first = read(&tensor, filled, &row_major_strides(&shape));
        let input = view.wrap(first, &shape);
        if input.tensor == tensor {
            input
        } else {
            Input::plain(tensor)
        }
    }

    /// An operand uploaded as it is.
    pub fn plain(tensor: Tensor) -> Input {
        Input {
            base: tensor.clone(),
            tensor,
            views: Vec::new(),
        }
    }
}

/// A way for an operand to come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Uploaded as it is.
    Plain,
    /// Uploaded with reversed axes, and transposed back.
    Transposed,
    /// A window of a larger tensor.
    Offset,
    /// Every second element of a larger tensor.
    Strided,
    /// Repeated along its first axis of more than one element.
    Broadcast,
}

impl View {
    /// Every view, with its name.
    pub const ALL: [(View, &str); 5] = [
        (View::Plain, "plain"),
        (View::Transposed, "transposed"),
        (View::Offset, "offset"),
        (View::Strided, "strided"),
        (View::Broadcast, "broadcast"),
    ];

    /// The shape to make values for; `None` where an operand of this shape cannot take the view.
    pub fn filled(self, shape: &Shape) -> Option<Shape> {
        let whole = || Some(shape.clone());
        match self {
            View::Plain => whole(),
            View::Transposed => (shape.rank() >= 2).then(whole)?,
            View::Offset | View::Strided => {
                (shape.rank() >= 1 && !shape.contains(&0)).then(whole)?
            }
            View::Broadcast => {
                let axis = shape.iter().position(|&dim| dim > 1)?;
                let mut dims = shape.to_vec();
                dims[axis] = 1;
                Some(Shape::new(dims))
            }
        }
    }

    /// The operand of `shape` whose values are `filled`, a tensor of the shape that
    /// [`View::filled`] gave.
    pub fn wrap(self, filled: Tensor, shape: &Shape) -> Input {
        let rank = shape.rank();
        match self {
            View::Plain => Input::plain(filled),
            View::Transposed => {
                let reversed: Vec<usize> = (0..rank).rev().collect();
                let dims: Vec<usize> = shape.iter().rev().copied().collect();
                let mut strides = row_major_strides(shape);
                strides.reverse();
                let base = read(&filled, Shape::new(dims), &strides);
                Input {
                    tensor: filled,
                    base,
                    views: vec![Op::Transpose(Transpose {
                        axes: reversed.into(),
                    })],
                }
            }
            View::Offset => {
                let window = shape.iter().map(|dim| dim + 2).collect();
                sliced(filled, window, &vec![1; rank])
            }
            View::Strided => {
                let window = shape.iter().map(|dim| 2 * dim + 1).collect();
                sliced(filled, window, &vec![2; rank])
            }
            View::Broadcast => {
                let strides: Vec<usize> = row_major_strides(filled.shape())
                    .into_iter()
                    .zip(filled.shape().iter().zip(shape.iter()))
                    .map(|(stride, (from, to))| if from == to { stride } else { 0 })
                    .collect();
                let views = vec![Op::Broadcast(Broadcast {
                    shape: shape.clone(),
                    axes: None,
                })];
                Input {
                    tensor: read(&filled, shape.clone(), &strides),
                    base: filled,
                    views,
                }
            }
        }
    }
}

/// The tensor as a slice, from 1 on in every axis, of one of the dimensions `window`.
fn sliced(tensor: Tensor, window: Vec<usize>, strides: &[usize]) -> Input {
    let size = tensor.dtype().size();
    let shape = tensor.shape().clone();
    let outer = row_major_strides(&window);
    let mut bytes = vec![FILL; window.iter().product::<usize>() * size];
    let steps: Vec<usize> = outer.iter().zip(strides).map(|(o, s)| o * s).collect();
    let start: usize = outer.iter().sum();
    for (element, at) in tensor
        .bytes()
        .chunks_exact(size)
        .zip(positions(&shape, &steps))
    {
        bytes[(start + at) * size..][..size].copy_from_slice(element);
    }
    let lengths = shape
        .iter()
        .zip(strides)
        .map(|(dim, s)| (dim - 1) * s + 1)
        .collect();
    let slice = Op::Slice(Slice {
        starts: shape.iter().map(|_| 1).collect(),
        lengths,
        strides: strides.iter().copied().collect(),
    });
    let base = rebuilt(&tensor, Shape::new(window), bytes);
    Input {
        tensor,
        base,
        views: vec![slice],
    }
}

/// The tensor of `shape` whose elements are read from `tensor` with these strides, in elements.
fn read(tensor: &Tensor, shape: Shape, strides: &[usize]) -> Tensor {
    let size = tensor.dtype().size();
    let bytes = positions(&shape, strides)
        .flat_map(|at| tensor.bytes()[at * size..][..size].iter().copied())
        .collect();
    rebuilt(tensor, shape, bytes)
}

fn rebuilt(like: &Tensor, shape: Shape, bytes: Vec<u8>) -> Tensor {
    Tensor::new(TensorType::new(like.dtype(), shape), bytes)
        .expect("the bytes are counted out for this shape")
}

/// Where each element of `shape`, in row-major order, lies under these strides.
fn positions<'a>(shape: &'a Shape, strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let inner = row_major_strides(shape);
    let size: usize = shape.iter().product();
    (0..size).map(move |i| {
        let axes = inner.iter().zip(shape.iter()).zip(strides);
        axes.map(|((inner, dim), stride)| i / inner % dim * stride)
            .sum()
    })
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = View::ALL.iter().find(|(view, _)| view == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for View {
    type Err = String;

    fn from_str(text: &str) -> Result<View, String> {
        let found = View::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(view, _)| *view).ok_or_else(|| {
            let names = View::ALL.map(|(_, name)| name).join(", ");
            format!("view {text:?} is none of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;

    use super::*;

    fn counted(shape: &Shape) -> Tensor {
        let bytes = (0..shape.iter().product::<usize>())
            .map(|i| i as u8)
            .collect();
        Tensor::new(TensorType::new(DType::U8, shape.clone()), bytes).unwrap()
    }

    fn replay(view: View, shape: &[usize]) -> Input {
        let shape = Shape::new(shape);
        let filled = counted(&view.filled(&shape).unwrap());
        let input = view.wrap(filled, &shape);
        let mut value = input.base.clone();
        for op in &input.views {
            let answers = emily_oracle::run(op, &[value]).unwrap();
            value = answers.into_iter().next().unwrap().tensor;
        }
        assert_eq!(value, input.tensor, "{view}");
        assert_eq!(input.tensor.shape(), &shape);
        input
    }

    #[test]
    fn replaying_a_view_gives_the_operand() {
        for (view, _) in View::ALL {
            for shape in [&[2, 3][..], &[2, 1, 3], &[1, 4]] {
                replay(view, shape);
            }
        }
        assert_eq!(
            replay(View::Transposed, &[2, 3]).base.bytes(),
            [0, 3, 1, 4, 2, 5]
        );
        assert_eq!(
            replay(View::Strided, &[2]).base.bytes(),
            [FILL, 0, FILL, 1, FILL]
        );
        assert_eq!(replay(View::Broadcast, &[3]).tensor.bytes(), [0, 0, 0]);
    }

    #[test]
    fn a_written_operand_takes_a_view_where_it_can() {
        let shape = Shape::from([2, 2]);
        let make = |bytes: [u8; 4]| {
            Tensor::new(TensorType::new(DType::U8, shape.clone()), bytes.to_vec()).unwrap()
        };
        for (view, _) in View::ALL {
            let input = Input::viewed(make([1, 2, 1, 2]), view);
            assert_eq!(input.views.is_empty(), view == View::Plain, "{view}");
            assert_eq!(input.tensor, make([1, 2, 1, 2]));
        }
        assert!(
            Input::viewed(make([1, 2, 3, 4]), View::Broadcast)
                .views
                .is_empty()
        );
    }

    #[test]
    fn shapes_that_cannot_take_a_view_say_so() {
        assert_eq!(View::Transposed.filled(&Shape::from([3])), None);
        assert_eq!(View::Offset.filled(&Shape::scalar()), None);
        assert_eq!(View::Strided.filled(&Shape::from([0, 3])), None);
        assert_eq!(View::Broadcast.filled(&Shape::from([1])), None);
    }
}
