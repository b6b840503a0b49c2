//! Models: a description that can be copied and serialised, and the built network with its variables.

mod architecture;
mod convnet;
mod mlp;
mod network;
mod transformer;
mod variables;

pub use architecture::{Architecture, Model};
pub use convnet::Convnet;
pub use mlp::Mlp;
pub use network::Network;
pub use transformer::Transformer;
pub use variables::Variables;
