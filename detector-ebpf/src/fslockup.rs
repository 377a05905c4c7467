//! The object with the programs that are attached. The census is in an object of its own (`census.rs`).

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "values are masked or bounded, and a checked conversion is one more branch to verify"
)]

#[expect(dead_code, reason = "a part of it is for the census")]
mod kernel;
mod programs;
mod state;

include!("object.rs");
