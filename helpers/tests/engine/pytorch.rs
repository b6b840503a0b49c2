//! The model's numbers against PyTorch's.
//!
//! The reference values come from these lines (PyTorch 2.15.0):
//!
//! ```python
//! import math, torch
//!
//! def wave(count, step, scale):
//!     return torch.tensor([scale * math.sin(step * (i + 1)) for i in range(count)])
//!
//! w1, b1 = wave(30, 0.7, 0.8).reshape(6, 5), wave(5, 0.5, 0.3)
//! w2, b2 = wave(25, 0.7, 0.8).reshape(5, 5), wave(5, 0.5, 0.3)
//! w3, b3 = wave(20, 0.7, 0.8).reshape(5, 4), wave(4, 0.5, 0.3)
//! variables = [b1, w1, b2, w2, b3, w3]
//! for v in variables: v.requires_grad_()
//! x, y = wave(18, 1.3, 1.0).reshape(3, 6), torch.tensor([1, 3, 0])
//! h = torch.relu(torch.relu(x @ w1 + b1) @ w2 + b2)
//! scores = h @ w3 + b3
//! loss = torch.nn.functional.cross_entropy(scores, y)
//! loss.backward()
//! torch.optim.SGD(variables, lr=0.5).step()
//! print(scores.flatten().tolist(), loss.item(), [v.grad.flatten().tolist() for v in variables], b1.tolist())
//! ```
//!
//! The optimisers' come from the same variables, each time taken anew, and three steps of
//! `SGD(variables, lr=0.5, momentum=0.9, weight_decay=0.01)`, of `AdamW(variables, lr=0.1)`, and of
//! `SGD(variables, lr=0.5)` after `torch.nn.utils.clip_grad_norm_(variables, 0.05)`.

use onramp::data::Dataset;
use onramp::model::Network;
use onramp::prelude::*;
use onramp::training::{Gradients, Optimiser, evaluate};

const SCORES: [f64; 12] = [
    0.12470679730176926,
    0.2792196273803711,
    0.35933175683021545,
    0.33791935443878174,
    0.16931089758872986,
    0.2826325297355652,
    0.31994834542274475,
    0.2742622196674347,
    0.19508133828639984,
    0.30422261357307434,
    0.3272038698196411,
    0.26377081871032715,
];
const LOSS: f64 = 1.4088701009750366;
/// In the order of the variables' names.
const GRADIENTS: [&[f64]; 6] = [
    &[-0.0368914604, -0.0587074459, 0.0682972893, -0.0692074299, -0.0716037154],
    &[
        0.0609346442,
        0.0201090425,
        -0.0256161802,
        0.0278678574,
        -0.0689943433,
        -0.0397930034,
        0.129563808,
        -0.155360311,
        0.161412552,
        -0.0369118154,
        -0.0822238103,
        0.0492072962,
        -0.0575012267,
        0.0584874898,
        0.0492466092,
        -0.00419653952,
        -0.103238031,
        0.124597296,
        -0.130121887,
        0.0632586405,
        0.0799786672,
        -0.104439393,
        0.124160483,
        -0.128102392,
        -0.0154033899,
        0.046984937,
        0.0473631881,
        -0.058171723,
        0.0615874082,
        -0.0714994147,
    ],
    &[0.0444139689, -0.0840952322, 0.114058875, -0.130842373, 0.132506371],
    &[
        0.0547475815,
        -0.0340488702,
        0.00941563398,
        0.0163056441,
        -0.040142715,
        0.0176520459,
        0.00965788402,
        -0.0358517841,
        0.0579028241,
        -0.0732629001,
        -0.0218065307,
        0.0257762037,
        -0.0267672837,
        0.0246652626,
        -0.0197130591,
        -0.0492566973,
        0.0307586435,
        -0.00870625023,
        -0.014352195,
        0.0357521586,
        -0.0345039889,
        0.0179839283,
        0.000614283606,
        -0.019141512,
        0.0354568325,
    ],
    &[-0.109044939, -0.0791297033, 0.266381204, -0.0782065392],
    &[
        -0.0433456674,
        0.0157577619,
        0.0540001877,
        -0.0264122784,
        -0.0706489086,
        0.0405163169,
        0.0898653194,
        -0.059732724,
        -0.0709317625,
        0.0417152792,
        0.0986279994,
        -0.0694115087,
        -0.0452120826,
        0.0179556552,
        0.0789783895,
        -0.0517219529,
        -0.00493567251,
        -0.0191159733,
        0.0385687724,
        -0.0145171294,
    ],
];
/// layer1.bias after a step of 0.5 times the gradient.
const STEPPED: [f64; 5] = [0.162273392, 0.281795025, 0.265099853, 0.307392955, 0.215343505];

