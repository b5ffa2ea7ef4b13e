//! Convolutions of floats as products of matrices: the kernel's, and that of the windows, which is never made but
//! for what the product packs of it at a time.
//!
//! Where zeros belong to the input it is copied with them first. A window's element is then as far from its first
//! one wherever the window is, which is all that the product asks.

use emily_spec::{Conv, SpatialAxis, TensorType, row_major_strides};

use super::float::{Float, of_float};
use super::matmul::{Side, multiply_sides, offsets};
use super::pool;
use crate::mlx::{Element, Kernel, Operand};

/// The elements that one thread copies at a time, in whole rows.
const ROWS: usize = 1 << 14;

/// The kernel of this convolution, if there is one.
pub(super) fn kernel(op: &Conv, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    if inputs.iter().any(|input| input.dtype != ty.dtype) {
        return None;
    }
    let plan = Plan::new(op, inputs, ty)?;
    of_float!(ty.dtype, kernel_at(plan))
}

/// How the result lies: what are the rows and columns of the product that it is.
#[derive(Clone, Copy)]
enum Layout {
    /// Batch, channels, places: for each image a product of the kernel with the windows.
    Images,
    /// Channels, batch, places: one product of the kernel with all windows.
    Channels,
    /// Batch, places, channels: one product of all windows with the kernel.
    Places,
}

struct Plan {
    /// Where the input's axes are: batch, channels, the spatial ones.
    input: Vec<usize>,
    /// Where the kernel's axes are: output channels, input channels, the spatial ones.
    kernel: Vec<usize>,
    spatial: Vec<SpatialAxis>,
    /// The result's sizes along the spatial axes.
    places: Vec<usize>,
    layout: Layout,
    /// Of the channels, of the batch.
    groups: [usize; 2],
}

impl Plan {
    /// None where the result lies otherwise, and where there is nothing to add up.
    fn new(op: &Conv, inputs: &[TensorType], ty: &TensorType) -> Option<Plan> {
        let rank = ty.shape.rank();
        let [input, kernel, output] = op.permutations(rank);
        let groups = op.groups();
        let spatial_are = |mut axes: std::ops::Range<usize>| {
            output[2..].iter().all(|&axis| axes.next() == Some(axis))
        };
        let layout = match (output[0], output[1]) {
            (0, 1) if spatial_are(2..rank) => Layout::Images,
            (1, 0) if spatial_are(2..rank) => Layout::Channels,
            (0, last) if last == rank - 1 && spatial_are(1..rank - 1) && groups == [1, 1] => {
                Layout::Places
            }
            _ => return None,
        };
        let some = inputs.iter().all(|input| !input.shape.contains(&0)) && !ty.shape.contains(&0);
        some.then(|| Plan {
            input,
            kernel,
            spatial: op.spatial(rank),
            places: output[2..].iter().map(|&axis| ty.shape[axis]).collect(),
            layout,
            groups,
        })
    }
}

fn kernel_at<T: Float>(plan: Plan) -> Kernel {
    Box::new(move |operands, place| {
        let mut zeros = Vec::new();
        let input = Grid::new(&operands[0], &plan.input);
        let input = input.padded(&plan, &mut zeros);
        let kernel = Grid::new(&operands[1], &plan.kernel);
        let (windows, kernel) = plan.sides(&input, &kernel);
        let result = place.into_elements();
        match plan.layout {
            Layout::Images | Layout::Channels => multiply_sides::<T>(&kernel, &windows, result),
            Layout::Places => multiply_sides::<T>(&windows, &kernel, result),
        }
    })
}

/// A tensor whose axes are taken in another order.
struct Grid<'a, T> {
    memory: &'a [T],
    first: i64,
    sizes: Vec<usize>,
    steps: Vec<i64>,
    /// Where the axes are in the tensor's own order.
    order: &'a [usize],
}

impl<'a, T: Element> Grid<'a, T> {
    fn new(operand: &Operand<'a>, order: &'a [usize]) -> Grid<'a, T> {
        let (memory, first) = operand.memory();
        Grid {
            memory,
            first: first as i64,
            sizes: order
                .iter()
                .map(|&axis| operand.shape[axis] as usize)
                .collect(),
            steps: order.iter().map(|&axis| operand.strides[axis]).collect(),
            order,
        }
    }

    /// The same with the zeros that belong to it, in memory of its own: itself, where there are none.
    fn padded(self, plan: &Plan, zeros: &'a mut Vec<T>) -> Grid<'a, T> {
        let as_it_is = |axis: &SpatialAxis| (axis.low, axis.high, axis.input_dilation) == (0, 0, 1);
        if plan.spatial.iter().all(as_it_is) {
            return self;
        }
        let around = self.sizes.iter().enumerate().map(|(at, &size)| match at {
            0 | 1 => Along {
                low: 0,
                apart: 1,
                size,
                padded: size,
            },
            at => Along::new(&plan.spatial[at - 2], size),
        });
        let around: Vec<Along> = around.collect();
        // In the tensor's own order, so that neighbours stay neighbours.
        let rank = self.order.len();
        let mut own = vec![0; rank];
        self.order
            .iter()
            .enumerate()
            .for_each(|(at, &axis)| own[axis] = at);
        let shape: Vec<usize> = own.iter().map(|&at| around[at].padded).collect();
        *zeros = vec![T::default(); shape.iter().product()];
        let row = shape[rank - 1];
        let together = ROWS.div_ceil(row);
        pool::for_each_chunk(zeros, together * row, |part, rows| {
            for (at, to) in rows.chunks_exact_mut(row).enumerate() {
                self.copy_row(part * together + at, &shape, &own, &around, to);
            }
        });
        let dense = row_major_strides(&shape);
        Grid {
            memory: zeros,
            first: 0,
            sizes: around.iter().map(|along| along.padded).collect(),
            steps: self.order.iter().map(|&axis| dense[axis] as i64).collect(),
            order: self.order,
        }
    }
}

