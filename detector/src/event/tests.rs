//! Each kind of record: right, cut, with values that nothing writes.

use fslockup_ebpf::{
    ARGUMENT_BYTES, COMM_BYTES, FSTYPE_BYTES, NAME_ROOM, PATH_BYTES, ProducerKey, STACK_DEPTH,
    change,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::testing;

pub fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text);
    bytes
}

/// A walk of `/var/spool` on 259:0, as the programs would write it.
pub fn record() -> WalkRecord {
    WalkRecord {
        kind: kind::WALK,
        slot: 0,
        start_ns: 1_000_000_000,
        end_ns: 1_075_000_000,
        pid: 41,
        tid: 42,
        cgroup_id: 7,
        syscall_nr: 254,
        ino: 1234,
        i_lock_addr: 0xffff_8880_0000_1000,
        d_lock_addr: 0xffff_8880_0000_2000,
        dev: 259 << 20,
        start_cpu: 3,
        end_cpu: 3,
        path_len: 10,
        path_flags: 0,
        comm: padded::<COMM_BYTES>(b"systemd"),
        fstype: padded::<FSTYPE_BYTES>(b"ext4"),
        path: padded::<PATH_BYTES>(b"\x05spool\x03var"),
        run_start_ns: 0,
        run_end_ns: 0,
        back_ns: 0,
        left_ns: 0,
        scheduled_out_ns: 0,
    }
}

/// A record as the ring buffer would have it.
pub fn bytes<T: Record>(record: &T) -> Vec<u8> {
    // SAFETY: records have no padding (their sizes are asserted where they are defined).
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast::<u8>(), size_of::<T>()) }
        .to_vec()
}

#[test]
fn a_record_decodes_to_what_was_written() {
    let Ok(Event::Walk(walk)) = decode(&bytes(&record())) else {
        panic!("a walk")
    };
    assert_eq!(walk.walk_ns(), Some(75_000_000));
    assert_eq!(walk.comm, b"systemd");
    assert_eq!(walk.path, Some(vec![b"var".to_vec(), b"spool".to_vec()]));
}

#[test]
fn a_walk_is_the_longest_stretch_on_a_cpu() {
    let decoded =
        |record: &WalkRecord, bytes_count: usize| match decode(&bytes(record)[..bytes_count]) {
            Ok(Event::Walk(walk)) => walk,
            other => panic!("{other:?}"),
        };
    let whole = size_of::<WalkRecord>();
    let ended = WalkRecord {
        run_start_ns: 1_001_000_000,
        run_end_ns: 1_003_000_000,
        back_ns: 1_074_000_000,
        scheduled_out_ns: 71_000_000,
        ..record()
    };
    let walk = decoded(&ended, whole);
    assert_eq!(walk.walk_ns(), Some(2_000_000));
    assert_eq!(
        (walk.entered_ns, walk.start_ns),
        (1_000_000_000, 1_001_000_000)
    );
    assert_eq!((walk.scheduled_out_ns, walk.is_away), (71_000_000, false));
    // As a version wrote it that knew nothing of this.
    let walk = decoded(&ended, offset_of!(WalkRecord, run_start_ns));
    assert_eq!(
        (walk.walk_ns(), walk.scheduled_out_ns),
        (Some(75_000_000), 0)
    );
    let running = WalkRecord {
        end_ns: 0,
        left_ns: 1_080_000_000,
        ..ended
    };
    let walk = decoded(&running, whole);
    assert_eq!(
        (walk.end_ns, walk.start_ns, walk.is_away),
        (None, 1_074_000_000, true)
    );
}

/// The first change of process 41 in `/var/spool`.
pub fn producer_record() -> ProducerRecord {
    ProducerRecord {
        kind: kind::PRODUCER,
        tid: 42,
        at_ns: 1_000_000_000,
        key: ProducerKey {
            ino: 1234,
            dev: 259 << 20,
            pid: 41,
        },
        cgroup_id: 7,
        dentry_addr: 0xffff_8880_0000_3000,
        exe_dev: 8 << 20 | 1,
        path_len: 10,
        path_flags: 0,
        exe_len: 8,
        exe_flags: PATH_IS_CUT,
        padding: 0,
        comm: padded::<COMM_BYTES>(b"storm"),
        fstype: padded::<FSTYPE_BYTES>(b"ext4"),
        path: padded::<PATH_BYTES>(b"\x05spool\x03var"),
        exe: padded::<PATH_BYTES>(b"\x03sh\n\x03bin"),
    }
}

/// A name that it looked up.
pub fn name_record() -> NameRecord {
    NameRecord {
        kind: kind::NAME,
        change: change::MADE_NEGATIVE,
        key: producer_record().key,
        name_len: 5,
        padding: 0,
        name: padded::<NAME_ROOM>(b"nu\0l\xffleft over"),
    }
}

