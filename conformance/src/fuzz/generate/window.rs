//! Calls of windows.

use emily_spec::{DType, Op, Row, Scattering, Shape, Sliding, TensorType, Window, WindowScatter};
use proptest::prelude::*;

use super::values::{dtype_of, filled_shape};
use super::{Specimen, specimen};

pub(super) fn window(row: &'static Row, op: Window) -> BoxedStrategy<Specimen> {
    let windows = filled_shape(3).prop_flat_map(|shape| {
        // One that spans more than there is has no place, rarely enough.
        let axis = |&dim: &usize| (1..=dim.min(5), 1..4usize, -1..3i64, 0..3i64, 1..3usize);
        let axes: Vec<_> = shape.iter().map(axis).collect();
        (Just(shape), axes)
    });
    type Axis = (usize, usize, i64, i64, usize);
    let of = move |((shape, axes), dtype): ((Shape, Vec<Axis>), DType)| {
        let attrs = Sliding {
            lengths: axes.iter().map(|axis| axis.0).collect(),
            strides: axes.iter().map(|axis| axis.1).collect(),
            low: axes.iter().map(|axis| axis.2).collect(),
            high: axes.iter().map(|axis| axis.3).collect(),
            dilations: axes.iter().map(|axis| axis.4).collect(),
        };
        specimen(
            row,
            Just(Op::Window(op, attrs)).boxed(),
            vec![(dtype, shape)],
        )
    };
    (windows, dtype_of(row)).prop_flat_map(of).boxed()
}

pub(super) fn scatter(row: &'static Row, op: WindowScatter) -> BoxedStrategy<Specimen> {
    let windows = filled_shape(3).prop_flat_map(|shape| {
        let axis = |&dim: &usize| (1..=dim.min(5), 1..4usize, -1..3i64, 0..3i64);
        let axes: Vec<_> = shape.iter().map(axis).collect();
        (Just(shape), axes)
    });
    type Axis = (usize, usize, i64, i64);
    let of = move |((shape, axes), dtypes): ((Shape, Vec<Axis>), [DType; 3])| {
        let attrs = Scattering {
            lengths: axes.iter().map(|axis| axis.0).collect(),
            strides: axes.iter().map(|axis| axis.1).collect(),
            low: axes.iter().map(|axis| axis.2).collect(),
            high: axes.iter().map(|axis| axis.3).collect(),
        };
        // As many as a window has places; one without is refused, whatever the source.
        let window = Op::Window(Window::WindowMax, attrs.window());
        let places = window.infer(&[TensorType::new(DType::F32, shape.clone())]);
        let source = places.map_or(shape.clone(), |places| places[0].shape.clone());
        let [tensor, of_source, init] = dtypes;
        let types = vec![
            (tensor, shape),
            (of_source, source),
            (init, Shape::scalar()),
        ];
        specimen(row, Just(Op::WindowScatter(op, attrs)).boxed(), types)
    };
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype; 3]),
        1 => [dtype_of(row), dtype_of(row), dtype_of(row)],
    ];
    (windows, dtypes).prop_flat_map(of).boxed()
}
