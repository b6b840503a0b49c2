//! A built network: variables on a device, and the pass forward.

use candle_core::{DType, Tensor, Var};

use super::{Architecture, Model, Variables};
use crate::device::{Device, Precision};
use crate::error::Result;

/// The variables of a [`Model`], on a device.
///
/// They are held in the order of their names. Every worker must go through them in the same order, or an
/// all-reduce adds numbers that don't belong together; a hash map, such as candle's `VarMap`, gives each
/// worker another order.
#[derive(Debug)]
pub struct Network {
    model: Model,
    device: candle_core::Device,
    variables: Vec<(String, Var)>,
    precision: Precision,
}

impl Network {
    /// `variables` must be sorted by name: layer1.bias, layer1.weight, layer2.bias and so on.
    pub(crate) fn new(model: Model, device: candle_core::Device, variables: Vec<(String, Var)>) -> Self {
        Self { model, device, variables, precision: Precision::F32 }
    }

    /// The same, whose passes compute in this precision.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device can't.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self> {
        if self.device.is_cpu() {
            Device::Cpu.check(precision)?;
        }
        self.precision = precision;
        Ok(self)
    }

    /// Waits until the device has done all that it was asked for: a GPU works on while the program goes on. To be called
    /// before each look at the clock.
    ///
    /// # Errors
    /// [`crate::Error::Candle`] when the device fails.
    pub fn synchronise(&self) -> Result<()> {
        Ok(self.device.synchronize()?)
    }

    /// The description that this network was built from.
    pub fn model(&self) -> Model {
        self.model
    }

    /// Where the variables are.
    pub fn device(&self) -> &candle_core::Device {
        &self.device
    }

    /// Name and variable, in the order of the names.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// From rows (rows, columns) to one score for each class and prediction, (rows x predictions per row, classes),
    /// before any softmax.
    ///
    /// # Errors
    /// [`crate::Error::Candle`] when the rows have another number of columns than the model.
    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let variables = Variables::new(&self.variables, self.precision.dtype());
        Ok(self.model.forward(&variables, rows)?.to_dtype(DType::F32)?)
    }

    /// Numbers in all variables: the model's parameters, or this worker's part of them.
    fn elements(&self) -> usize {
        self.variables.iter().map(|(_, variable)| variable.elem_count()).sum()
    }

    /// All parameters one after the other, in the order of the variables' names.
    ///
    /// # Errors
    /// [`crate::Error::Candle`] when the device fails.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(self.elements());
        for (_, variable) in &self.variables {
            values.extend(variable.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(values)
    }

    /// Replaces all parameters by `values`, in the order of the variables' names.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when there are more or fewer values than parameters.
    pub fn set_parameters(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.elements() {
            return Err(crate::Error::invalid(format!(
                "{} values were given for a model of {} parameters; take them from a model of the same width",
                values.len(),
                self.elements()
            )));
        }
        let mut start = 0;
        for (_, variable) in &self.variables {
            let end = start + variable.elem_count();
            variable.set(&Tensor::from_slice(&values[start..end], variable.shape(), &self.device)?)?;
            start = end;
        }
        Ok(())
    }
}