fn all_kinds() -> [Vec<u8>; 7] {
    [
        bytes(&record()),
        bytes(&testing::wait(0xa1, 10, 1, 1_000, 1_100)),
        bytes(&testing::stall(30, 2, 10, (1_000, 1_100), (1_010, 1_110))),
        bytes(&testing::syscall(42, 1_000, 1_100)),
        bytes(&testing::release(42, 0xa1, 1_100)),
        bytes(&producer_record()),
        bytes(&name_record()),
    ]
}

#[test]
fn a_record_cut_anywhere_is_an_error_or_lacks_its_end() {
    for whole in all_kinds() {
        let event = decode(&whole).expect("a record");
        for end in 0..whole.len() {
            let Ok(cut) = decode(&whole[..end]) else {
                continue;
            };
            assert_eq!(without_end(cut.clone()), without_end(event.clone()));
            for (left, was) in ends(&cut).into_iter().zip(ends(&event)) {
                assert!(was.starts_with(&left), "cut at {end}: {left:?} of {was:?}");
            }
        }
    }
}

#[test]
fn what_a_later_version_wrote_behind_a_record_is_left_alone() {
    for whole in all_kinds() {
        for behind in [&[0; 4][..], &[0xa5; 64]] {
            assert_eq!(decode(&[&whole[..], behind].concat()), decode(&whole));
        }
    }
}

/// What stands at the end of a record, as far as it is known: nothing in between is made up.
fn ends(event: &Event) -> Vec<Vec<u8>> {
    let path = |names: &Option<Vec<Vec<u8>>>| names.iter().flatten().flatten().copied().collect();
    match event {
        Event::Walk(walk) => vec![path(&walk.path)],
        Event::Wait(wait) => vec![wait.stack.iter().flat_map(|at| at.to_le_bytes()).collect()],
        Event::Syscall(call) => vec![call.path.clone().unwrap_or_default()],
        Event::Dentry(change) => vec![path(&change.directory)],
        Event::Producer(seen) => vec![path(&seen.path), path(&seen.exe)],
        Event::Stall(_) | Event::Release(_) | Event::Name(_) => Vec::new(),
    }
}

fn without_end(mut event: Event) -> Event {
    match &mut event {
        Event::Walk(walk) => walk.path = None,
        Event::Wait(wait) => wait.stack.clear(),
        Event::Syscall(call) => call.path = None,
        Event::Dentry(change) => change.directory = None,
        Event::Producer(seen) => (seen.path, seen.exe) = (None, None),
        Event::Stall(_) | Event::Release(_) | Event::Name(_) => {}
    }
    event
}

#[test]
fn random_bytes_decode_to_something_or_an_error() {
    let seed = 11;
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..2_000 {
        for mut bytes in all_kinds() {
            // The kind stays, or most would be of no kind.
            for byte in &mut bytes[4..] {
                *byte = random.random();
            }
            let _ = decode(&bytes);
        }
    }
}

#[test]
fn a_wait_decodes_to_what_was_written() {
    let Ok(Event::Wait(wait)) = decode(&bytes(&testing::wait(0xa1, 10, 1, 1_000, 1_100))) else {
        panic!("a wait")
    };
    assert_eq!((wait.lock_addr, wait.wait_ns()), (0xa1, 100_000_000));
    assert_eq!((wait.tid, wait.cpu, wait.is_sleeping), (10, 1, false));
    assert_eq!(wait.stack, [0x10, 0x20, 0x30, 0x40]);
    let unreadable = WaitRecord {
        stack_bytes: -14,
        how: wait_how::SLEEP,
        ..testing::wait(0xa1, 10, 1, 1_000, 1_100)
    };
    let Ok(Event::Wait(wait)) = decode(&bytes(&unreadable)) else {
        panic!("a wait")
    };
    assert!(wait.stack.is_empty() && wait.is_sleeping);
    let too_much = WaitRecord {
        stack_bytes: i32::MAX,
        ..unreadable
    };
    let Ok(Event::Wait(wait)) = decode(&bytes(&too_much)) else {
        panic!("a wait")
    };
    assert_eq!(wait.stack.len(), STACK_DEPTH);
}

#[test]
fn a_stall_decodes_to_what_was_written() {
    let record = StallRecord {
        flags: WAS_RUNNABLE_BEFORE,
        ..testing::stall(30, 2, 10, (1_000, 1_100), (1_010, 1_110))
    };
    let Ok(Event::Stall(stall)) = decode(&bytes(&record)) else {
        panic!("a stall")
    };
    assert_eq!((stall.behind, stall.behind_tid), (Behind::Walk, 10));
    assert_eq!(stall.runq_delay_ns(), 100_000_000);
    assert_eq!(stall.behind_ns, 90_000_000);
    assert!(stall.was_runnable_before);
    let Ok(Event::Stall(stall)) = decode(&bytes(&testing::stall_behind_wait(0xa1, record))) else {
        panic!("a stall")
    };
    assert_eq!(stall.behind, Behind::Wait(0xa1));
}

