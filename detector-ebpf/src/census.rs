//! The object with the census, which is attached to nothing: it costs one program and one small map wherever it is needed.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "values are masked or bounded, and a checked conversion is one more branch to verify"
)]

#[expect(dead_code, reason = "the census needs a part of it")]
mod kernel;
mod programs {
    mod census;
}
mod state {
    #[expect(
        dead_code,
        reason = "the others are for the programs that are attached"
    )]
    pub mod settings;
}

include!("object.rs");
