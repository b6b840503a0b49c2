//! Three ways to make parallel training wrong without any error message.

use std::fmt;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::communication::{Communicator, Synchronisation};
use crate::error::Result;
use crate::training::Gradients;

/// A mistake in data-parallel training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// Each worker goes through its variables in an order of its own, as a hash map gives them.
    UnsortedVariables,
    /// The gradients are summed and not divided by the number of workers.
    SumForMean,
    /// Each worker gets a contiguous part of data that is sorted by class, and goes through it in order.
    UnshuffledShards,
}

impl Mistake {
    /// All three.
    pub const ALL: [Self; 3] = [Self::UnsortedVariables, Self::SumForMean, Self::UnshuffledShards];

    /// What goes wrong, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::UnsortedVariables => {
                "The all-reduce adds numbers by their place in the message. Where the workers pack their variables in \
                 different orders, it adds weights of one layer to biases of another. All lengths still fit, so nothing \
                 complains; the workers' models drift apart, and each learns from its own rows, disturbed by the others."
            }
            Self::SumForMean => {
                "The sum of p gradients is p times their mean, so every step is p times too long. A learning rate that \
                 suits one worker overshoots."
            }
            Self::UnshuffledShards => {
                "Data that comes sorted by class gives each worker a few classes, one after the other. In each step \
                 the workers together see only some classes, and the model forgets the others. The gradients are summed \
                 correctly."
            }
        }
    }

    /// Averages the gradients with this mistake, or correctly when there is none.
    pub(super) fn average(
        mistake: Option<Self>,
        synchronisation: Synchronisation,
        gradients: &mut Gradients,
        workers: &mut dyn Communicator,
    ) -> Result<()> {
        match mistake {
            Some(Self::UnsortedVariables) => {
                let order = hash_map_order(gradients.names().len(), workers.rank());
                let mut own = gradients.reordered(&order);
                synchronisation.average(&mut own, workers)?;
                let mut back = vec![0; order.len()];
                order.iter().enumerate().for_each(|(place, &variable)| back[variable] = place);
                *gradients = own.reordered(&back);
                Ok(())
            }
            Some(Self::SumForMean) => {
                synchronisation.average(gradients, workers)?;
                let sum: Vec<f32> =
                    gradients.to_flat()?.iter().map(|mean| mean * workers.world_size() as f32).collect();
                gradients.set_flat(sum)
            }
            Some(Self::UnshuffledShards) | None => synchronisation.average(gradients, workers),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsortedVariables => "unsorted variables",
            Self::SumForMean => "sum for mean",
            Self::UnshuffledShards => "unshuffled shards",
        })
    }
}

/// An order that depends on the worker, as that of a hash map does, but is the same in every run.
fn hash_map_order(variables: usize, rank: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..variables).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(rank as u64));
    order
}