#[test]
fn a_syscall_decodes_to_what_was_written() {
    let Ok(Event::Syscall(syscall)) = decode(&bytes(&testing::syscall(42, 1_000, 1_100))) else {
        panic!("a syscall")
    };
    assert_eq!(syscall.call, Call::InotifyAddWatch);
    assert_eq!((syscall.syscall_ns(), syscall.mask), (100_000_000, 0x804));
    assert_eq!(syscall.path.as_deref(), Some(&b"/data/var/spool"[..]));
    for path_bytes in [0, -14, i32::MIN] {
        let without = SyscallRecord {
            path_bytes,
            ..testing::syscall(42, 1_000, 1_100)
        };
        let Ok(Event::Syscall(syscall)) = decode(&bytes(&without)) else {
            panic!("a syscall")
        };
        assert_eq!(syscall.path, None);
    }
    let unended = SyscallRecord {
        path_bytes: i32::MAX,
        path: [b'x'; ARGUMENT_BYTES],
        ..testing::syscall(42, 1_000, 1_100)
    };
    let Ok(Event::Syscall(syscall)) = decode(&bytes(&unended)) else {
        panic!("a syscall")
    };
    assert_eq!(syscall.path.map(|path| path.len()), Some(ARGUMENT_BYTES));
}

#[test]
fn a_release_decodes_to_what_was_written() {
    assert_eq!(
        decode(&bytes(&testing::release(42, 0xa1, 1_100))),
        Ok(Event::Release(Release {
            tid: 42,
            lock_addr: 0xa1,
            at_ns: 1_100_000_000,
        }))
    );
}

#[test]
fn a_producer_decodes_to_what_was_written() {
    let decoded = |record: &ProducerRecord| match decode(&bytes(record)) {
        Ok(Event::Producer(seen)) => seen,
        other => panic!("a producer, not {other:?}"),
    };
    let seen = decoded(&producer_record());
    assert_eq!((seen.key.pid, seen.tid, seen.key.ino), (41, 42, 1234));
    assert_eq!(seen.path, Some(vec![b"var".to_vec(), b"spool".to_vec()]));
    assert!(!seen.is_path_cut);
    assert_eq!(seen.exe_dev, Some(8 << 20 | 1));
    assert_eq!(seen.exe, Some(vec![b"bin".to_vec(), b"sh\n".to_vec()]));
    assert!(seen.is_exe_cut);
    let kernel_thread = ProducerRecord {
        exe_dev: 0,
        exe_len: 0,
        exe_flags: PATH_IS_BROKEN,
        path_len: u16::MAX,
        ..producer_record()
    };
    let seen = decoded(&kernel_thread);
    assert_eq!((seen.exe_dev, seen.exe, seen.path), (None, None, None));
}

#[test]
fn a_name_decodes_to_what_was_written() {
    let Ok(Event::Name(seen)) = decode(&bytes(&name_record())) else {
        panic!("a name")
    };
    assert_eq!(seen.name, b"nu\0l\xff");
    assert_eq!(
        (seen.change, seen.key),
        (change::MADE_NEGATIVE, producer_record().key)
    );
}

#[test]
fn values_that_nothing_writes_are_errors() {
    let value = |kind, field, value| Err(DecodeError::Value { kind, field, value });
    for behind in [0, 3, u32::MAX] {
        let stall = StallRecord {
            behind,
            ..testing::stall(30, 2, 10, (1_000, 1_100), (1_010, 1_110))
        };
        assert_eq!(decode(&bytes(&stall)), value(kind::STALL, "behind", behind));
    }
    for call in [0, 4, u32::MAX] {
        let syscall = SyscallRecord {
            call,
            ..testing::syscall(42, 1_000, 1_100)
        };
        assert_eq!(decode(&bytes(&syscall)), value(kind::SYSCALL, "call", call));
    }
    for change in [6, u32::MAX] {
        let name = NameRecord {
            change,
            ..name_record()
        };
        assert_eq!(decode(&bytes(&name)), value(kind::NAME, "change", change));
    }
    for name_len in [257, u32::MAX] {
        let name = NameRecord {
            name_len,
            ..name_record()
        };
        let error = value(kind::NAME, "name_len", name_len);
        assert_eq!(decode(&bytes(&name)), error);
    }
    for how in [0, 3, u32::MAX] {
        let wait = WaitRecord {
            how,
            ..testing::wait(0xa1, 10, 1, 1_000, 1_100)
        };
        assert_eq!(decode(&bytes(&wait)), value(kind::WAIT, "how", how));
    }
}

#[test]
fn a_path_whose_lengths_run_over_is_none() {
    let broken = WalkRecord {
        path_len: 5,
        ..record()
    };
    let Ok(Event::Walk(walk)) = decode(&bytes(&broken)) else {
        panic!("a walk")
    };
    assert_eq!(walk.path, None);
    let longer = WalkRecord {
        path_len: u16::MAX,
        ..record()
    };
    assert!(decode(&bytes(&longer)).is_ok());
}

#[test]
fn an_unknown_kind_is_named() {
    let unknown = WalkRecord {
        kind: 99,
        ..record()
    };
    assert_eq!(decode(&bytes(&unknown)), Err(DecodeError::Kind(99)));
}
