//! Models: a description that can be copied and serialised, and the built network with its variables.

mod architecture;
mod convnet;
mod mlp;
mod network;
mod transformer;
mod variables;

pub use architecture::{Architecture, Model};
pub use convnet::Convnet;
pub(crate) use convnet::{Convolution, KERNEL};
pub use mlp::Mlp;
pub use network::Network;
pub use transformer::Transformer;
pub(crate) use variables::LAYER_NORM_EPSILON;
pub use variables::Variables;