impl<T: Element> Grid<'_, T> {
    /// The elements of one row along the tensor's last axis go to where they stand among the zeros.
    fn copy_row(&self, row: usize, shape: &[usize], own: &[usize], around: &[Along], to: &mut [T]) {
        let (last, outer) = own.split_last().expect("there are axes");
        let (mut from, mut rest) = (self.first, row);
        for (axis, &role) in outer.iter().enumerate().rev() {
            let Some(index) = around[role].source(rest % shape[axis]) else {
                return;
            };
            rest /= shape[axis];
            from += index as i64 * self.steps[role];
        }
        let (along, step) = (&around[*last], self.steps[*last]);
        let (skipped, start) = along.first();
        from += skipped as i64 * step;
        let places = to.iter_mut().skip(start).step_by(along.apart);
        for to in places.take(along.size - skipped) {
            *to = self.memory[from as usize];
            from += step;
        }
    }
}

/// What is put around and between the elements along an axis.
struct Along {
    low: i64,
    apart: usize,
    size: usize,
    padded: usize,
}

impl Along {
    fn new(axis: &SpatialAxis, size: usize) -> Along {
        Along {
            low: axis.low,
            apart: axis.input_dilation,
            size,
            padded: axis.padded(size) as usize,
        }
    }

    /// The element that goes to this place, if one does.
    fn source(&self, place: usize) -> Option<usize> {
        let from = place as i64 - self.low;
        let index = usize::try_from(from).ok()? / self.apart;
        (index < self.size && (from as usize).is_multiple_of(self.apart)).then_some(index)
    }

    /// The first element that goes anywhere, and where to.
    fn first(&self) -> (usize, usize) {
        let apart = self.apart as i64;
        let skipped =
            (-self.low).max(0).div_euclid(apart) + i64::from((-self.low).max(0) % apart != 0);
        let skipped = skipped.min(self.size as i64);
        (
            skipped as usize,
            (self.low + skipped * apart).max(0) as usize,
        )
    }
}

impl Plan {
    /// The windows and the kernel, as operands of a product.
    fn sides<'a, T: Element>(
        &self,
        input: &Grid<'a, T>,
        kernel: &Grid<'a, T>,
    ) -> (Side<'a, T>, Side<'a, T>) {
        let [features, batches] = self.groups;
        let groups = features * batches;
        let images = input.sizes[0] / batches;
        let channels = kernel.sizes[1];
        let outputs = kernel.sizes[0] / groups;
        let steps = input.steps[2..].iter();
        let places = self.places.iter().zip(steps).zip(&self.spatial);
        let places = places.map(|((&count, step), axis)| apart(count, *step, axis.stride));
        let images = (images, input.steps[0]);
        // Which of the two is 1 is of no matter.
        let group = match batches {
            1 => (groups, input.steps[1] * channels as i64),
            _ => (groups, input.steps[0] * images.0 as i64),
        };
        let spatial = input.steps[2..]
            .iter()
            .zip(&self.spatial)
            .zip(&kernel.sizes[2..]);
        let spatial =
            spatial.map(|((step, axis), &count)| (count, step * axis.kernel_dilation as i64));
        let mut terms: Vec<(usize, i64)> = spatial.collect();
        let sizes = kernel.sizes[2..].iter().copied();
        let mut factors: Vec<(usize, i64)> = sizes.zip(kernel.steps[2..].iter().copied()).collect();
        // Channels go last where they are the input's last axis.
        let at = match self.input[1] + 1 == self.input.len() {
            true => terms.len(),
            false => 0,
        };
        terms.insert(at, (channels, input.steps[1]));
        factors.insert(at, (channels, kernel.steps[1]));
        let kernel_groups = (groups, kernel.steps[0] * outputs as i64);
        let (batch, of_kernel, free) = match self.layout {
            Layout::Images => (
                vec![images, group],
                vec![(images.0, 0), kernel_groups],
                vec![],
            ),
            Layout::Channels => (vec![group], vec![kernel_groups], vec![images]),
            Layout::Places => (vec![], vec![], vec![images]),
        };
        let free: Vec<(usize, i64)> = free.into_iter().chain(places).collect();
        let windows = Side {
            memory: input.memory,
            batch: offsets(input.first, &batch),
            free: offsets(0, &free),
            terms: offsets(0, &terms),
        };
        let kernel = Side {
            memory: kernel.memory,
            batch: offsets(kernel.first, &of_kernel),
            free: offsets(0, &[(outputs, kernel.steps[0])]),
            terms: offsets(0, &factors),
        };
        (windows, kernel)
    }
}

/// So many elements of an axis, each so many steps from the one before. Of one alone that may be any number.
fn apart(count: usize, step: i64, steps: usize) -> (usize, i64) {
    match count {
        1 => (1, 0),
        _ => (count, step * steps as i64),
    }
}
