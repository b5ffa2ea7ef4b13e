//! The matrices that a decomposition is judged by.

use emily_spec::Tensor;

use crate::number;

/// A matrix in f64.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Row by row.
    pub(super) elements: Vec<f64>,
}

impl Matrix {
    /// Those of a batch; of one that has an axis less than `rank`, columns.
    pub(super) fn all_of(tensor: &Tensor, rank: usize) -> Result<Vec<Matrix>, String> {
        let dims = tensor.shape();
        let vector = dims.rank() + 1 == rank;
        let (rows, columns) = match dims[..] {
            [.., n] if vector => (n, 1),
            [.., m, n] => (m, n),
            _ => return Err(format!("{} is not a matrix", tensor.ty())),
        };
        let elements = number::as_f64(tensor);
        let size = (rows * columns).max(1);
        let matrix = |elements: &[f64]| Matrix {
            rows,
            columns,
            elements: elements.to_vec(),
        };
        Ok(elements.chunks(size).map(matrix).collect())
    }

    pub(super) fn new(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> Matrix {
        let places = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        Matrix {
            rows,
            columns,
            elements: places.map(|(i, j)| at(i, j)).collect(),
        }
    }

    pub(super) fn identity(size: usize) -> Matrix {
        Matrix::new(size, size, |i, j| f64::from(u8::from(i == j)))
    }

    pub(super) fn at(&self, i: usize, j: usize) -> f64 {
        self.elements[i * self.columns + j]
    }

    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Matrix {
        Matrix::new(self.rows, self.columns, |i, j| f(self.at(i, j)))
    }

    pub(super) fn transposed(&self) -> Matrix {
        Matrix::new(self.columns, self.rows, |i, j| self.at(j, i))
    }

    pub(super) fn times(&self, other: &Matrix) -> Matrix {
        Matrix::new(self.rows, other.columns, |i, j| {
            (0..self.columns)
                .map(|k| self.at(i, k) * other.at(k, j))
                .sum()
        })
    }

    pub(super) fn minus(&self, other: &Matrix) -> Matrix {
        Matrix::new(self.rows, self.columns, |i, j| {
            self.at(i, j) - other.at(i, j)
        })
    }

    /// Of elements whose squares may be beyond `f64`.
    pub(super) fn norm(&self) -> f64 {
        self.elements
            .iter()
            .fold(0.0, |norm, x| f64::hypot(norm, *x))
    }

    pub(super) fn is_finite(&self) -> bool {
        self.elements.iter().all(|x| x.is_finite())
    }

    /// X of L·X = B, for this L with ones on its diagonal.
    pub(super) fn solved(&self, b: &Matrix) -> Matrix {
        let mut x = b.clone();
        for i in 0..b.rows {
            for j in 0..b.columns {
                let known: f64 = (0..i).map(|k| self.at(i, k) * x.at(k, j)).sum();
                x.elements[i * b.columns + j] = b.at(i, j) - known;
            }
        }
        x
    }

    /// The diagonal as a column.
    pub(super) fn diagonal(&self) -> Matrix {
        Matrix::new(self.rows.min(self.columns), 1, |i, _| self.at(i, i))
    }

    /// The lower triangle, mirrored.
    pub(super) fn symmetric(&self) -> Matrix {
        Matrix::new(self.rows, self.columns, |i, j| self.at(i.max(j), i.min(j)))
    }

    /// Each column times its own factor; no more columns than factors.
    pub(super) fn scaled(&self, factors: &Matrix) -> Matrix {
        Matrix::new(self.rows, factors.elements.len(), |i, j| {
            self.at(i, j) * factors.elements[j]
        })
    }

    /// The first place where it is not what it should be.
    fn place(&self, wrong: impl Fn(usize, usize, f64) -> bool) -> Option<(usize, usize)> {
        let places = (0..self.rows).flat_map(|i| (0..self.columns).map(move |j| (i, j)));
        places
            .into_iter()
            .find(|&(i, j)| wrong(i, j, self.at(i, j)))
    }

    pub(super) fn require(
        &self,
        what: &str,
        wrong: impl Fn(usize, usize, f64) -> bool,
    ) -> Result<(), String> {
        match self.place(wrong) {
            None => Ok(()),
            Some((i, j)) => Err(format!("{what} at [{i},{j}]")),
        }
    }
}
