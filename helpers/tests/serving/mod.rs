//! A model in service.

mod cascade;
mod drift;
mod feedback;
mod in_service;
mod neighbours;
