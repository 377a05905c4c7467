//! The table of what `fslockup trace` attaches to, and nobody else: the functions that `run` counts
//! producers by, with programs that tell of each call.

use super::{Kind, Point, Probe, Takes, Way, dentries, refining, whole};

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
                    dentries::SPLICE_OPS.at("trace_splice"),
                    dentries::SPLICE.at("trace_splice"),
                ],
                Takes::One,
            )],
            "dentries made by lookups, on most file systems",
        )
    },
    probe(
        "trace-added",
        "Which dentries do lookups make, on the other file systems?",
        &[entries(&[dentries::ADD.at("trace_add")], Takes::One)],
        "dentries made by lookups on tmpfs before 7.x, and on some network file systems",
    ),
    probe(
        "trace-filled",
        "Under which names is something created?",
        &[entries(
            &[
                dentries::INSTANTIATE.at("trace_inst"),
                dentries::INSTANTIATE_NEW.at("trace_new"),
                dentries::MAKE_PERSISTENT.at("trace_persist"),
            ],
            Takes::Some,
        )],
        "files and directories that are created",
    ),
    probe(
        "trace-emptied",
        "Which dentries lose their inode and stay as negative ones?",
        &[entries(&[dentries::DELETE.at("trace_delete")], Takes::One)],
        "dentries that turn negative: unlink, rmdir",
    ),
    probe(
        "trace-removed",
        "Which dentries leave the cache?",
        &[entries(
            &[
                dentries::KILL.at("trace_kill"),
                dentries::TRY_KILL.at("trace_try"),
            ],
            Takes::One,
        )],
        "dentries that leave the cache",
    ),
];
