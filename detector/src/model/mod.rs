//! The values that flow from the kernel to the output, and nothing of who makes or reads them.

mod attached;
pub mod budget;
mod counts;
mod finding;
mod incident;
mod input;
mod runs;
mod session;
mod span;
mod suppressed;

pub use attached::{AttachReport, AttachedProbe, Refused};
pub use counts::Counts;
pub use finding::{
    BudgetFinding, Fates, Finding, RecordCounts, Summary, SyscallFinding, ThresholdsFinding,
    WaiterNow, WalkFinding,
};
pub use incident::{Hold, HoldEnd, Impact, Incident, Lock, Severity, Stalled, Waiter};
pub use input::{Children, Input, Symbol, ThresholdsChange, WaitingNow, Wanted};
pub use runs::{Runs, Sampled, parse_runs};
pub use session::Session;
pub use span::Span;
pub use suppressed::{Limits, Suppressed, SuppressedCounts, SuppressedFinding};
