//! vmtest.
fn main() {}
