//! One file a question; each program is a guard, a read, an effect. `stubs.rs` makes two programs over one body, and
//! `census/` goes into an object of its own.

mod call;
mod produce;
mod release;
mod stall;
mod stubs;
mod trace;
mod wait;
mod walk;
