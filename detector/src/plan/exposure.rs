//! Which walks a kernel does: a pure function of the facts.

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Answer, Facts},
    probes::{WALKER_FIXED, WALKER_UNFIXED},
};

/// Which walks this kernel does, as far as its functions tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The first watch on a directory walks its children.
    pub walk_on_first_watch: Answer,
    /// So does every further watch and every change of a mask, also without events on children:
    /// before 172e422ffea2 `fsnotify_recalc_mask` walked whatever had changed.
    pub walk_on_every_watch: Answer,
    /// Taking the last watch away makes a later access to a child walk.
    pub walk_on_removal: Answer,
    /// That access can come from many CPUs at once, each walking in turn.
    pub herd: Answer,
}

/// From the walker's name alone: the commit that renamed it (172e422ffea2) took away the walk on
/// removal with its herd, and is in stable kernels under any version number.
#[must_use]
pub fn exposure(facts: &Facts) -> Exposure {
    let has = |name: &str| {
        facts.functions.get(name).map_or_else(
            || Answer::Unknown("not looked for".to_owned()),
            |function| match (&function.in_btf, &function.in_symbols) {
                (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
                (Answer::No, Answer::No) => Answer::No,
                (Answer::Unknown(reason), _) | (_, Answer::Unknown(reason)) => {
                    Answer::Unknown(reason.clone())
                }
            },
        )
    };
    let unfixed = match (has(WALKER_FIXED), has(WALKER_UNFIXED)) {
        // One function was renamed, so a kernel has one of the two.
        (Answer::Yes, Answer::Unknown(_)) => Answer::No,
        (_, unfixed) => unfixed,
    };
    let fixed = has(WALKER_FIXED);
    let walk_on_first_watch = match (&fixed, &unfixed) {
        (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
        // Neither name: a walk under a third one can't be excluded.
        (Answer::No, Answer::No) => Answer::Unknown("no walker of a known name".to_owned()),
        (Answer::Unknown(reason), _) | (_, Answer::Unknown(reason)) => {
            Answer::Unknown(reason.clone())
        }
    };
    Exposure {
        walk_on_first_watch,
        walk_on_every_watch: unfixed.clone(),
        walk_on_removal: unfixed.clone(),
        herd: unfixed,
    }
}
