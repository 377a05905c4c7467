//! The eBPF programs. One file a question; each program is a guard, a read, an effect.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "values are masked or bounded, and a checked conversion is one more branch to verify"
)]

mod arm;
mod call;
mod clock;
mod counters;
mod cpu;
mod emit;
mod kread;
mod produce;
mod release;
mod settings;
mod stall;
mod trace;
mod wait;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
