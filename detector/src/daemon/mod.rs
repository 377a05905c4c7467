//! What a detector has as a service: its manager, its journal, its rights, its memory and its directory.

pub mod journald;
pub mod memory;
pub mod privileges;
pub mod service;
pub mod state;
