//! Reduce-scatter and all-gather: the right numbers on threads, the right times in the replay.

use onramp::communication::{ThreadCommunicator, chunk};
use onramp::prelude::*;

const WORKERS: [usize; 6] = [1, 2, 3, 4, 5, 8];

/// Fewer numbers than workers, as many, and more with and without a remainder.
fn lengths(workers: usize) -> [usize; 6] {
    [0, 1, workers - 1, workers, 3 * workers + 2, 16 * workers]
}

/// Numbers whose sum depends on the order in it, so that equal bits are no accident.
fn numbers(rank: usize, length: usize) -> Vec<f32> {
    (0..length).map(|i| ((rank * 31 + i * 7) as f32 + 0.3).sin() * 10f32.powi((rank % 5) as i32)).collect()
}

/// What each worker's numbers are after `work`.
fn after(
    workers: usize,
    length: usize,
    work: impl Fn(&mut ThreadCommunicator, &mut [f32]) -> Result<(), Error> + Sync,
) -> Vec<Vec<f32>> {
    let team = Team::new(workers).unwrap();
    team.run(|mut worker| {
        let mut values = numbers(worker.rank(), length);
        work(&mut worker, &mut values)?;
        Ok(values)
    })
    .unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn chunks_cover_all_elements_once() {
    for workers in WORKERS {
        for length in lengths(workers) {
            let covered: Vec<usize> = (0..workers).flat_map(|rank| chunk(rank, workers, length)).collect();
            assert_eq!(covered, (0..length).collect::<Vec<_>>(), "{workers} workers, {length} numbers");
        }
    }
}

#[test]
fn a_reduce_scatter_gives_each_worker_the_sum_of_its_own_chunk() {
    for workers in WORKERS {
        for length in lengths(workers) {
            let results = Team::new(workers)
                .unwrap()
                .run(|mut worker| {
                    let mut values: Vec<f32> = (0..length).map(|i| (worker.rank() * 100 + i) as f32).collect();
                    let own = worker.reduce_scatter_sum(&mut values)?;
                    assert_eq!(own, chunk(worker.rank(), workers, length));
                    Ok(values[own].to_vec())
                })
                .unwrap();
            let ranks: usize = (0..workers).sum();
            let expected: Vec<f32> = (0..length).map(|i| (ranks * 100 + workers * i) as f32).collect();
            assert_eq!(results.concat(), expected, "{workers} workers, {length} numbers");
        }
    }
}

#[test]
fn an_all_gather_gives_everyone_the_chunks_of_all() {
    for workers in WORKERS {
        for length in lengths(workers) {
            let results = after(workers, length, |worker, values| worker.all_gather(values));
            let expected: Vec<f32> =
                (0..workers).flat_map(|rank| numbers(rank, length)[chunk(rank, workers, length)].to_vec()).collect();
            for result in results {
                assert_eq!(bits(&result), bits(&expected), "{workers} workers, {length} numbers");
            }
        }
    }
}

#[test]
fn the_two_halves_are_the_ring_bit_by_bit() {
    for workers in WORKERS {
        for length in lengths(workers) {
            let whole = after(workers, length, |worker, values| worker.all_reduce_sum(values));
            let halves = after(workers, length, |worker, values| {
                worker.reduce_scatter_sum(values)?;
                worker.all_gather(values)
            });
            for (whole_of_one, halves_of_one) in whole.iter().zip(&halves) {
                assert_eq!(bits(whole_of_one), bits(halves_of_one), "{workers} workers, {length} numbers");
                assert_eq!(bits(whole_of_one), bits(&whole[0]), "all workers must end with the same bits");
            }
        }
    }
}

#[test]
fn all_workers_end_with_the_same_bits_whatever_the_algorithm() {
    for algorithm in Algorithm::ALL {
        for workers in WORKERS {
            let sums = Team::new(workers).unwrap().algorithm(algorithm).run(|mut worker| {
                let mut values = numbers(worker.rank(), 3 * workers + 2);
                worker.all_reduce_sum(&mut values)?;
                Ok(values)
            });
            let sums = sums.unwrap();
            assert!(sums.iter().all(|sum| bits(sum) == bits(&sums[0])), "{algorithm}, {workers} workers");
        }
    }
}

#[test]
fn the_replay_takes_the_time_of_each_formula() {
    for link in [Link::lan(), Link::wan(), Link::data_center()] {
        for workers in WORKERS {
            // Divisible by every number of workers, so that all chunks are equal.
            let elements = 120 * 1_000;
            let (bytes, p) = (4.0 * elements as f64, workers as f64);
            let (alpha, rate) = (link.latency_seconds(), link.bytes_per_second());
            let half = (p - 1.0) * (alpha + bytes / (p * rate));
            let alone = |seconds: f64| if workers == 1 { 0.0 } else { seconds };
            for (collective, expected) in [
                (Collective::ReduceScatter, half),
                (Collective::AllGather, half),
                (Collective::AllReduce(Algorithm::Ring), 2.0 * half),
                (Collective::Broadcast { root: workers - 1 }, alone(alpha + (p - 1.0) * bytes / rate)),
                (Collective::Barrier, alone(2.0 * alpha)),
            ] {
                let formula = collective.seconds(&link, workers, bytes);
                let played = Replay::of(&link, workers, &[(collective, elements)]).unwrap().communication_seconds();
                for found in [formula, played] {
                    let near = (found - expected).abs() <= 1e-9 * expected;
                    assert!(near, "{link}, {collective:?}, {workers}: {found}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn calls_one_after_the_other_add_up() {
    let link = Link::lan();
    let calls = [(Collective::ReduceScatter, 80_000), (Collective::AllGather, 80_000)];
    let both = Replay::of(&link, 8, &calls).unwrap().communication_seconds();
    let ring = Replay::new(&link, Algorithm::Ring, 8, &[80_000]).communication_seconds();
    assert_eq!(both, ring);
}
