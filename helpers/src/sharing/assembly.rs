//! Which of a model's parameters a worker has, when none has all of them.

use std::ops::Range;

use candle_core::{Tensor, Var};

use crate::communication::{Communicator, chunk};
use crate::error::{Error, Result};
use crate::model::{Architecture, Model, Network, Transformer};
use crate::training::pass;

/// A worker's part of a model.
pub(super) struct Part {
    model: Model,
    variables: Vec<Variable>,
}

/// A worker's part of a variable.
struct Variable {
    name: String,
    shape: Vec<usize>,
    /// Its numbers among all parameters of the model.
    places: Vec<Range<usize>>,
}

/// How a variable is cut.
#[derive(Clone, Copy)]
enum Cut {
    /// Into columns, within each of so many equal groups of them: queries, keys and values are three.
    Columns { groups: usize },
    /// Into rows.
    Rows,
}

impl Part {
    /// A p-th of the units of each layer that workers run together, and all of the others.
    pub(super) fn of_each_layer(model: &Model, rank: usize, workers: usize) -> Self {
        Self::of(model, |name, shape, start| {
            let Some(cut) = cut(model, name) else { return Some(Variable::whole(name, shape, start)) };
            let columns = shape[shape.len() - 1];
            let rows = shape.iter().product::<usize>() / columns;
            let mut shape = shape.to_vec();
            let mut places = Vec::new();
            match cut {
                Cut::Rows => {
                    let own = chunk(rank, workers, rows);
                    shape[0] = own.len();
                    places.push(start + own.start * columns..start + own.end * columns);
                }
                Cut::Columns { groups } => {
                    let group = columns / groups;
                    let own = chunk(rank, workers, group);
                    for group_start in (0..rows * groups).map(|index| start + index * group) {
                        places.push(group_start + own.start..group_start + own.end);
                    }
                    let last = shape.len() - 1;
                    shape[last] = groups * own.len();
                }
            }
            Some(Variable { name: name.to_string(), shape, places })
        })
    }

    /// The variables of some of the model's blocks.
    pub(super) fn of_blocks(model: &Model, blocks: &Range<usize>) -> Self {
        let keep = |name: &str| blocks.contains(&block_of(model, name));
        Self::of(model, |name, shape, start| keep(name).then(|| Variable::whole(name, shape, start)))
    }

    fn of(model: &Model, part: impl Fn(&str, &[usize], usize) -> Option<Variable>) -> Self {
        let mut shapes = model.shapes();
        shapes.sort();
        let mut start = 0;
        let mut variables = Vec::new();
        for (name, shape) in &shapes {
            variables.extend(part(name, shape, start));
            start += shape.iter().product::<usize>();
        }
        Self { model: *model, variables }
    }

    /// A network of this part, with its numbers out of all parameters.
    pub(super) fn network(&self, parameters: &[f32]) -> Result<Network> {
        let device = candle_core::Device::Cpu;
        let mut variables = Vec::new();
        for variable in &self.variables {
            let values: Vec<f32> =
                variable.places.iter().flat_map(|place| &parameters[place.clone()]).copied().collect();
            let tensor = Tensor::from_vec(values, variable.shape.as_slice(), &device)?;
            variables.push((variable.name.clone(), Var::from_tensor(&tensor)?));
        }
        Ok(Network::new(self.model, device, variables))
    }

    /// Puts this part's numbers in their places.
    fn put(&self, own: &[f32], parameters: &mut [f32]) {
        let mut rest = own;
        for place in self.variables.iter().flat_map(|variable| &variable.places) {
            let (values, after) = rest.split_at(place.len());
            parameters[place.clone()].copy_from_slice(values);
            rest = after;
        }
    }
}

impl Variable {
    fn whole(name: &str, shape: &[usize], start: usize) -> Self {
        let place = start..start + shape.iter().product::<usize>();
        Self { name: name.to_string(), shape: shape.to_vec(), places: vec![place] }
    }
}

/// All parameters of a model of which each worker has a part. All workers end with them.
pub(super) fn assemble(
    network: &Network,
    part_of: impl Fn(usize) -> Part,
    workers: &mut dyn Communicator,
) -> Result<Vec<f32>> {
    let own: Vec<u8> = network.parameters()?.into_iter().flat_map(f32::to_le_bytes).collect();
    let mut parameters = vec![0.0; network.model().parameters()];
    for (rank, bytes) in workers.all_gather_bytes(&own)?.iter().enumerate() {
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default())).collect();
        let part = part_of(rank);
        let expected = part.variables.iter().flat_map(|variable| &variable.places).map(Range::len).sum::<usize>();
        if values.len() != expected {
            return Err(Error::Worker(format!(
                "worker {rank} has {} parameters, but its part of the model has {expected}",
                values.len()
            )));
        }
        part.put(&values, &mut parameters);
    }
    Ok(parameters)
}

/// How workers that run each layer together cut a variable; none when all have all of it.
fn cut(model: &Model, name: &str) -> Option<Cut> {
    match model {
        Model::Mlp(_) => match name {
            "layer1.weight" | "layer1.bias" => Some(Cut::Columns { groups: 1 }),
            "layer2.weight" => Some(Cut::Rows),
            _ => None,
        },
        Model::Transformer(_) => {
            let (part, kind) = name.rsplit_once('.')?;
            if part.ends_with(".attention.in") {
                Some(Cut::Columns { groups: 3 })
            } else if part.ends_with(".dense.in") {
                Some(Cut::Columns { groups: 1 })
            } else if kind == "weight" && (part.ends_with(".attention.out") || part.ends_with(".dense.out")) {
                Some(Cut::Rows)
            } else {
                None
            }
        }
        Model::Convnet(_) => None,
    }
}

/// The block that a variable belongs to.
fn block_of(model: &Model, name: &str) -> usize {
    let (first, _) = name.split_once('.').unwrap_or((name, ""));
    match model {
        Model::Transformer(model) => {
            let layer = (0..model.depth()).position(|layer| Transformer::layer_name(layer) == first);
            match (layer, first) {
                (Some(layer), _) => layer + 1,
                (None, "embedding") => 0,
                (None, _) => pass::block_count(&Model::Transformer(*model)).unwrap_or(1) - 1,
            }
        }
        // layer1 is block 0.
        _ => first.trim_start_matches("layer").parse::<usize>().map_or(0, |layer| layer - 1),
    }
}
