//! A run that was stopped goes on as if it had not been, and a file that is not its checkpoint is refused.

use std::path::Path;

use onramp::prelude::*;

use super::complaint;

/// AdamW and a schedule, so that there is more to keep than weights; micro-batches and several passes over the rows.
fn training() -> Training {
    let optimiser = Optimiser::adamw(3e-3).warm_up(10).cosine(120);
    let training = Training::new(Mlp::new(16).inputs(64)).data(Source::digits()).rows_per_step(48);
    training.micro_batches(2).optimiser(optimiser).steps(120).evaluate_every(25)
}

/// Several threads may add in another order.
fn on_one_thread<T: Send>(work: impl Fn() -> Result<T, Error> + Sync) -> T {
    Team::new(1).unwrap().run(|_| work()).unwrap().pop().unwrap()
}

fn saved(path: &Path, steps: usize) -> TrainingRun {
    on_one_thread(|| training().steps(steps).run_saving(&Checkpoints::at(path).every(50)))
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (whole_file, parts_file) = (folder.path().join("whole"), folder.path().join("parts"));
    let whole = saved(&whole_file, 120);
    for steps in [37, 60, 120] {
        saved(&parts_file, steps);
    }
    let resumed = saved(&parts_file, 120);
    assert_eq!(whole.losses, resumed.losses);
    // Each part's end is evaluated, too.
    assert_eq!(whole.evaluations.last(), resumed.evaluations.last());
    let (whole, parts) = (Checkpoint::load(&whole_file).unwrap(), Checkpoint::load(&parts_file).unwrap());
    assert_eq!((whole.steps, whole.variables), (parts.steps, parts.variables));
    assert_eq!(whole.moments, parts.moments);
    // And it is the run without any checkpoint.
    assert_eq!(on_one_thread(|| training().run()).losses, resumed.losses);
}

#[test]
fn another_run_s_checkpoint_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    saved(&path, 10);
    let resume = |training: Training| complaint(training.run_saving(&Checkpoints::at(&path)));
    let text = resume(training().rows_per_step(32));
    assert!(text.contains("rows_per_step is 48") && text.contains("this run's is 32"), "{text}");
    assert!(resume(training().seed(5)).contains("seed is 0"));
    assert!(resume(training().optimiser(Optimiser::sgd(0.1))).contains("optimiser is"));
    assert!(complaint(training().run_saving(&Checkpoints::at(&path).every(0))).contains("every 0 steps"));
}

#[test]
fn a_file_that_is_cut_off_changed_or_foreign_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    saved(&path, 10);
    let content = std::fs::read(&path).unwrap();
    let mut changed = content.clone();
    *changed.last_mut().unwrap() ^= 1;
    let half = content[..content.len() / 2].to_vec();
    let cases = [
        (half, "cut off or damaged"),
        (content[..40].to_vec(), "cut off or damaged"),
        (changed, "checksum"),
        (b"a,b\n1,2\n".to_vec(), "not a checkpoint"),
        (Vec::new(), "not a checkpoint"),
    ];
    for (bytes, part) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let text = complaint(training().run_saving(&Checkpoints::at(&path)));
        assert!(text.contains(part) && text.contains("run.safetensors"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    assert!(complaint(Checkpoint::load(&folder.path().join("nowhere"))).contains("can't be read"));
    let nowhere = Checkpoints::at(folder.path().join("no/folder/run"));
    assert!(complaint(training().steps(2).run_saving(&nowhere)).contains("can't be written"));
}

#[test]
fn saving_leaves_nothing_but_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    saved(&folder.path().join("run.safetensors"), 120);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["run.safetensors"]);
}
