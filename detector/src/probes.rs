//! The one table of everything `fslockup` attaches to.

mod dentries;
mod trace;

pub use trace::TRACE_PROBES;

/// One question to the kernel with the ways to ask it.
#[derive(Debug)]
pub struct Probe {
    /// Its name in messages and reports.
    pub name: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// Where it makes sense.
    pub when: When,
    /// In order of preference.
    pub ways: &'static [Way],
    /// Struct fields that it can't do without, by their names in the facts.
    pub fields: &'static [&'static str],
    /// Without it there is nothing to do.
    pub is_required: bool,
    /// What is not seen without it.
    pub lost_without: &'static str,
}

/// On which kernels, and for whom, a probe makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Everywhere.
    Always,
    /// Where a waiter for a spinlock spins with preemption off.
    SpinlocksSpin,
    /// Where it sleeps (PREEMPT_RT).
    SpinlocksSleep,
    /// Where the exact end of a hold is asked for.
    ExactRelease,
}

/// One way to ask.
#[derive(Debug)]
pub struct Way {
    /// What its points are.
    pub kind: Kind,
    /// Where it sits.
    pub points: &'static [Point],
    /// How many of them a kernel has.
    pub takes: Takes,
    /// What this way doesn't see although it is attached.
    pub lost: &'static str,
}

/// What a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function, through its entry and exit; a breakpoint does where those can't be had.
    Function,
    /// A function on which a breakpoint is not to be put: it would cost too much.
    HotFunction,
    /// The entry of a function on which a breakpoint is not to be put.
    HotEntry,
    /// The entry of a function; a breakpoint does where that can't be had.
    Entry,
    /// A tracepoint with BTF.
    Tracepoint,
}

/// How many points of a way a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// One: they are names of the same thing over time.
    One,
    /// Some: each that is there is needed.
    Some,
    /// All, or the way is none.
    All,
}

/// A kernel function or tracepoint that a program can sit on.
#[derive(Debug)]
pub struct Point {
    /// Its symbol.
    pub name: &'static str,
    /// The program; for a function with entry and exit, what its programs' names begin with.
    pub program: &'static str,
    /// Where it comes from: the kernel commit that made or renamed it.
    pub origin: &'static str,
    /// Another function that must be there too, or the point doesn't show what it is wanted for.
    pub needs: Option<&'static str>,
}

/// The walker since the lazy clearing of flags.
pub const WALKER_FIXED: &str = "fsnotify_set_children_dentry_flags";
/// The walker before it, which also runs when a watch is taken away.
pub const WALKER_UNFIXED: &str = "__fsnotify_update_child_dentry_flags";

/// The name of the probe of walks.
pub const WALK: &str = "walk";
/// What the names of the probes of producers begin with.
pub const PRODUCERS: &str = "producers-";
/// The name of the probe of stalls: the one that looks at context switches.
pub const STALL: &str = "stall";

const fn point(name: &'static str, program: &'static str, origin: &'static str) -> Point {
    Point {
        name,
        program,
        origin,
        needs: None,
    }
}

const CONTENTION: &[Point] = &[
    point(
        "contention_end",
        "wait_end_tp",
        "16edd9b511a1 (\"locking: Add lock contention tracepoints\"), 5.19",
    ),
    point(
        "contention_begin",
        "wait_begin_tp",
        "16edd9b511a1 (\"locking: Add lock contention tracepoints\"), 5.19",
    ),
];

/// What every probe of producers reads of a dentry and of its parent.
const OF_DENTRIES: &[&str] = &[
    "dentry.d_parent",
    "dentry.d_inode",
    "dentry.d_lockref.count",
    "dentry.d_hash.pprev",
    "dentry.d_seq.seqcount.sequence",
    "inode.i_ino",
    "inode.i_sb",
    "super_block.s_dev",
];

/// A probe that refines, on any kernel.
const fn refining(
    name: &'static str,
    question: &'static str,
    ways: &'static [Way],
    fields: &'static [&'static str],
    lost_without: &'static str,
) -> Probe {
    Probe {
        name,
        question,
        when: When::Always,
        ways,
        fields,
        is_required: false,
        lost_without,
    }
}

/// A way that loses nothing.
const fn whole(kind: Kind, points: &'static [Point], takes: Takes) -> Way {
    Way {
        kind,
        points,
        takes,
        lost: "",
    }
}

const fn producers(
    name: &'static str,
    question: &'static str,
    ways: &'static [Way],
    lost_without: &'static str,
) -> Probe {
    refining(name, question, ways, OF_DENTRIES, lost_without)
}

