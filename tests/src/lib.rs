//! Shared pieces of the workload and the scenarios.
