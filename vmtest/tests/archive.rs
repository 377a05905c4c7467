//! What becomes of kernels whose packages left the archive, and of an archive that can't be had: `vmtest fetch` and
//! `clean` with a local repository. No guest, no network; apt is this machine's.

#[path = "support/repository.rs"]
mod repository;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Output,
    thread,
};

use repository::{Repository, SUITE, entry, lines, names};

const GONE: &str = "vmtest: kernel k: linux-image-k-9 1.0.9-1 has left the archive";

/// Fetched what is pinned, without a word about it.
fn assert_quiet(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Failed, and said so in this one line.
fn assert_says(output: &Output, code: i32, start: &str) {
    let lines = lines(output);
    assert_eq!(output.status.code(), Some(code), "{lines:#?}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with(start), "{}", lines[0]);
}

/// A kernel that is pinned at version 9, which the archive has.
fn pinned() -> Repository {
    let mut repository = Repository::new(&["k"]);
    repository.add("k", 8);
    repository.add("k", 9);
    let output = repository.run(&["fetch", "--update"]);
    assert_quiet(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("k: pinned linux-image-k-9 1.0.9-1\n"),
        "{said}"
    );
    assert!(said.ends_with("k: 1.0.9-1-linux-image-k-9\n"), "{said}");
    repository
}

#[test]
fn a_version_that_left_the_archive_is_replaced_by_the_newest_with_one_line() {
    let mut repository = pinned();
    // Newer ones change nothing as long as the pinned one is there.
    repository.add("k", 10);
    fs::remove_dir_all(repository.cache()).expect("removed");
    assert_quiet(&repository.run(&["fetch"]));
    assert_quiet(&repository.run(&["--locked", "fetch"]));

    // What is in the cache needs no archive.
    repository.remove("k", 9);
    assert_quiet(&repository.run(&["fetch", "--locked"]));

    fs::remove_dir_all(repository.cache()).expect("removed");
    let locked = repository.run(&["fetch", "--locked"]);
    assert_says(
        &locked,
        1,
        &format!("{GONE} (run: vmtest fetch --update k, or go without --locked)"),
    );
    let output = repository.run(&["fetch"]);
    // As versions: 10 is newer than 9 and 8.
    assert_says(
        &output,
        0,
        &format!("{GONE}, linux-image-k-10 1.0.10-1 is used"),
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "k: 1.0.10-1-linux-image-k-10\n"
    );

    // The second time it is remembered, and the archive isn't asked; but the lock is the lock.
    let again = repository
        .vmtest(&["fetch"])
        .env("FSLOCKUP_MIRROR", "http://127.0.0.1:1/debian")
        .output()
        .expect("vmtest runs");
    assert_says(
        &again,
        0,
        &format!("{GONE}, linux-image-k-10 1.0.10-1 is used"),
    );
    assert_eq!(
        repository.run(&["fetch", "--locked"]).status.code(),
        Some(1)
    );

    let update = repository.run(&["fetch", "--update", "k"]);
    assert_quiet(&update);
    assert_quiet(&repository.run(&["fetch", "--locked"]));
}

#[test]
fn a_kernel_of_which_nothing_is_left_stops_no_other() {
    let mut repository = Repository::new(&["k", "other"]);
    repository.add("k", 9);
    repository.add("other", 1);
    assert_quiet(&repository.run(&["fetch", "--update"]));
    repository.remove("k", 9);
    fs::remove_dir_all(repository.cache()).expect("removed");
    let nothing = "vmtest: kernel k: no package in test matches linux-image-k-\\d+ (did its name change?); its pin \
                   linux-image-k-9 1.0.9-1 has left the archive: unavailable";
    let output = repository.run(&["fetch"]);
    assert_says(&output, 0, nothing);
    assert!(output.stdout.starts_with(b"other: "), "{output:?}");
    assert_says(&repository.run(&["fetch", "k"]), 1, nothing);
    assert_says(&repository.run(&["fetch", "--locked"]), 1, GONE);
}

#[test]
fn a_suite_that_left_the_archive_is_unavailable_too() {
    let repository = pinned();
    fs::remove_dir_all(repository.cache()).expect("removed");
    fs::remove_dir_all(repository.archive()).expect("removed");
    fs::create_dir(repository.archive()).expect("made");
    let output = repository.run(&["fetch"]);
    assert_says(&output, 1, "vmtest: kernel k: file:");
    assert!(lines(&output)[0].ends_with(" is no longer in the archive: unavailable"));
}

#[test]
fn an_update_goes_on_past_a_failure_and_writes_what_it_found() {
    let mut repository = pinned();
    repository.remove("k", 9);
    repository.remove("k", 8);
    repository.add("found", 2);
    repository
        .write_manifest(&(entry("k", SUITE) + &entry("old", "no-suite") + &entry("found", SUITE)));
    let output = repository.run(&["fetch", "--update"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = lines(&output);
    let is_said = |start: &str| said.iter().any(|line| line.starts_with(start));
    assert!(
        is_said("vmtest: kernel k: no package in test matches"),
        "{said:#?}"
    );
    assert!(is_said("vmtest: kernel old: file:"), "{said:#?}");
    let lock = fs::read_to_string(repository.lock()).expect("written");
    assert!(lock.contains("linux-image-found-2"), "{lock}");
    assert!(
        lock.contains("linux-image-k-9"),
        "the old pin stays: {lock}"
    );
}

#[test]
fn a_kernel_without_a_pin_is_the_newest_unless_it_must_be_pinned() {
    let repository = pinned();
    fs::remove_file(repository.lock()).expect("removed");
    let output = repository.run(&["fetch"]);
    assert_says(
        &output,
        0,
        "vmtest: kernel k: not pinned, linux-image-k-9 1.0.9-1 is used",
    );
    let output = repository.run(&["fetch", "--locked"]);
    assert_says(
        &output,
        1,
        "vmtest: kernel k: not in the lock (run: vmtest fetch --update k)",
    );
}

#[test]
fn bad_lists_are_one_line_and_nothing_is_overwritten() {
    let repository = pinned();
    let whole = fs::read_to_string(repository.lock()).expect("written");
    let torn = &whole[..whole.len() - 20];
    let twice = format!("{whole}{}", whole.split_once("\n\n").expect("a head").1);
    for (lock, start) in [
        (torn, "kernels.lock: line 11: "),
        (&*twice, "kernels.lock: kernel k: pinned twice"),
    ] {
        fs::write(repository.lock(), lock).expect("written");
        for arguments in [&["fetch"][..], &["fetch", "--update"]] {
            let output = repository.run(arguments);
            let line = lines(&output).join("\n");
            assert_says(&output, 2, "vmtest: /");
            assert!(line.contains(start), "{line}");
            let after = fs::read_to_string(repository.lock()).expect("there");
            assert_eq!(after, lock);
        }
    }
    fs::write(repository.lock(), &whole).expect("written");
    repository.write_manifest(&entry("k", SUITE).repeat(2));
    let output = repository.run(&["fetch", "--update"]);
    assert_says(&output, 2, "vmtest: /");
    assert!(lines(&output)[0].ends_with("kernels.toml: kernel k: listed twice"));
    assert_eq!(fs::read_to_string(repository.lock()).expect("there"), whole);
}

/// Answers every request with this status; returns its address.
fn answering(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn what_hinders_apt_is_one_line_with_the_way_out() {
    let mut repository = Repository::new(&["k", "l"]);
    repository.add("k", 1);
    repository.add("l", 1);
    assert_quiet(&repository.run(&["fetch", "--update"]));
    fs::remove_dir_all(repository.cache()).expect("removed");
    let with = |variables: &[(&str, &str)]| {
        let mut command = repository.vmtest(&["fetch"]);
        command.envs(variables.iter().copied());
        command.output().expect("vmtest runs")
    };
    let mirror = |address: &str| format!("[trusted=yes] http://{address}/debian");

    for status in [
        "403 Forbidden",
        "407 Proxy Authentication Required",
        "502 Bad Gateway",
    ] {
        let address = answering(status);
        let output = with(&[("FSLOCKUP_MIRROR", &mirror(&address))]);
        let start =
            format!("vmtest: kernel k, l: {address} answers {status} (is a proxy in between?");
        assert_says(&output, 1, &start);
        // The same from a proxy.
        let output = with(&[
            (
                "FSLOCKUP_MIRROR",
                "[trusted=yes] http://mirror.invalid/debian",
            ),
            ("http_proxy", &format!("http://{address}")),
        ]);
        let start = format!("vmtest: kernel k, l: mirror.invalid answers {status} (is a proxy");
        assert_says(&output, 1, &start);
    }
    // Nothing there of either kernel: that is no fault of this machine, but nothing could be had.
    for status in ["404 Not Found", "410 Gone"] {
        let output = with(&[("FSLOCKUP_MIRROR", &mirror(&answering(status)))]);
        let said = lines(&output);
        assert_eq!(
            (output.status.code(), said.len()),
            (Some(1), 2),
            "{said:#?}"
        );
        assert!(
            said.iter().all(|line| line.ends_with(": unavailable")),
            "{said:#?}"
        );
    }
    let output = with(&[("FSLOCKUP_MIRROR", &mirror("127.0.0.1:1"))]);
    assert_says(
        &output,
        1,
        "vmtest: kernel k, l: 127.0.0.1:1 can't be reached: Could not connect",
    );
    let output = with(&[("FSLOCKUP_MIRROR", "file:/no/such/mirror")]);
    assert_says(
        &output,
        1,
        "vmtest: kernel k, l: /no/such/mirror: No such file",
    );
    let output = with(&[("FSLOCKUP_MIRROR", "debian")]);
    assert_says(
        &output,
        1,
        "vmtest: kernel k, l: FSLOCKUP_MIRROR=debian: not the address of an archive (write ",
    );
}

#[test]
fn a_machine_without_debians_archive_learns_what_to_set() {
    let repository = pinned();
    fs::remove_dir_all(repository.cache()).expect("removed");
    let config = repository.archive().join("apt.conf");
    let empty = "Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"-\";\n";
    fs::write(&config, empty).expect("written");
    let output = repository
        .vmtest(&["fetch"])
        .env_remove("FSLOCKUP_MIRROR")
        .env("APT_CONFIG", &config)
        .output()
        .expect("vmtest runs");
    assert_says(
        &output,
        1,
        "vmtest: kernel k: apt: no Debian archive among this machine's package lists (set FSLOCKUP_MIRROR to",
    );
}

#[test]
fn an_archive_without_a_trusted_signature_and_a_changed_file_are_refused() {
    let mut repository = pinned();
    fs::remove_dir_all(repository.cache()).expect("removed");
    let package = repository.pool().join("linux-image-k-9.deb");
    fs::write(&package, "another").expect("written");
    let output = repository.run(&["fetch"]);
    assert_says(&output, 1, "vmtest: kernel k: file:");
    assert!(lines(&output)[0].contains(": not the file that was pinned ("));

    repository.remove("k", 9);
    let mirror = format!("file:{}", repository.archive().display());
    let output = repository
        .vmtest(&["fetch"])
        .env("FSLOCKUP_MIRROR", mirror)
        .output()
        .expect("vmtest runs");
    assert_says(
        &output,
        1,
        "vmtest: kernel k: apt: can't verify the archive's signature: ",
    );
    assert!(lines(&output)[0].contains("(install debian-archive-keyring, which has /usr/share"));
}

#[test]
fn clean_removes_what_no_pin_needs_and_says_how_much() {
    let mut repository = pinned();
    repository.add("k", 10);
    assert_quiet(&repository.run(&["fetch", "--update"]));
    let kernels = repository.cache().join("kernels");
    let before = names(&kernels);
    assert_eq!(before.len(), 2);
    let dry = repository.run(&["clean", "--dry-run"]);
    assert_quiet(&dry);
    assert_eq!(names(&kernels), before, "nothing has gone");
    let output = repository.run(&["clean"]);
    assert_quiet(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = String::from_utf8_lossy(&dry.stdout).replace("would remove", "removed");
    assert_eq!(said, expected);
    let (first, last) = said.trim_end().split_once('\n').expect("two lines");
    assert!(
        first.starts_with("removed /") && first.ends_with(" bytes)"),
        "{said}"
    );
    assert!(last.starts_with("removed 1 in /"), "{said}");
    assert_eq!(names(&kernels).len(), 1);
    assert_quiet(&repository.run(&["fetch", "--locked"]));
    assert_quiet(&repository.run(&["clean", "--all"]));
    assert!(names(&kernels).is_empty());
    assert_eq!(names(&repository.cache().join("apt")), [""; 0]);
}