const fn entries(points: &'static [Point], takes: Takes) -> Way {
    whole(Kind::HotEntry, points, takes)
}

/// All probes, in the order in which they are attached.
pub const PROBES: &[Probe] = &[
    Probe {
        name: WALK,
        question: "How long did a walk run, over which directory, for whom?",
        when: When::Always,
        ways: &[Way {
            kind: Kind::Function,
            points: &[
                point(
                    WALKER_FIXED,
                    "walk",
                    "172e422ffea2 (\"fsnotify: clear PARENT_WATCHED flags lazily\"), 6.11 and stable backports",
                ),
                point(
                    WALKER_UNFIXED,
                    "walk",
                    "c32ccd87bfd1 (\"inotify: lock avoidance with parent watch status in dentry\"), until 172e422ffea2",
                ),
            ],
            takes: Takes::One,
            lost: "",
        }],
        fields: &[],
        is_required: true,
        lost_without: "every walk",
    },
    Probe {
        name: "wait",
        question: "Who waited for a spinlock, where, how long?",
        when: When::SpinlocksSpin,
        ways: &[
            Way {
                kind: Kind::HotFunction,
                // Which of the two a kernel runs is patched in at its boot, and nothing tells.
                points: &[
                    point(
                        "native_queued_spin_lock_slowpath",
                        "wait_native",
                        "a33fda35e3a7 (\"locking/qspinlock: Introduce a simple generic 4-byte queued spinlock\"), 4.2",
                    ),
                    point(
                        "__pv_queued_spin_lock_slowpath",
                        "wait_pv",
                        "a23db284fe0d (\"locking/pvqspinlock: Implement simple paravirt support for the qspinlock\"), 4.2",
                    ),
                ],
                takes: Takes::Some,
                lost: "",
            },
            Way {
                kind: Kind::Tracepoint,
                points: CONTENTION,
                takes: Takes::All,
                lost: "the first waiter of each lock: it spins before the tracepoint",
            },
        ],
        fields: &[],
        is_required: false,
        lost_without: "waiters, holds of other locks than the walk's, stalls behind waits",
    },
    Probe {
        name: "wait",
        question: "Who waited for a spinlock, where, how long?",
        when: When::SpinlocksSleep,
        ways: &[
            Way {
                kind: Kind::HotFunction,
                points: &[point(
                    "rtlock_slowlock_locked",
                    "wait_rt",
                    "1c143c4b65da (\"locking/rtmutex: Provide the spin/rwlock core lock function\"), 5.15",
                )],
                takes: Takes::One,
                lost: "",
            },
            Way {
                kind: Kind::Tracepoint,
                points: CONTENTION,
                takes: Takes::All,
                lost: "",
            },
        ],
        fields: &[],
        is_required: false,
        lost_without: "waiters, holds of other locks than the walk's",
    },
    Probe {
        name: STALL,
        question: "Who was kept from running, because a CPU was inside a walk or inside a wait?",
        when: When::SpinlocksSpin,
        ways: &[Way {
            kind: Kind::Tracepoint,
            points: &[point(
                "sched_switch",
                "stall_switch",
                "0a16b6075843 (\"tracing, sched: LTTng instrumentation - scheduler\"), 2.6.28",
            )],
            takes: Takes::All,
            lost: "",
        }],
        // CONFIG_SCHED_INFO; since c5895d3f06cb (5.14) always kept where it is there, before it with
        // CONFIG_SCHEDSTATS, which distributions have.
        fields: &[
            "task_struct.sched_info.pcount",
            "task_struct.sched_info.last_arrival",
            "task_struct.sched_info.last_queued",
        ],
        is_required: false,
        lost_without: "tasks kept from running",
    },
    Probe {
        name: "inotify_add_watch",
        question: "How long did the system call take, and what was it asked for?",
        when: When::Always,
        ways: &[Way {
            kind: Kind::Function,
            points: &[point(
                "__x64_sys_inotify_add_watch",
                "call_inotify",
                "fa697140f9a2 (\"syscalls/x86: Use 'struct pt_regs' based syscall calling convention\"), 4.17",
            )],
            takes: Takes::One,
            lost: "",
        }],
        fields: &[],
        is_required: false,
        lost_without: "length, mask and path argument of inotify_add_watch",
    },
    Probe {
        name: "fanotify_mark",
        question: "How long did the system call take, and what was it asked for?",
        when: When::Always,
        ways: &[Way {
            kind: Kind::Function,
            points: &[point(
                "do_fanotify_mark",
                "call_fanotify",
                "183caa3c8692 (\"fanotify: add do_fanotify_mark() helper\"), 4.17",
            )],
            takes: Takes::One,
            lost: "",
        }],
        fields: &[],
        is_required: false,
        lost_without: "length, mask and path argument of fanotify_mark",
    },
    Probe {
        name: "fcntl",
        question: "How long did F_NOTIFY take, and what was it asked for?",
        when: When::Always,
        ways: &[Way {
            kind: Kind::Function,
            points: &[point(
                "fcntl_dirnotify",
                "call_fcntl",
                "1da177e4c3f4 (Linux 2.6.12-rc2)",
            )],
            takes: Takes::One,
            lost: "",
        }],
        fields: &[],
        is_required: false,
        lost_without: "length and mask of fcntl(F_NOTIFY)",
    },
    Probe {
        name: "release",
        question: "When exactly did a walker give a contended lock back?",
        when: When::ExactRelease,
        ways: &[Way {
            kind: Kind::Tracepoint,
            points: &[Point {
                name: "contended_release",
                program: "release_tp",
                origin: "7.2 for locks that sleep, 7.3 for spinlocks",
                // Where spinlocks have it, unlocking has this second form.
                needs: Some("native_queued_spin_unlock_traced"),
            }],
            takes: Takes::All,
            lost: "",
        }],
        fields: &[],
        is_required: false,
        lost_without: "the exact end of a hold: it is derived from the walk's end",
    },
    producers(
        "producers-spliced",
        "Who looks up names, as most file systems do it: negative or positive?",
        // The second one jumps to the first where there are both: one of them sees each lookup once.
        &[entries(
            &[
                dentries::SPLICE_OPS.at("produce_splice"),
                dentries::SPLICE.at("produce_splice"),
            ],
            Takes::One,
        )],
        "dentries made by lookups, on most file systems",
    ),
    producers(
        "producers-added",
        "Who looks up names, as the other file systems do it: negative or positive?",
        &[entries(&[dentries::ADD.at("produce_add")], Takes::One)],
        "dentries made by lookups on tmpfs before 7.x, and on some network file systems",
    ),
    producers(
        "producers-filled",
        "Who creates something under a name that was negative?",
        &[entries(
            &[
                dentries::INSTANTIATE.at("produce_inst"),
                dentries::INSTANTIATE_NEW.at("produce_new"),
                dentries::MAKE_PERSISTENT.at("produce_persist"),
            ],
            Takes::Some,
        )],
        "dentries that turn positive: files created under a name count as negative ones",
    ),
    producers(
        "producers-emptied",
        "Who deletes, and leaves a negative dentry?",
        &[entries(
            &[dentries::DELETE.at("produce_delete")],
            Takes::One,
        )],
        "dentries that turn negative: unlink, rmdir",
    ),
    producers(
        "producers-removed",
        "Who takes dentries out of the cache?",
        &[entries(
            &[
                dentries::KILL.at("produce_kill"),
                dentries::TRY_KILL.at("produce_try_kill"),
            ],
            Takes::One,
        )],
        "dentries that leave the cache",
    ),
];

