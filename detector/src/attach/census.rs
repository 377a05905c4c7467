//! Runs the census program. `census/steps.rs` says what each run is to do.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{RawTracePoint, TestRun as _},
};
use fslockup_ebpf::{
    CensusCursor, CensusState, FSTYPE_BYTES, NAME_ROOM, TraceFilter, census_do, census_end,
};

use super::{
    AttachError, Thresholds,
    reasons::{chain, hint, reason},
    settings::Settings,
};
use crate::{
    census::{
        Census, Directory,
        steps::{Ask, Found, Progress, Steps},
    },
    clock,
    escape::until_nul,
    facts::Facts,
};

/// The compiled program, with its map and nothing else.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/census"));

const NAME: &str = "census";
const MAP: &str = "CENSUS";
const STATE_BYTES: usize = size_of::<CensusState>();

/// Struct fields that a census can't do without, by their names in the facts.
const FIELDS: [&str; 12] = [
    "dentry.d_subdirs",
    "dentry.d_child",
    "dentry.d_parent",
    "dentry.d_inode",
    "dentry.d_flags",
    "dentry.d_lockref.count",
    "inode.i_ino",
    "inode.i_sb",
    "super_block.s_dev",
    "task_struct.files",
    "files_struct.fdt",
    "file.f_path.dentry",
];

/// Why nothing could be counted.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    /// The program could not be loaded.
    #[error(transparent)]
    Load(#[from] AttachError),
    /// The kernel's type information doesn't tell where something is.
    #[error("census: this kernel's type information has no {0}")]
    Field(&'static str),
    /// A run failed.
    #[error("census: {0}")]
    Run(String),
    /// The directory is not there any more.
    #[error("the directory is gone")]
    Gone,
}

/// A directory behind an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDirectory {
    /// Where it is.
    pub directory: Directory,
    /// The name of its file system type.
    pub fstype: Vec<u8>,
    /// At most so many children: see [`Directory::children_at_most`].
    pub children_at_most: u64,
}

/// The loaded program and its map: a few KiB, and no cost while it is not asked.
pub struct Censor {
    state: Array<MapData, [u8; STATE_BYTES]>,
    program: Ebpf,
}

impl Censor {
    /// Loads the program. It is attached to nothing.
    ///
    /// # Errors
    /// When a capability is missing or the kernel refuses.
    pub fn load(facts: &Facts) -> Result<Self, CensusError> {
        let settings = Settings::new(facts, &Thresholds::NEVER, TraceFilter::default())?;
        Self::load_with(facts, &mut settings.loader())
    }

