//! The one table of everything `fslockup` attaches to.

/// One question to the kernel with the places where it can be asked.
#[derive(Debug)]
pub struct Probe {
    /// Its name in messages and reports.
    pub name: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// Functions, in order of preference. A kernel has one of them.
    pub functions: &'static [Function],
    /// Without it there is nothing to do.
    pub is_required: bool,
    /// What is not seen without it.
    pub lost_without: &'static str,
}

/// A kernel function that a probe can sit on.
#[derive(Debug)]
pub struct Function {
    /// Its symbol.
    pub name: &'static str,
    /// Where it comes from: the kernel commit that made or renamed it.
    pub origin: &'static str,
}

/// The walker since the lazy clearing of flags.
pub const WALKER_FIXED: &str = "fsnotify_set_children_dentry_flags";
/// The walker before it, which also runs when a watch is taken away.
pub const WALKER_UNFIXED: &str = "__fsnotify_update_child_dentry_flags";

/// All probes.
pub const PROBES: &[Probe] = &[Probe {
    name: "walk",
    question: "How long did a walk run, over which directory, for whom?",
    functions: &[
        Function {
            name: WALKER_FIXED,
            origin: "172e422ffea2 (\"fsnotify: clear PARENT_WATCHED flags lazily\"), 6.11 and stable backports",
        },
        Function {
            name: WALKER_UNFIXED,
            origin: "c32ccd87bfd1 (\"inotify: lock avoidance with parent watch status in dentry\"), until 172e422ffea2",
        },
    ],
    is_required: true,
    lost_without: "every walk",
}];

/// Names of all functions in the table.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    PROBES
        .iter()
        .flat_map(|probe| probe.functions)
        .map(|function| function.name)
}
