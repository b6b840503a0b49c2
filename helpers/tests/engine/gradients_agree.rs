//! The gradients of p workers, averaged, are those of one worker on all the rows.

use onramp::data::Dataset;
use onramp::prelude::*;
use onramp::training::Gradients;

const ROWS_PER_WORKER: usize = 6;

fn model() -> Mlp {
    Mlp::new(24).inputs(17).outputs(5)
}

fn data(rows: usize) -> Dataset {
    let features = (0..rows * 17).map(|i| (1.7 * i as f32).sin()).collect();
    let labels = (0..rows).map(|row| (row * 7 % 5) as u32).collect();
    Dataset::new("waves", 17, 5, features, labels).unwrap()
}

/// The gradients that each worker ends with.
fn averaged(workers: usize, algorithm: Algorithm, synchronisation: Synchronisation) -> Vec<Vec<f32>> {
    let data = data(workers * ROWS_PER_WORKER);
    let team = Team::new(workers).unwrap().algorithm(algorithm);
    team.run(|mut worker| {
        let network = model().build(3, &Device::Cpu)?;
        let start = worker.rank() * ROWS_PER_WORKER;
        let batch = data.batch_range(start, start + ROWS_PER_WORKER, network.device())?;
        let (_, mut gradients) = Gradients::of(&network, &batch)?;
        synchronisation.average(&mut gradients, &mut worker)?;
        gradients.to_flat()
    })
    .unwrap()
}

fn joined(workers: usize) -> Vec<f32> {
    let network = model().build(3, &Device::Cpu).unwrap();
    let rows = workers * ROWS_PER_WORKER;
    let batch = data(rows).batch_range(0, rows, network.device()).unwrap();
    Gradients::of(&network, &batch).unwrap().1.to_flat().unwrap()
}

/// Length of the difference over the length of the reference.
fn distance(ours: &[f32], reference: &[f32]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let square = |value: f32| f64::from(value).powi(2);
    let difference: f64 = ours.iter().zip(reference).map(|(a, b)| square(a - b)).sum();
    (difference / reference.iter().map(|b| square(*b)).sum::<f64>()).sqrt()
}

#[test]
fn workers_together_have_the_gradient_of_one_worker_on_all_rows() {
    // Buckets of 1,000 bytes cut through variables; the last one is not full.
    let ways = [Synchronisation::PerVariable, Synchronisation::default(), Synchronisation::Buckets { bytes: 1000 }];
    for workers in [2, 3, 4] {
        let reference = joined(workers);
        for algorithm in Algorithm::ALL {
            for way in ways {
                for (rank, gradient) in averaged(workers, algorithm, way).iter().enumerate() {
                    let error = distance(gradient, &reference);
                    assert!(error < 1e-5, "{workers} workers, {algorithm}, {way}, rank {rank}: off by {error}");
                }
            }
        }
    }
}

#[test]
fn the_joined_gradient_is_not_what_one_worker_has_alone() {
    // Otherwise the test above could not fail.
    let network = model().build(3, &Device::Cpu).unwrap();
    let batch = data(12).batch_range(0, 6, network.device()).unwrap();
    let alone = Gradients::of(&network, &batch).unwrap().1.to_flat().unwrap();
    assert!(distance(&alone, &joined(2)) > 0.1);
}

#[test]
fn all_workers_end_with_the_same_bits() {
    for algorithm in Algorithm::ALL {
        let all = averaged(4, algorithm, Synchronisation::default());
        assert!(all.iter().all(|gradient| gradient == &all[0]), "{algorithm}");
    }
}

#[test]
fn buckets_and_single_variables_give_the_same_numbers() {
    // A central sum adds in the order of ranks wherever the cuts are, so even the bits agree.
    let single = averaged(3, Algorithm::Central, Synchronisation::PerVariable);
    for bytes in [4, 1000, 25 << 20] {
        assert_eq!(averaged(3, Algorithm::Central, Synchronisation::Buckets { bytes }), single, "{bytes} bytes");
    }
    // Around a ring the order of the sum depends on the cuts: equal up to rounding.
    let single = averaged(3, Algorithm::Ring, Synchronisation::PerVariable);
    let buckets = averaged(3, Algorithm::Ring, Synchronisation::default());
    assert!(distance(&buckets[0], &single[0]) < 1e-6);
}