    /// The same with a loader that is there already.
    pub(super) fn load_with(
        facts: &Facts,
        loader: &mut EbpfLoader<'_>,
    ) -> Result<Self, CensusError> {
        for field in FIELDS {
            if !facts.offsets.contains_key(field) {
                return Err(CensusError::Field(field));
            }
        }
        let refused = |reason: String| AttachError::Load {
            reason: format!("{NAME}: {reason}"),
            hint: hint(facts),
        };
        let mut ebpf = loader
            .load(OBJECT)
            .map_err(|error| refused(chain(&error)))?;
        let no = |what: &str| refused(format!("{what} is not in the object"));
        let program: &mut RawTracePoint = ebpf
            .program_mut(NAME)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| no(NAME))?;
        program.load().map_err(|error| refused(reason(&error)))?;
        let map = ebpf.take_map(MAP).ok_or_else(|| no(MAP))?;
        let state = Array::try_from(map).map_err(|error| refused(chain(&error)))?;
        Ok(Self {
            state,
            program: ebpf,
        })
    }

    /// The directory behind an open file of this process. Keep the file open, and nothing can take the
    /// directory away.
    ///
    /// # Errors
    /// When a run fails.
    pub fn find(&mut self, file: BorrowedFd<'_>) -> Result<FoundDirectory, CensusError> {
        let state = self.run(&CensusState {
            what: census_do::FIND,
            fd: file.as_raw_fd().cast_unsigned(),
            ..EMPTY
        })?;
        if state.end == census_end::GONE {
            return Err(CensusError::Gone);
        }
        let directory = Directory {
            dentry_addr: state.dentry_addr,
            dev: state.dev,
            ino: state.ino,
            own_references_count: 1,
        };
        Ok(FoundDirectory {
            directory,
            fstype: until_nul(&state.fstype).to_vec(),
            children_at_most: directory.children_at_most(state.references_count),
        })
    }

    /// How many children a directory has at most ([`Directory::children_at_most`]), without looking at
    /// them; none if it is not there any more.
    ///
    /// # Errors
    /// When a run fails.
    pub fn peek(&mut self, directory: &Directory) -> Result<Option<u64>, CensusError> {
        let found = self.ask(directory, Ask::Peek)?;
        Ok((found.end != census_end::GONE)
            .then(|| directory.children_at_most(found.references_count)))
    }

    /// Counts the children of a directory. Each run of the program is a fraction of a millisecond, and
    /// between two of them whatever else wants this CPU can have it.
    ///
    /// # Errors
    /// When the directory is not there any more, or a run fails.
    pub fn count(
        &mut self,
        directory: &Directory,
        deadline: Duration,
    ) -> Result<Census, CensusError> {
        let deadline_ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        let start_ns = clock::monotonic_ns();
        let first_look = self.ask(directory, Ask::Peek)?;
        if first_look.end == census_end::GONE {
            return Err(CensusError::Gone);
        }
        let mut steps = Steps::new(*directory, &first_look);
        let mut now_ns = clock::monotonic_ns();
        let mut longest_run_ns = now_ns - start_ns;
        while now_ns - start_ns < deadline_ns {
            let found = self.ask(directory, steps.ask())?;
            let run_start_ns = now_ns;
            now_ns = clock::monotonic_ns();
            longest_run_ns = longest_run_ns.max(now_ns - run_start_ns);
            match steps.take(&found) {
                Progress::GoesOn => {}
                Progress::Complete | Progress::GivenUp => break,
                Progress::Gone => return Err(CensusError::Gone),
            }
        }
        Ok(steps.finish(now_ns - start_ns, longest_run_ns))
    }

    fn ask(&mut self, directory: &Directory, ask: Ask) -> Result<Found, CensusError> {
        let (what, cursor, steps_max) = match ask {
            Ask::Step { cursor, steps_max } => (census_do::STEP, cursor, steps_max),
            Ask::Peek => (census_do::PEEK, CensusCursor::default(), 0),
        };
        let state = self.run(&CensusState {
            what,
            dentry_addr: directory.dentry_addr,
            ino: directory.ino,
            dev: directory.dev,
            steps_max,
            cursor,
            ..EMPTY
        })?;
        let sample_len = usize::try_from(state.sample_len).unwrap_or(0);
        Ok(Found {
            end: state.end,
            cursor: state.cursor,
            first_addr: state.first_addr,
            references_count: state.references_count,
            negative_count: state.negative_count,
            positive_count: state.positive_count,
            no_child_count: state.no_child_count,
            sample: state
                .sample
                .get(..sample_len)
                .filter(|name| !name.is_empty())
                .map(<[u8]>::to_vec),
        })
    }

    fn run(&mut self, state: &CensusState) -> Result<CensusState, CensusError> {
        let failed = |error: &dyn std::error::Error| CensusError::Run(chain(error));
        self.state
            .set(0, bytes(state), 0)
            .map_err(|error| failed(&error))?;
        let program: &RawTracePoint = self
            .program
            .program(NAME)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| CensusError::Run("not loaded".to_owned()))?;
        program
            .test_run(aya::programs::RawTracePointRunOptions::new())
            .map_err(|error| CensusError::Run(reason(&error)))?;
        let state = self.state.get(&0, 0).map_err(|error| failed(&error))?;
        // SAFETY: integers and arrays of them, for which any bytes are a value.
        let state = unsafe { state.as_ptr().cast::<CensusState>().read_unaligned() };
        if state.end == census_end::NONE {
            return Err(CensusError::Run("the program did not run".to_owned()));
        }
        Ok(state)
    }
}

const EMPTY: CensusState = CensusState {
    what: 0,
    fd: 0,
    dentry_addr: 0,
    ino: 0,
    dev: 0,
    steps_max: 0,
    cursor: CensusCursor {
        link_addr: 0,
        next_addr: 0,
        name_hash_len: 0,
    },
    end: census_end::NONE,
    references_count: 0,
    first_addr: 0,
    negative_count: 0,
    positive_count: 0,
    no_child_count: 0,
    sample_len: 0,
    sample_addr: 0,
    fstype: [0; FSTYPE_BYTES],
    sample: [0; NAME_ROOM],
};

fn bytes(state: &CensusState) -> [u8; STATE_BYTES] {
    let mut bytes = [0; STATE_BYTES];
    // SAFETY: `CensusState` is `repr(C)` without padding, and the array is as large.
    unsafe {
        std::ptr::from_ref(state)
            .cast::<u8>()
            .copy_to_nonoverlapping(bytes.as_mut_ptr(), STATE_BYTES);
    }
    bytes
}
