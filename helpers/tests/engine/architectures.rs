//! The convnet's and the transformer's numbers against PyTorch's, and their counts against counts by hand.
//!
//! The reference values come from these lines (PyTorch 2.15.0):
//!
//! ```python
//! import math, torch
//! from torch.nn.functional import conv2d, cross_entropy, layer_norm, scaled_dot_product_attention
//!
//! def wave(*shape, step=0.7, scale=0.3):
//!     count = math.prod(shape)
//!     return torch.tensor([scale * math.sin(step * (i + 1)) for i in range(count)]).reshape(shape).requires_grad_()
//!
//! def report(scores, labels, v):
//!     loss = cross_entropy(scores, labels)
//!     loss.backward()
//!     print(loss.item(), [v[name].grad.norm().item() for name in sorted(v)])
//!
//! # T(64): 2 layers, 5 tokens out of 7
//! shapes = {"embedding.position": (5, 64), "embedding.token": (7, 64), "scores.weight": (64, 7), "scores.bias": (7,)}
//! for l in ["layer000.", "layer001."]:
//!     for n, i, o in [("attention.in", 64, 192), ("attention.out", 64, 64), ("dense.in", 64, 256), ("dense.out", 256, 64)]:
//!         shapes |= {f"{l}{n}.weight": (i, o), f"{l}{n}.bias": (o,)}
//! for n in ["norm", *(f"{l}{b}.norm" for l in ["layer000.", "layer001."] for b in ["attention", "dense"])]:
//!     shapes |= {f"{n}.scale": (64,), f"{n}.bias": (64,)}
//! v = {name: wave(*shape) for name, shape in shapes.items()}
//! dense = lambda x, n: x @ v[f"{n}.weight"] + v[f"{n}.bias"]
//! norm = lambda x, n: layer_norm(x, (64,), v[f"{n}.scale"], v[f"{n}.bias"])
//! heads = lambda x: x.reshape(3, 5, 2, 32).transpose(1, 2)
//! tokens, next = torch.arange(15).reshape(3, 5) * 3 % 7, torch.arange(15) * 5 % 7
//! x = v["embedding.token"][tokens] + v["embedding.position"]
//! for l in ["layer000.", "layer001."]:
//!     q, k, w = dense(norm(x, f"{l}attention.norm"), f"{l}attention.in").split(64, -1)
//!     mixed = scaled_dot_product_attention(heads(q), heads(k), heads(w), is_causal=True)
//!     x = x + dense(mixed.transpose(1, 2).reshape(3, 5, 64), f"{l}attention.out")
//!     x = x + dense(torch.relu(dense(norm(x, f"{l}dense.norm"), f"{l}dense.in")), f"{l}dense.out")
//! report(dense(norm(x, "norm"), "scores").reshape(15, 7), next, v)
//!
//! # C(3) over images of 8 by 8 pixels in 4 classes
//! shapes = {"convolution1": (9, 3), "convolution2": (27, 6), "dense": (24, 4)}
//! v = {f"{n}.{p}": wave(*(s if p == "weight" else s[1:])) for n, s in shapes.items() for p in ["weight", "bias"]}
//! def convolution(x, n):
//!     i, o = shapes[n]
//!     kernel = v[f"{n}.weight"].reshape(3, 3, i // 9, o).permute(3, 2, 0, 1)
//!     return torch.relu(conv2d(x, kernel, v[f"{n}.bias"], stride=2, padding=1))
//! x = wave(5, 64, step=1.3, scale=1.0).detach().reshape(5, 1, 8, 8)
//! x = convolution(convolution(x, "convolution1"), "convolution2").permute(0, 2, 3, 1).reshape(5, 24)
//! report(x @ v["dense.weight"] + v["dense.bias"], torch.arange(5) % 4, v)
//! ```

use candle_core::Tensor;
use onramp::data::Batch;
use onramp::model::Network;
use onramp::prelude::*;
use onramp::training::Gradients;

use super::complaint;

const TRANSFORMER_LOSS: f64 = 2.556380271911621;
/// The length of each variable's gradient, in the order of the names.
const TRANSFORMER_GRADIENTS: [f64; 30] = [
    0.70073193,
    0.79274809,
    0.1697806,
    0.32588845,
    0.24734502,
    0.092408635,
    0.14322874,
    0.19417682,
    0.24946429,
    0.4742555,
    0.036865044,
    0.068641506,
    0.13392346,
    0.38436475,
    0.17412689,
    0.42800307,
    0.25464895,
    0.18378493,
    0.12295088,
    0.14225069,
    0.24811535,
    0.62971759,
    0.035430767,
    0.04992554,
    0.121594,
    0.35781303,
    0.83447522,
    0.82211441,
    0.34807652,
    0.92756897,
];
const CONVNET_LOSS: f64 = 1.391598105430603;
const CONVNET_GRADIENTS: [f64; 6] = [0.030942705, 0.083957337, 0.058423378, 0.29459435, 0.18396252, 0.13893805];

fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| (scale * (step * (i + 1) as f64).sin()) as f32).collect()
}

/// With the reference's values in all variables.
fn network(model: impl Architecture) -> Network {
    model.build_with(&Device::Cpu, |_, shape| wave(shape.iter().product(), 0.7, 0.3)).unwrap()
}

fn batch(features: Vec<f32>, columns: usize, labels: Vec<u32>) -> Batch {
    let rows = features.len() / columns;
    let device = Device::Cpu.open().unwrap();
    Batch {
        labels: Tensor::from_vec(labels.clone(), labels.len(), &device).unwrap(),
        features: Tensor::from_vec(features, (rows, columns), &device).unwrap(),
    }
}