fn probes() -> impl Iterator<Item = &'static Probe> {
    PROBES.iter().chain(TRACE_PROBES)
}

fn points_of(probe: &'static Probe) -> impl Iterator<Item = (Kind, &'static Point)> {
    let of_way = |way: &'static Way| way.points.iter().map(|point| (way.kind, point));
    probe.ways.iter().flat_map(of_way)
}

fn points() -> impl Iterator<Item = (Kind, &'static Point)> {
    probes().flat_map(points_of)
}

/// Names of all functions in the table.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let needed = points().filter_map(|(_, point)| point.needs);
    points()
        .filter(|(kind, _)| *kind != Kind::Tracepoint)
        .map(|(_, point)| point.name)
        .chain(needed)
}

/// Names of all tracepoints in the table.
pub fn tracepoint_names() -> impl Iterator<Item = &'static str> {
    points()
        .filter(|(kind, _)| *kind == Kind::Tracepoint)
        .map(|(_, point)| point.name)
}

/// How a probe sits on a function, a part of one, or a tracepoint, and the program there. The probes of
/// `run` and of `trace` share functions.
#[must_use]
pub fn program(probe: &str, symbol: &str) -> Option<(Kind, &'static str)> {
    let (whole, _) = symbol.split_once('.').unwrap_or((symbol, ""));
    probes()
        .filter(|known| known.name == probe)
        .flat_map(points_of)
        .find(|(_, point)| point.name == whole)
        .map(|(kind, point)| (kind, point.program))
}
