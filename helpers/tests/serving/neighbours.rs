//! Nearest neighbours: the fast search against a plain loop, and cells against both.

use onramp::serving::Neighbours;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::engine::support::complaint;

fn normals(count: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.sample(StandardNormal)).collect()
}

/// Rows around 20 centres, or anywhere.
fn rows(count: usize, clustered: bool, seed: u64) -> Vec<f32> {
    let centres = normals(20 * 64, 99);
    let mut values = normals(64 * count, seed);
    if clustered {
        for (number, row) in values.chunks_exact_mut(64).enumerate() {
            let centre = (number * 7 + seed as usize) % 20 * 64;
            row.iter_mut().zip(&centres[centre..]).for_each(|(value, centre)| *value = 0.3 * *value + centre);
        }
    }
    values
}

/// By the definition, in 64-bit floats.
fn plain(rows: &[f32], query: &[f32], count: usize) -> Vec<(usize, f64)> {
    let columns = query.len();
    let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let mut all: Vec<(usize, f64)> = rows.chunks_exact(columns).map(distance).enumerate().collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1));
    all.truncate(count);
    all
}

#[test]
fn the_search_finds_what_a_plain_loop_finds() {
    for (count, columns) in [(1, 3), (7, 1), (500, 5), (3_000, 64)] {
        let rows = normals(count * columns, 1);
        let table = Neighbours::new(rows.clone(), columns).unwrap();
        assert_eq!((table.len(), table.columns()), (count, columns));
        for seed in 10..15 {
            let query = normals(columns, seed);
            let (found, expected) = (table.nearest(&query, 10).unwrap(), plain(&rows, &query, 10));
            assert_eq!(found.len(), expected.len());
            for (found, (row, distance)) in found.iter().zip(expected) {
                assert_eq!(found.row, row);
                assert!(
                    (f64::from(found.distance) - distance).abs() < 1e-3 * (1.0 + distance),
                    "{found:?}, {distance}"
                );
            }
        }
    }
}

/// Mean share of the true ten neighbours.
fn recall(clustered: bool, probes: usize) -> f64 {
    let table = Neighbours::new(rows(4_000, clustered, 1), 64).unwrap();
    let cells = table.cells(60, 0).unwrap();
    let queries = rows(40, clustered, 2);
    let found = queries.chunks_exact(64).map(|query| {
        let truth = table.nearest(query, 10).unwrap();
        let (found, looked_at) = cells.nearest(query, 10, probes).unwrap();
        assert!(found.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
        assert!(looked_at <= 4_000 && (probes < 60 || looked_at == 4_000));
        truth.iter().filter(|one| found.iter().any(|other| other.row == one.row)).count()
    });
    found.sum::<usize>() as f64 / 400.0
}

#[test]
fn all_cells_find_everything_and_fewer_find_less() {
    for clustered in [true, false] {
        let recalls: Vec<f64> = [1, 4, 16, 60].into_iter().map(|probes| recall(clustered, probes)).collect();
        assert_eq!(recalls[3], 1.0);
        assert!(recalls.windows(2).all(|pair| pair[0] <= pair[1]), "{recalls:?}");
        assert!(recalls[0] < 0.99, "{recalls:?}");
    }
}

#[test]
fn cells_find_more_where_rows_lie_in_clusters() {
    for probes in [1, 4] {
        let (clustered, anywhere) = (recall(true, probes), recall(false, probes));
        assert!(clustered > anywhere + 0.2, "{clustered} against {anywhere}");
    }
}

#[test]
fn rows_that_are_all_alike_are_found_too() {
    let table = Neighbours::new(vec![1.0; 300], 3).unwrap();
    let cells = table.cells(10, 0).unwrap();
    let (found, looked_at) = cells.nearest(&[1.0, 1.0, 2.0], 4, 10).unwrap();
    assert_eq!((found.len(), looked_at, found[0].distance), (4, 100, 1.0));
}

#[test]
fn what_can_not_be_searched_is_refused() {
    assert!(complaint(Neighbours::new(vec![1.0; 5], 2)).contains("5 numbers don't make rows of 2"));
    assert!(complaint(Neighbours::new(vec![1.0, f32::NAN, 0.0, 0.0], 2)).contains("row 0 has the number NaN"));
    let table = Neighbours::new(normals(200, 1), 2).unwrap();
    assert!(complaint(table.nearest(&[1.0], 1)).contains("a query of 1 numbers"));
    assert!(complaint(table.nearest(&[1.0, f32::INFINITY], 1)).contains("finite"));
    assert!(complaint(table.cells(101, 0)).contains("100 rows can't lie in 101 cells"));
    assert!(table.cells(0, 0).is_err());
    assert!(complaint(table.cells(5, 0).unwrap().nearest(&[0.0, 0.0], 1, 6)).contains("6 of 5 cells"));
    assert_eq!(table.nearest(&[0.0, 0.0], 0).unwrap(), []);
    // More than there are is all of them.
    assert_eq!(table.nearest(&[0.0, 0.0], usize::MAX).unwrap().len(), 100);
    assert_eq!(table.cells(5, 0).unwrap().nearest(&[0.0, 0.0], usize::MAX, 5).unwrap().0.len(), 100);
}
