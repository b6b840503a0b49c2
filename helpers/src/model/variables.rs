//! A network's variables as its pass forward reads them.

use candle_core::{DType, Tensor, Var};

use crate::error::{Error, Result};

/// The variables of a network, found by their names, in the precision of the pass.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'a> {
    sorted: &'a [(String, Var)],
    precision: DType,
}

impl<'a> Variables<'a> {
    /// `sorted` must be in the order of the names.
    pub(super) fn new(sorted: &'a [(String, Var)], precision: DType) -> Self {
        Self { sorted, precision }
    }

    /// The variable with this name. A gradient taken through it is one of the variable itself, in 32 bits.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the model has no such variable.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let place = self.sorted.binary_search_by(|(own, _)| own.as_str().cmp(name));
        let index = place.map_err(|_| Error::invalid(format!("the model has no variable {name}")))?;
        Ok(self.sorted[index].1.to_dtype(self.precision)?)
    }

    /// What the pass computes in.
    pub fn precision(&self) -> DType {
        self.precision
    }

    /// `input` (n, inputs) times the weights (inputs, outputs) called `name.weight`, plus `name.bias` (outputs).
    ///
    /// # Errors
    /// As for [`Variables::get`], and [`Error::Candle`] when the shapes don't fit.
    pub fn dense(&self, name: &str, input: &Tensor) -> Result<Tensor> {
        let product = input.matmul(&self.get(&format!("{name}.weight"))?)?;
        Ok(product.broadcast_add(&self.get(&format!("{name}.bias"))?)?)
    }

    /// Each row of `input` (n, width) with mean 0 and variance 1, times `name.scale`, plus `name.bias`
    /// (Ba, Kiros and Hinton 2016, "Layer normalization").
    ///
    /// # Errors
    /// As for [`Variables::dense`].
    pub fn layer_norm(&self, name: &str, input: &Tensor) -> Result<Tensor> {
        let input = input.to_dtype(DType::F32)?;
        let centred = input.broadcast_sub(&input.mean_keepdim(1)?)?;
        let variance = centred.sqr()?.mean_keepdim(1)?;
        let normal = centred.broadcast_div(&(variance + LAYER_NORM_EPSILON)?.sqrt()?)?.to_dtype(self.precision)?;
        let scaled = normal.broadcast_mul(&self.get(&format!("{name}.scale"))?)?;
        Ok(scaled.broadcast_add(&self.get(&format!("{name}.bias"))?)?)
    }
}

/// Against a division by zero; PyTorch's value.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-5;