fn agrees(network: &Network, batch: &Batch, loss: f64, lengths: &[f64]) {
    let (found, gradients) = Gradients::of(network, batch).unwrap();
    assert!((found / loss - 1.0).abs() < 1e-5, "loss {found}, PyTorch's {loss}");
    assert_eq!(gradients.tensors().len(), lengths.len());
    for ((name, gradient), length) in gradients.names().iter().zip(gradients.tensors()).zip(lengths) {
        let squares = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let found = f64::from(squares).sqrt();
        assert!((found / length - 1.0).abs() < 1e-4, "{name}: {found}, PyTorch's {length}");
    }
}

#[test]
fn the_transformer_s_loss_and_gradients_are_those_of_pytorch() {
    let network = network(Transformer::new(64).context(5).vocabulary(7));
    let tokens = (0..15).map(|i| (i * 3 % 7) as f32).collect();
    let next = (0..15).map(|i| i * 5 % 7).collect();
    agrees(&network, &batch(tokens, 5, next), TRANSFORMER_LOSS, &TRANSFORMER_GRADIENTS);
}

#[test]
fn the_convnet_s_loss_and_gradients_are_those_of_pytorch() {
    let network = network(Convnet::new(3).side(8).outputs(4));
    let labels = (0..5).map(|i| i % 4).collect();
    agrees(&network, &batch(wave(5 * 64, 1.3, 1.0), 64, labels), CONVNET_LOSS, &CONVNET_GRADIENTS);
}

#[test]
fn a_token_is_not_seen_by_those_before_it() {
    let network = Transformer::new(64).context(6).vocabulary(9).build(1, &Device::Cpu).unwrap();
    let scores = |last: f32| {
        let rows = batch(vec![1.0, 5.0, 2.0, 8.0, 3.0, last], 6, vec![0; 6]);
        network.forward(&rows.features).unwrap().to_vec2::<f32>().unwrap()
    };
    let (one, other) = (scores(0.0), scores(7.0));
    assert_eq!(one[..5], other[..5]);
    assert_ne!(one[5], other[5]);
}

#[test]
fn counts_are_those_by_hand() {
    let mlp = Mlp::new(100);
    assert_eq!(mlp.parameters(), 89_610);
    assert_eq!(mlp.flops_per_row(), 6.0 * 89_610.0 - 2.0 * 784.0 * 100.0);
    assert_eq!(mlp.activations_per_row(), 210);
    // The parameters six times, then 784 numbers of a row once and its 210 activations three times.
    assert_eq!(mlp.step_bytes(10), 4.0 * (6.0 * 89_610.0 + 10.0 * (784.0 + 3.0 * 210.0)));
    assert_eq!(mlp.bytes_per_row(10), mlp.step_bytes(10) / 10.0);

    // Places 14 x 14 and 7 x 7; patches of 9 and 9 x 16; 49 x 32 numbers reach the dense layer.
    let convnet = Convnet::new(16);
    assert_eq!(convnet.parameters(), (9 * 16 + 16) + (144 * 32 + 32) + (1_568 * 10 + 10));
    let multiplications = [196 * 9 * 16, 49 * 144 * 32, 1_568 * 10];
    assert_eq!(
        convnet.flops_per_row(),
        (4 * multiplications[0] + 6 * multiplications[1] + 6 * multiplications[2]) as f64
    );
    assert_eq!(convnet.activations_per_row(), 196 * 16 + 49 * 32 + 10);

    // 12 w^2 + 13 w in a layer: weights, then biases of 3 w, w, 4 w, w, and twice a scale and a bias.
    let transformer = Transformer::new(64).context(20).vocabulary(50);
    let layer = 12 * 64 * 64 + 13 * 64;
    assert_eq!(transformer.parameters(), 2 * layer + (20 + 50) * 64 + 2 * 64 + (64 * 50 + 50));
    let per_token = 6 * (2 * 12 * 64 * 64 + 64 * 50) + 2 * 12 * 20 * 64;
    assert_eq!(transformer.flops_per_row(), (20 * per_token) as f64);
    // Embedding, last norm and scores; in a layer 12 w, and 2 heads of 20 x 20.
    assert_eq!(transformer.activations_per_row(), 20 * (64 + 64 + 50) + 2 * (20 * 12 * 64 + 2 * 20 * 20));
}

#[test]
fn the_counted_parameters_are_those_of_the_network() {
    let models: [Model; 3] = [Mlp::new(20).into(), Convnet::new(5).into(), Transformer::new(96).into()];
    for model in models {
        let network = model.build(0, &Device::Cpu).unwrap();
        assert_eq!(network.parameters().unwrap().len(), model.parameters(), "{model:?}");
        let lengths: Vec<_> = network.variables().iter().map(|(name, v)| (name.clone(), v.elem_count())).collect();
        assert_eq!(lengths, model.variables(), "{model:?}");
    }
}

#[test]
fn models_that_compute_nothing_are_refused() {
    for (model, said) in [
        (Model::from(Transformer::new(50)), "a multiple of 32"),
        (Transformer::new(64).layers(0).into(), "0 layers"),
        (Transformer::new(64).context(0).into(), "a context of 0"),
        (Convnet::new(0).into(), "0 channels"),
        (Convnet::new(4).side(30).into(), "30 pixels"),
    ] {
        let text = complaint(model.build(0, &Device::Cpu));
        assert!(text.contains(said), "{text}");
    }
}