/// layer1.bias after three steps of each optimiser, every gradient taken anew.
const MOMENTUM: [f64; 5] =
    [0.2908676862716675, 0.27881792187690735, 0.146065354347229, 0.4389740228652954, 0.3105222284793854];
const ADAMW: [f64; 5] =
    [0.4304882884025574, 0.28521662950515747, 0.06980805099010468, 0.5091503858566284, 0.2663808763027191];
const CLIPPED: [f64; 5] =
    [0.14809557795524597, 0.2590119540691376, 0.29167118668556213, 0.28049832582473755, 0.18739713728427887];

fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| (scale * (step * (i + 1) as f64).sin()) as f32).collect()
}

fn network() -> Network {
    let initial = |name: &str, shape: &[usize]| {
        let count = shape.iter().product();
        if name.ends_with(".bias") { wave(count, 0.5, 0.3) } else { wave(count, 0.7, 0.8) }
    };
    Mlp::new(5).inputs(6).outputs(4).build_with(&Device::Cpu, initial).unwrap()
}

fn rows() -> Dataset {
    Dataset::new("waves", 6, 4, wave(18, 1.3, 1.0), vec![1, 3, 0]).unwrap()
}

fn assert_near(ours: &[f32], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (own, its)) in ours.iter().zip(theirs).enumerate() {
        assert!((f64::from(*own) - its).abs() < 1e-6, "{what} at {place}: {own}, PyTorch says {its}");
    }
}

#[test]
fn scores_equal_pytorchs() {
    let network = network();
    let batch = rows().batch_range(0, 3, network.device()).unwrap();
    let scores = network.forward(&batch.features).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_near(&scores, &SCORES, "scores");
}

#[test]
fn loss_and_gradients_equal_pytorchs() {
    let network = network();
    let batch = rows().batch_range(0, 3, network.device()).unwrap();
    let (loss, gradients) = Gradients::of(&network, &batch).unwrap();
    assert!((loss - LOSS).abs() < 1e-6, "loss {loss}, PyTorch says {LOSS}");
    let names = ["layer1.bias", "layer1.weight", "layer2.bias", "layer2.weight", "layer3.bias", "layer3.weight"];
    assert_eq!(gradients.names(), names);
    for ((name, tensor), reference) in names.iter().zip(gradients.tensors()).zip(GRADIENTS) {
        assert_near(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), reference, name);
    }
}

#[test]
fn a_step_of_descent_equals_pytorchs() {
    let network = network();
    let batch = rows().batch_range(0, 3, network.device()).unwrap();
    let (_, gradients) = Gradients::of(&network, &batch).unwrap();
    Optimiser::sgd(0.5).start(&network).unwrap().step(&network, &gradients).unwrap();
    assert_near(&network.variables()[0].1.to_vec1::<f32>().unwrap(), &STEPPED, "layer1.bias");
}

#[test]
fn three_steps_of_each_optimiser_equal_pytorchs() {
    let momentum = Optimiser::sgd(0.5).momentum(0.9).weight_decay(0.01);
    let clipped = Optimiser::sgd(0.5).clip_norm(0.05);
    for (optimiser, reference) in [(momentum, MOMENTUM), (Optimiser::adamw(0.1), ADAMW), (clipped, CLIPPED)] {
        let network = network();
        let batch = rows().batch_range(0, 3, network.device()).unwrap();
        let mut state = optimiser.start(&network).unwrap();
        for _ in 0..3 {
            let (_, gradients) = Gradients::of(&network, &batch).unwrap();
            state.step(&network, &gradients).unwrap();
        }
        assert_eq!(state.steps(), 3);
        assert_near(&network.variables()[0].1.to_vec1::<f32>().unwrap(), &reference, &format!("{optimiser:?}"));
    }
}

#[test]
fn evaluation_uses_the_same_loss_and_counts_the_right_rows() {
    let evaluation = evaluate(&network(), &rows()).unwrap();
    assert!((evaluation.loss - LOSS).abs() < 1e-6);
    // The highest scores are at classes 2, 2 and 2; none of the labels 1, 3, 0 is.
    assert_eq!(evaluation.accuracy, 0.0);
}
