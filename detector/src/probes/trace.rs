//! The table of what `fslockup trace` attaches to, and nobody else: the functions that `run` counts
//! producers by, with programs that tell of each call.

use super::{Kind, Point, Probe, Takes, Way, point, refining, whole};

/// What these programs can't do without.
const FIELDS: &[&str] = &[
    "dentry.d_parent",
    "dentry.d_name.name",
    "dentry.d_name.len",
    "dentry.d_inode",
    "dentry.d_lockref.count",
    "dentry.d_hash.pprev",
    "inode.i_ino",
    "inode.i_sb",
    "super_block.s_dev",
];

const fn entries(points: &'static [Point], takes: Takes) -> Way {
    whole(Kind::Entry, points, takes)
}

const fn probe(
    name: &'static str,
    question: &'static str,
    ways: &'static [Way],
    lost_without: &'static str,
) -> Probe {
    refining(name, question, ways, FIELDS, lost_without)
}

/// All of them, in the order in which they are attached.
pub const TRACE_PROBES: &[Probe] = &[
    Probe {
        is_required: true,
        ..probe(
            "trace-spliced",
            "Which dentries do lookups make, on most file systems?",
            &[entries(
                // Where both are there the second one jumps to the first: one of them sees each lookup
                // once.
                &[
                    point(
                        "d_splice_alias_ops",
                        "trace_splice",
                        "6.16 (\"new helper: d_splice_alias_ops()\"): d_splice_alias calls it, and so does proc",
                    ),
                    point(
                        "d_splice_alias",
                        "trace_splice",
                        "1da177e4c3f4 (Linux 2.6.12-rc2)",
                    ),
                ],
                Takes::One,
            )],
            "dentries made by lookups, on most file systems",
        )
    },
    probe(
        "trace-added",
        "Which dentries do lookups make, on the other file systems?",
        &[entries(
            &[point(
                "d_add",
                "trace_add",
                "1da177e4c3f4 (Linux 2.6.12-rc2)",
            )],
            Takes::One,
        )],
        "dentries made by lookups on tmpfs before 7.x, and on some network file systems",
    ),
    probe(
        "trace-filled",
        "Under which names is something created?",
        &[entries(
            &[
                point(
                    "d_instantiate",
                    "trace_inst",
                    "1da177e4c3f4 (Linux 2.6.12-rc2)",
                ),
                point(
                    "d_instantiate_new",
                    "trace_new",
                    "1e2e547a93a0 (\"do d_instantiate/unlock_new_inode combinations safely\"), 4.17",
                ),
                point(
                    "d_make_persistent",
                    "trace_persist",
                    "bacdf1d70bbe (v6.18-rc5-9), 7.x: tmpfs and its like",
                ),
            ],
            Takes::Some,
        )],
        "files and directories that are created",
    ),
    probe(
        "trace-emptied",
        "Which dentries lose their inode and stay as negative ones?",
        &[entries(
            &[point(
                "d_delete",
                "trace_delete",
                "1da177e4c3f4 (Linux 2.6.12-rc2)",
            )],
            Takes::One,
        )],
        "dentries that turn negative: unlink, rmdir",
    ),
    probe(
        "trace-removed",
        "Which dentries leave the cache?",
        &[entries(
            &[
                point(
                    "__dentry_kill",
                    "trace_kill",
                    "e55fd011549e (\"split dentry_kill()\"), 3.16",
                ),
                point("dentry_kill", "trace_try", "7.x, in place of __dentry_kill"),
            ],
            Takes::One,
        )],
        "dentries that leave the cache",
    ),
];
