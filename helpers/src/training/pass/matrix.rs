//! Products of matrices that lie anywhere in a list of numbers.

use gemm::Parallelism;

/// A matrix whose element (i, j) is number i x `row_stride` + j x `column_stride` of `values`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// All numbers, row by row.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, row_stride: columns, column_stride: 1 }
    }

    /// A part whose rows begin `row_stride` numbers apart.
    pub(crate) fn part(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same with rows and columns exchanged.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Numbers from the first to the last element.
    fn span(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// What becomes of the numbers that are already there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// They are replaced.
    Replaced,
    /// The product is added to them.
    Kept,
}

/// `out` = `factor` a b, whose rows begin `out_stride` numbers apart, by as many threads as the calling one's pool has.
pub(crate) fn multiply(a: Matrix, b: Matrix, factor: f32, before: Before, out: &mut [f32], out_stride: usize) {
    let parallelism = if rayon::current_num_threads() > 1 { Parallelism::Rayon(0) } else { Parallelism::None };
    multiply_by(parallelism, a, b, factor, before, out, out_stride);
}

/// a b in fresh memory, row by row: what is replaced anyway need not be cleared first.
pub(crate) fn product(a: Matrix, b: Matrix) -> Vec<f32> {
    let (rows, columns) = (a.rows, b.columns);
    if a.columns == 0 {
        return vec![0.0; rows * columns];
    }
    let mut out = Vec::with_capacity(rows * columns);
    let parallelism = if rayon::current_num_threads() > 1 { Parallelism::Rayon(0) } else { Parallelism::None };
    // SAFETY: the memory holds rows x columns numbers, and a product that is not added to anything writes all of them
    // without reading any.
    unsafe {
        multiply_into(parallelism, a, b, 1.0, Before::Replaced, out.as_mut_ptr(), columns);
        out.set_len(rows * columns);
    }
    out
}

/// The same on the calling thread alone.
pub(crate) fn multiply_alone(a: Matrix, b: Matrix, factor: f32, before: Before, out: &mut [f32], out_stride: usize) {
    multiply_by(Parallelism::None, a, b, factor, before, out, out_stride);
}

fn multiply_by(
    parallelism: Parallelism,
    a: Matrix,
    b: Matrix,
    factor: f32,
    before: Before,
    out: &mut [f32],
    out_stride: usize,
) {
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= out_stride, "rows of {columns} numbers overlap when they begin {out_stride} apart");
    assert!((rows - 1) * out_stride + columns <= out.len(), "the product reaches past its numbers");
    // SAFETY: `out` is borrowed mutably and large enough, and its rows don't overlap each other.
    unsafe { multiply_into(parallelism, a, b, factor, before, out.as_mut_ptr(), out_stride) }
}

/// # Safety
/// `out` must have room for the product's rows, `out_stride` numbers apart and not overlapping, and nobody else may use it.
/// Where numbers are kept they must be there.
unsafe fn multiply_into(
    parallelism: Parallelism,
    a: Matrix,
    b: Matrix,
    factor: f32,
    before: Before,
    out: *mut f32,
    out_stride: usize,
) {
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    assert_eq!(depth, b.rows, "the first matrix has {depth} columns and the second {} rows", b.rows);
    if rows == 0 || columns == 0 || depth == 0 {
        return;
    }
    assert!(a.span() <= a.values.len() && b.span() <= b.values.len(), "a matrix reaches past its numbers");
    let add = before == Before::Kept;
    // SAFETY: the assertion above keeps every element of the operands within its slice, and the caller does the same for
    // `out`, which overlaps neither, because nobody else uses it.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out,
            1,
            out_stride as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}
