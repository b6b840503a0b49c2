//! Models: a description that can be copied and serialised, and the built network with its variables.

mod mlp;
mod network;

pub use mlp::Mlp;
pub use network::Network;
