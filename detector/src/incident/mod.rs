//! The rules over a walk and what is joined to it: how much damage, how bad, what to do. All of it is pure.

mod advice;
mod impact;
mod mask;
mod severity;

pub use advice::{AdviceInput, advice};
pub use impact::impact;
pub use mask::{events_on_children, mask_names};
pub use severity::severity;

use crate::event::{Call, Syscall};

/// Why a system call's path argument is not known; none where it is, or the call has none.
#[must_use]
pub fn argument_degraded(syscall: &Syscall) -> Option<String> {
    let has_argument = syscall.call != Call::FcntlNotify;
    (has_argument && syscall.path.is_none())
        .then(|| "argument: the call was given no path, or it could not be read".to_owned())
}
