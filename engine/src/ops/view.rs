//! Views of what is computed: the arrays that the same ops give where MLX makes them, without a graph.

use emily_spec::{Constant, Op, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use smallvec::SmallVec;

use super::creation;
use crate::mlx::{self, Viewed, clone_array};

type Dims = SmallVec<[i32; 6]>;
type Strides = SmallVec<[i64; 6]>;

/// The result of an op that only looks at its operand, which is evaluated, in another way; `None` for any other op,
/// and where MLX would copy. What lies where is as where the op is run lazily.
pub(crate) fn view(op: &Op, x: &Array, ty: &TensorType) -> Option<Result<Array>> {
    let to: Dims = ty.shape.iter().map(|&dim| dim as i32).collect();
    if let Op::Reshape(_) | Op::Squeeze(_) = op {
        return reshape(x, &to);
    }
    let (shape, strides) = mlx::lie_of(x);
    if let Op::Transpose(op) = op {
        let strides: Strides = op.axes.iter().map(|&axis| strides[axis]).collect();
        return Some(mlx::view(x, Viewed::Transpose, &to, &strides, 0));
    }
    // MLX makes an empty one anew.
    if to.contains(&0) {
        return None;
    }
    if let Op::Broadcast(op) = op {
        let mut aligned: Dims = SmallVec::from_elem(1, to.len());
        match &op.axes {
            Some(axes) => {
                let named = axes.iter().zip(shape);
                named.for_each(|(&axis, &dim)| aligned[axis] = dim);
                return match reshape(x, &aligned)? {
                    Ok(x) => Some(repeated(&x, &to)),
                    Err(error) => Some(Err(error)),
                };
            }
            None => return Some(repeated(x, &to)),
        }
    }
    if let Op::Slice(op) = op {
        let mut offset = 0;
        let mut steps = Strides::new();
        for axis in 0..shape.len() {
            let last = i64::from(shape[axis]) - op.lengths[axis] as i64;
            offset += op.starts[axis].clamp(0, last) * strides[axis];
            let step = match to[axis] {
                1 => 1,
                _ => op.strides[axis] as i64,
            };
            steps.push(strides[axis] * step);
        }
        return Some(match *to == *shape {
            true => Ok(clone_array(x)),
            false => mlx::view(x, Viewed::Slice, &to, &steps, offset),
        });
    }
    None
}

/// A constant, as it is where the op is run lazily; `None` where that computes it.
pub(crate) fn constant(op: &Constant, ty: &TensorType) -> Option<Result<Array>> {
    let to: Dims = ty.shape.iter().map(|&dim| dim as i32).collect();
    if to.contains(&0) {
        return None;
    }
    Some(repeated(&creation::element(op, ty.dtype)?, &to))
}

/// The same elements in another shape, where no copy is needed for it.
fn reshape(x: &Array, to: &[i32]) -> Option<Result<Array>> {
    if x.shape() == to {
        return Some(Ok(clone_array(x)));
    }
    if !mlx::is_row_contiguous(x) || x.size() == 0 {
        return None;
    }
    let mut strides: Strides = SmallVec::from_elem(1, to.len());
    for axis in (1..to.len()).rev() {
        strides[axis - 1] = strides[axis] * i64::from(to[axis]);
    }
    Some(mlx::view(x, Viewed::Reshape, to, &strides, 0))
}

/// The same elements again and again along axes of size 1, and along new ones.
fn repeated(x: &Array, to: &[i32]) -> Result<Array> {
    let (shape, strides) = mlx::lie_of(x);
    if shape == to {
        return Ok(clone_array(x));
    }
    let mut steps: Strides = SmallVec::from_elem(0, to.len());
    let new = to.len() - shape.len();
    for (axis, &dim) in shape.iter().enumerate() {
        steps[new + axis] = if dim == 1 { 0 } else { strides[axis] };
    }
    mlx::view(x, Viewed::Broadcast, to, &steps, 0)
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;
    use serde_json::{Value, json};

    use super::*;
    use crate::Device;
    use crate::ops::{Cx, run};

    /// An op's name and attributes.
    type Call = (&'static str, Value);

    /// A chain of views as MLX makes it lazily, and as it is made at once.
    fn both(shape: &[usize], calls: &[Call]) -> Option<[Array; 2]> {
        let mut ty = TensorType::new(DType::S16, shape.to_vec());
        let bytes: Vec<u8> = (0..ty.byte_size().unwrap()).map(|i| i as u8).collect();
        let x = mlx::upload(&ty, &bytes).unwrap();
        let (mut lazy, mut now) = (clone_array(&x), x);
        let cpu = mlx::new_stream(Device::Cpu).unwrap();
        for (name, attrs) in calls {
            let op = Op::read(name, attrs.clone()).unwrap();
            let results = op.infer(&[ty]).unwrap();
            let mut cx = Cx::new(Device::Cpu, &cpu);
            let mut made = mlx_rs::with_stream(&cpu, || run(&op, &[lazy], &results, &mut cx));
            lazy = made.as_mut().unwrap().remove(0);
            now = view(&op, &now, &results[0])?.unwrap();
            [ty] = results.try_into().unwrap();
        }
        mlx_rs::with_stream(&cpu, || lazy.eval()).unwrap();
        Some([lazy, now])
    }

    #[test]
    fn a_view_lies_and_is_marked_as_mlx_makes_it() {
        let transpose = |axes: &[usize]| ("transpose", json!({ "axes": axes }));
        let reshape = |shape: &[usize]| ("reshape", json!({ "shape": shape }));
        let broadcast = |shape: &[usize]| ("broadcast", json!({ "shape": shape }));
        let along = |shape: &[usize], axes: &[usize]| {
            ("broadcast", json!({ "shape": shape, "axes": axes }))
        };
        let slice = |starts: &[i64], lengths: &[usize], strides: &[usize]| {
            let attrs = json!({ "starts": starts, "lengths": lengths, "strides": strides });
            ("slice", attrs)
        };
        let squeeze = |axes: &[usize]| ("squeeze", json!({ "axes": axes }));
        let chains: Vec<(&[usize], Vec<Call>)> = vec![
            (&[2, 3, 4], vec![transpose(&[0, 1, 2])]),
            (&[2, 3, 4], vec![transpose(&[2, 1, 0])]),
            (
                &[2, 3, 4],
                vec![transpose(&[1, 0, 2]), transpose(&[1, 0, 2])],
            ),
            (&[2, 1, 4], vec![transpose(&[1, 0, 2])]),
            (&[2, 1, 4], vec![squeeze(&[1])]),
            (&[1, 1], vec![squeeze(&[0, 1])]),
            (&[6], vec![reshape(&[6])]),
            (&[6], vec![reshape(&[2, 3])]),
            (&[2, 3], vec![reshape(&[6, 1])]),
            (&[1], vec![reshape(&[])]),
            (&[], vec![reshape(&[1, 1])]),
            (&[], vec![broadcast(&[3, 2])]),
            (&[3], vec![broadcast(&[3])]),
            (&[3], vec![broadcast(&[2, 3])]),
            (&[3, 1], vec![broadcast(&[3, 2])]),
            (&[3, 1], vec![broadcast(&[3, 1])]),
            (&[3, 1], vec![broadcast(&[1, 3, 1])]),
            (&[3], vec![along(&[3, 2], &[0])]),
            (&[3], vec![along(&[3, 1], &[0])]),
            (&[3, 2], vec![broadcast(&[2, 3, 2]), transpose(&[2, 1, 0])]),
            (
                &[3, 2],
                vec![
                    broadcast(&[2, 3, 2]),
                    slice(&[1, 0, 0], &[1, 3, 2], &[1, 1, 1]),
                ],
            ),
            (&[6], vec![slice(&[0], &[6], &[1])]),
            (&[6], vec![slice(&[2], &[3], &[1])]),
            (&[6], vec![slice(&[9], &[3], &[1])]),
            (&[6], vec![slice(&[0], &[6], &[2])]),
            (&[6], vec![slice(&[1], &[3], &[3])]),
            (&[4, 6], vec![slice(&[1, 0], &[2, 6], &[1, 1])]),
            (&[4, 6], vec![slice(&[0, 1], &[4, 1], &[1, 1])]),
            (&[4, 6], vec![slice(&[0, 1], &[4, 4], &[3, 2])]),
            (
                &[4, 6],
                vec![transpose(&[1, 0]), slice(&[1, 1], &[4, 2], &[1, 1])],
            ),
            (
                &[4, 6],
                vec![slice(&[1, 0], &[2, 6], &[1, 1]), reshape(&[12])],
            ),
            (
                &[4, 6],
                vec![slice(&[1, 2], &[1, 3], &[1, 1]), reshape(&[3])],
            ),
            (
                &[4, 6],
                vec![slice(&[1, 2], &[2, 3], &[1, 1]), transpose(&[1, 0])],
            ),
            (&[0, 3], vec![transpose(&[1, 0])]),
        ];
        for (shape, calls) in chains {
            let [lazy, now] = both(shape, &calls).expect("a view");
            let [want, have] = [&lazy, &now].map(mlx::marks);
            assert_eq!((have.0, have.1), (want.0, want.1), "{shape:?} {calls:?}");
            if lazy.size() == 0 {
                continue;
            }
            let [want, have] = [lazy, now].map(|x| {
                let dense = x.contiguous().unwrap();
                (dense.shape().to_vec(), dense.to_vec_exact::<i16>().unwrap())
            });
            assert_eq!(have, want, "{shape:?} {calls:?}");
        }
    }

    #[test]
    fn what_mlx_copies_is_no_view() {
        let turned = ("transpose", json!({ "axes": [1, 0] }));
        let flat = ("reshape", json!({ "shape": [6] }));
        assert!(both(&[2, 3], &[turned, flat]).is_none());
        let none = ("broadcast", json!({ "shape": [0, 3] }));
        assert!(both(&[1, 3], &[none]).is_none());
    }
}
