//! What the device can't compute in is refused before anything runs.

use super::{complaint, guess};
use onramp::prelude::*;

#[test]
fn the_processor_refuses_bf16() {
    let training = Training::new(Mlp::new(8)).device(Device::Cpu).precision(Precision::Bf16);
    let texts = [
        complaint(training.run()),
        complaint(SharedTraining::new(training, 2).run()),
        complaint(StepTime::new(Mlp::new(8)).device(Device::Cpu).precision(Precision::Bf16).run()),
        complaint(DataParallel::new(Mlp::new(8)).device(Device::Cpu).precision(Precision::Bf16).run(&guess())),
        complaint(Mlp::new(8).build(0, &Device::Cpu).unwrap().in_precision(Precision::Bf16)),
    ];
    for text in texts {
        assert!(text.contains("the CPU can't train in bf16") && text.contains("Precision::F32"), "{text}");
    }
}

#[test]
fn a_description_without_a_precision_is_one_in_32_bits() {
    let text = Experiment::StepTime(StepTime::new(Mlp::new(8)).device(Device::Cpu)).to_json().unwrap();
    let old = text.replace(",\"device\":\"cpu\",\"precision\":\"f32\"", "");
    assert_ne!(text, old);
    assert_eq!(Experiment::from_json(&old).unwrap().to_json().unwrap(), text);
}
