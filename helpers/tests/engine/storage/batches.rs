//! Batches: each row once in a pass, and a position to go on from.

use std::fs;

use onramp::data::Teacher;
use onramp::storage::{Batches, Layout, Position, ShardBy, Store};

use super::{PARTS, folder, rows_of, sorted};
use crate::engine::support::complaint;

#[test]
fn a_pass_has_each_row_once_over_all_workers() {
    let folder = folder();
    let teacher = Teacher::new(20_480).columns(4);
    let store = Store::write(folder.path().join("t"), teacher, PARTS).unwrap();
    let data = teacher.generate().unwrap();
    let all = sorted((0..data.rows()).map(|row| data.row(row).to_vec()).collect());
    let description = Batches::of(&store, "label").rows(1024).window(2).seed(5);
    // Five files of one row group each: three for one worker, two for the other.
    let mut shared = rows_of(&mut description.clone().shard(0, 2).start().unwrap(), 12);
    shared.extend(rows_of(&mut description.clone().shard(1, 2).start().unwrap(), 8));
    assert!(sorted(shared) == all);
    let mut alone = description.clone().start().unwrap();
    let (first, second) = (rows_of(&mut alone, 20), rows_of(&mut alone, 20));
    assert!(first != second, "two passes have the same order");
    assert!(sorted(first.clone()) == all && sorted(second) == all);
    assert!(first != rows_of(&mut description.clone().seed(6).start().unwrap(), 20), "two seeds have the same order");
    // Rows of one row group don't stay together.
    let labels = description.start().unwrap().next().unwrap().unwrap().labels;
    assert_eq!(labels.dims(), [1024]);
}

#[test]
fn a_run_that_is_resumed_sees_the_rows_that_it_would_have_seen() {
    let folder = folder();
    let store = Store::write(folder.path().join("t"), Teacher::new(12_288).columns(2), PARTS).unwrap();
    let description = Batches::of(&store, "label").rows(1000).window(2);
    for taken in [0, 1, 5, 9, 10, 13, 14, 30] {
        let mut whole = description.clone().start().unwrap();
        rows_of(&mut whole, taken);
        let position = whole.position();
        let text = serde_json::to_string(&position).unwrap();
        let position: Position = serde_json::from_str(&text).unwrap();
        let mut resumed = description.clone().from(position).start().unwrap();
        assert!(rows_of(&mut whole, 6) == rows_of(&mut resumed, 6), "after {taken} batches, at {position:?}");
        assert_eq!(whole.position(), resumed.position());
    }
}

#[test]
fn batches_of_nothing_are_refused() {
    let folder = folder();
    let store = Store::write(folder.path().join("t.parquet"), Teacher::new(100).columns(2), Layout::Parquet).unwrap();
    let text = complaint(Batches::of(&store, "label").rows(0).start().map(|_| ()));
    assert!(text.contains("batches of 0 rows"), "{text}");
    let text = complaint(Batches::of(&store, "label").shard(0, 2).start().map(|_| ()));
    assert!(text.contains("shard 0 of 2 can't be cut from 1 row groups"), "{text}");
    let text = complaint(Batches::of(&store, "class").start().unwrap().next().unwrap());
    assert!(text.contains("has no column 'class'; its columns are x0, x1, label"), "{text}");
}

#[test]
fn workers_with_files_of_their_own_see_each_row_once() {
    let folder = folder();
    let teacher = Teacher::new(5 * 4096).columns(3);
    let store = Store::write(folder.path().join("t"), teacher, PARTS).unwrap();
    let data = teacher.generate().unwrap();
    let rows = |from: usize, to: usize| (from * 4096..to * 4096).map(|row| data.row(row).to_vec()).collect::<Vec<_>>();
    let description = Batches::of(&store, "label").rows(1024).window(2).shard_by(ShardBy::Files);
    let mut second = description.clone().shard(1, 2).start().unwrap();
    assert_eq!(second.shared_by(), ShardBy::Files);
    // Two passes over the files 1 and 3, and no other need be there.
    let own = sorted([rows(1, 2), rows(3, 4)].concat());
    assert!(sorted(rows_of(&mut second, 8)) == own);
    fs::remove_file(&store.files()[0]).unwrap();
    assert!(sorted(rows_of(&mut description.clone().shard(1, 2).start().unwrap(), 8)) == own);
    let text = complaint(description.shard(0, 2).start().map(|_| ()));
    assert!(text.contains("part=0/rows.parquet is missing"), "{text}");
}

#[test]
fn a_table_that_changes_is_noticed() {
    let folder = folder();
    let path = folder.path().join("t");
    let store = Store::write(&path, Teacher::new(3 * 4096).columns(2), PARTS).unwrap();
    let write = |name: &str, rows: usize, columns: usize| {
        let file = folder.path().join(name);
        Store::write(&file, Teacher::new(rows).columns(columns), Layout::Parquet).unwrap();
        fs::read(file).unwrap()
    };
    let whole = fs::read(&store.files()[2]).unwrap();
    let complaint_with = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => {
            fs::write(&store.files()[2], bytes).unwrap();
            complaint(Batches::of(&store, "label").start().map(|_| ()))
        }
        None => {
            fs::remove_file(&store.files()[2]).unwrap();
            complaint(Batches::of(&store, "label").start().map(|_| ()))
        }
    };
    let (wide, short) = (write("wide.parquet", 4096, 3), write("short.parquet", 100, 2));
    let text = complaint_with(Some(&wide));
    assert!(text.contains("part=2/rows.parquet has a column 'x2', which") && text.contains("part=0"), "{text}");
    let text = complaint_with(None);
    assert!(text.contains("part=2/rows.parquet is missing"), "{text}");
    // The same after the first batch: the error comes when the file is read, and then the stream has ended.
    for (changed, words) in
        [(Some(&wide), "has changed since"), (Some(&short), "has changed since"), (None, "is missing")]
    {
        fs::write(&store.files()[2], &whole).unwrap();
        let mut stream = Batches::of(&store, "label").rows(4096).window(1).seed(1).start().unwrap();
        stream.next().unwrap().unwrap();
        match changed {
            Some(bytes) => fs::write(&store.files()[2], bytes).unwrap(),
            None => fs::remove_file(&store.files()[2]).unwrap(),
        }
        // It may have been read ahead in this pass, and is read in the next.
        let error = stream.by_ref().take(9).find_map(Result::err).unwrap().to_string();
        assert!(error.contains("part=2/rows.parquet") && error.contains(words), "{error}");
        assert!(stream.next().unwrap().is_err());
    }
}
