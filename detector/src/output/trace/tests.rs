//! Text and JSON of hand-made records, hostile ones among them.

use fslockup_ebpf::{COMM_BYTES, DentryRecord, NAME_ROOM, PATH_BYTES, change, kind};

use super::*;
use crate::{
    event::{self, Event},
    plan::Missing,
};

fn record(change: u32, name: &[u8]) -> DentryRecord {
    let mut record = DentryRecord {
        kind: kind::DENTRY,
        change,
        at_ns: 5_000_000_000,
        pid: 42,
        tid: 43,
        cgroup_id: 7,
        ino: 0,
        directory_ino: 131,
        dev: 259 << 20 | 1,
        cpu: 3,
        name_len: u32::try_from(name.len()).expect("short"),
        path_len: 0,
        path_flags: 0,
        comm: [0; COMM_BYTES],
        name: [0; NAME_ROOM],
        path: [0; PATH_BYTES],
    };
    record.comm[..3].copy_from_slice(b"tar");
    record.name[..name.len()].copy_from_slice(name);
    record
}

fn bytes(record: &DentryRecord) -> &[u8] {
    // SAFETY: integers and byte arrays without padding.
    unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<DentryRecord>())
    }
}

fn decoded(record: &DentryRecord) -> DentryChange {
    match event::decode(bytes(record)) {
        Ok(Event::Dentry(found)) => *found,
        other => panic!("{other:?}"),
    }
}

fn session(directory: Option<&[u8]>) -> TraceSession {
    TraceSession {
        host: "ho\x1bst".to_owned(),
        kernel: "6.1.0".to_owned(),
        attached: AttachReport {
            probes: Vec::new(),
            missing: vec![Missing {
                probe: "trace-added".to_owned(),
                lost: "dentries made otherwise".to_owned(),
                refused: vec!["kprobe d_add: permission denied".to_owned()],
            }],
        },
        directory: directory.map(<[u8]>::to_vec),
        comm: directory.map(|_| b"t\nr".to_vec()),
        only_negative: directory.is_some(),
        rate: 1_000,
        start_ns: 4_000_000_000,
        realtime_offset_ns: 1_790_000_000_000_000_000,
    }
}

fn printed(format: Format, directory: Option<&[u8]>) -> String {
    let mut to = Vec::new();
    let mut printer =
        TracePrinter::start(&mut to, format, session(directory)).expect("into memory");
    let mut long = record(change::REMOVED_NEGATIVE, &[b'x'; 255]);
    long.comm = *b"\x1b[2Jevil\n\xff\0\0\0\0\0\0";
    let records = [
        record(change::MADE_NEGATIVE, b"null0123456789abcdef"),
        DentryRecord {
            ino: 12,
            ..record(change::MADE_POSITIVE, "na\u{ef}ve \u{202e}gpj".as_bytes())
        },
        DentryRecord {
            ino: 13,
            ..record(change::FILLED, b"line\nfeed\x1b[31m\\")
        },
        DentryRecord {
            ino: 13,
            ..record(change::EMPTIED, b"\xff\xfe")
        },
        long,
        record(change::REMOVED_POSITIVE, b""),
    ];
    for (index, record) in records.iter().enumerate() {
        let path = (index != 3).then_some(b"/mnt/disk/a\tdir".as_slice());
        printer.print(&decoded(record), path).expect("into memory");
    }
    printer
        .end(&TraceSummary {
            duration_ns: 2_500_000_000,
            shown_count: 6,
            left_out_count: 94,
            ring_full_count: 1,
            skipped_count: 2,
            bad_records_count: 0,
        })
        .expect("into memory");
    drop(printer);
    String::from_utf8(to).expect("UTF-8")
}

#[test]
fn text_and_json() {
    insta::assert_snapshot!("text", printed(Format::Text, None));
    insta::assert_snapshot!("json", printed(Format::Json, None));
    insta::assert_snapshot!("text_of_a_directory", printed(Format::Text, Some(b"/")));
}

#[test]
fn nothing_raw_gets_out() {
    for format in [Format::Text, Format::Json] {
        let text = printed(format, None);
        assert!(
            text.chars()
                .all(|character| character == '\n' || !character.is_control()),
            "{text}"
        );
    }
    for line in printed(Format::Json, None).lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert_eq!(value["schema"], "fslockup/1");
    }
}

#[test]
fn records_that_nothing_writes_are_errors() {
    let too_long = DentryRecord {
        name_len: 257,
        ..record(change::FILLED, b"x")
    };
    assert!(event::decode(bytes(&too_long)).is_err());
    let unknown = DentryRecord {
        change: 6,
        ..record(change::FILLED, b"x")
    };
    assert!(event::decode(bytes(&unknown)).is_err());
    let short = record(change::FILLED, b"x");
    assert!(event::decode(&bytes(&short)[..100]).is_err());
    let overrun = DentryRecord {
        path_len: u16::MAX,
        ..record(change::FILLED, b"x")
    };
    assert_eq!(decoded(&overrun).directory, None);
}

#[test]
fn any_bytes_are_decoded_without_panic() {
    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
    let mut random = SmallRng::seed_from_u64(4);
    for _ in 0..2_000 {
        let mut bytes = vec![0; size_of::<DentryRecord>()];
        random.fill(bytes.as_mut_slice());
        bytes[..4].copy_from_slice(&kind::DENTRY.to_ne_bytes());
        bytes[4] = random.random_range(0..8);
        bytes[5..8].fill(0);
        bytes[60..64].copy_from_slice(&random.random_range(0..300_u32).to_ne_bytes());
        let _ = event::decode(&bytes);
    }
}
