//! Which directories would freeze this host now: who watches them, what a walk would take, the list of them. Pure.

pub mod danger;
pub mod fdinfo;
pub mod list;
pub mod predict;
