//! A model in service.

mod cascade;
mod drift;
mod feedback;
mod neighbours;
#[path = "../engine/support.rs"]
mod support;
