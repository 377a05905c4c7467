//! The machine's own apt: how it is run, how a file is downloaded through it, and what its errors mean.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::mirrors::{DEBIAN_KEYRING, VARIABLE};

/// Downloads single files and reads compressed lists.
pub(super) const HELPER: &str = "/usr/lib/apt/apt-helper";

/// Why apt can't serve.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// The program isn't there or can't be started.
    #[error(
        "{program}: {error} (kernels come from packages, which needs apt; or use --kernel PATH)"
    )]
    NotStarted {
        /// The program.
        program: String,
        /// What happened.
        error: std::io::Error,
    },
    /// It ran and failed.
    #[error("{program}: {reason}")]
    Failed {
        /// The program.
        program: String,
        /// Its own last words.
        reason: String,
    },
    /// The archive isn't among the machine's sources.
    #[error(
        "apt: no {0} archive among this machine's package lists (set {VARIABLE} to the address of one, or add it to the sources and run apt-get update)"
    )]
    NoArchive(&'static str),
    /// The variable has something else in it.
    #[error(
        "{VARIABLE}={0}: not the address of an archive (write http://HOST/debian, file:/DIR, or one with [options] before it as in sources.list)"
    )]
    NoAddress(String),
    /// The archive doesn't have the file.
    #[error("{0}: no longer in the archive")]
    Gone(String),
    /// What answers has an error for this file, and doesn't say that it is gone.
    #[error(
        "{host} answers {status} (is a proxy in between? look at http_proxy and apt's Acquire::http::Proxy, or set {VARIABLE} to another mirror)"
    )]
    NotServed {
        /// Who was asked.
        host: String,
        /// The answer.
        status: String,
    },
    /// Nothing answers.
    #[error(
        "{host} can't be reached: {reason} (what is not in the cache needs the network; or set {VARIABLE} to a mirror that answers)"
    )]
    Unreachable {
        /// Who was asked.
        host: String,
        /// apt's words.
        reason: String,
    },
    /// The archive's signature can't be verified.
    #[error(
        "apt: can't verify the archive's signature: {reason} (install debian-archive-keyring, which has {DEBIAN_KEYRING}, or name a keyring: {VARIABLE}='[signed-by=FILE] ADDRESS')"
    )]
    Unsigned {
        /// apt's words.
        reason: String,
    },
    /// The file has another digest than it should have.
    #[error(
        "{0}: not the file that was pinned (a mirror or proxy in between may have an old or damaged copy: set {VARIABLE} to another mirror)"
    )]
    Changed(String),
    /// The private state can't be written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
}

/// Downloads a file through apt (its proxies and credentials), which also checks the digest. What is on this
/// machine's own disk becomes a link to it.
///
/// # Errors
/// [`AptError::Gone`] when the archive doesn't have it, else what hinders.
pub fn download(uri: &str, target: &Path, sha256: &str) -> Result<(), AptError> {
    let arguments = [
        "-o".into(),
        // The target is in a directory of this user, which apt's download user can't write.
        "APT::Sandbox::User=root".into(),
        "download-file".into(),
        uri.into(),
        target.into(),
        format!("SHA256:{sha256}").into(),
    ];
    run(HELPER, &arguments).map(|_| ())
}

/// Runs one of apt's programs to its end.
pub(super) fn run(program: &str, arguments: &[OsString]) -> Result<Output, AptError> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| AptError::NotStarted {
            program: program.to_owned(),
            error,
        })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(classify(program, &last_words(&stderr)))
}

/// What an error line of apt means. Each form was provoked with apt 2.6 (`vmtest/tests/archive.rs` does it
/// again); what is not known stays apt's own words.
fn classify(program: &str, reason: &str) -> AptError {
    let failed = || AptError::Failed {
        program: program.to_owned(),
        reason: reason.to_owned(),
    };
    if reason.contains("is not signed") || reason.contains("NO_PUBKEY") {
        return AptError::Unsigned {
            reason: reason.to_owned(),
        };
    }
    // A suite that moved to the archive of old releases as a whole.
    if let Some(rest) = reason.strip_prefix("The repository '")
        && let Some((repository, _)) = rest.split_once(" Release' does not have a Release file")
    {
        return AptError::Gone(repository.to_owned());
    }
    let fetched = reason.strip_prefix("Failed to fetch ");
    let Some((uri, what)) = fetched.and_then(|rest| rest.split_once("  ")) else {
        return failed();
    };
    let what = what.split(" [IP:").next().unwrap_or(what).trim();
    if what.contains("Hash Sum mismatch") || what.contains("File has unexpected size") {
        return AptError::Changed(uri.to_owned());
    }
    if what.starts_with("File not found") {
        return AptError::Gone(uri.to_owned());
    }
    let host = host_of(uri);
    let status: Option<u16> = what
        .split(' ')
        .next()
        .filter(|word| word.len() == 3)
        .and_then(|word| word.parse().ok());
    match status {
        Some(404 | 410) => return AptError::Gone(uri.to_owned()),
        Some(_) => {
            return AptError::NotServed {
                host,
                status: what.split_whitespace().collect::<Vec<_>>().join(" "),
            };
        }
        None => {}
    }
    const OF_THE_NETWORK: [&str; 8] = [
        "Could not resolve",
        "Temporary failure resolving",
        "Something wicked happened resolving",
        "Could not connect",
        "Unable to connect",
        "Cannot initiate the connection",
        "Connection",
        "Could not handshake",
    ];
    if OF_THE_NETWORK.iter().any(|start| what.starts_with(start)) {
        return AptError::Unreachable {
            host,
            reason: what.to_owned(),
        };
    }
    failed()
}

/// `http://HOST/PATH` gives `HOST`; what has no host, itself.
fn host_of(uri: &str) -> String {
    let host = uri
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .filter(|host| !host.is_empty());
    // Credentials in an address are nobody else's business.
    let host = host.map(|host| host.rsplit('@').next().unwrap_or(host));
    host.unwrap_or(uri).to_owned()
}

/// The first `E:` line of apt and its kind says what happened; the later ones only that something did.
pub(crate) fn last_words(stderr: &str) -> String {
    let line = stderr
        .lines()
        .find(|line| line.starts_with("E: "))
        .or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()));
    line.unwrap_or("failed without a word")
        .trim_start_matches("E: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_first_error_line_is_kept() {
        assert_eq!(
            last_words("W: x\nE: Failed to fetch u  404  Not Found\nE: Download Failed\n"),
            "Failed to fetch u  404  Not Found"
        );
        assert_eq!(last_words(""), "failed without a word");
    }

    #[test]
    fn what_is_gone_is_distinguished_from_what_failed() {
        let of = |what: &str| {
            classify(
                "apt",
                &format!("Failed to fetch http://u:p@h:80/x.deb  {what}"),
            )
        };
        for gone in [
            "404  Not Found [IP: 192.0.2.1 80]",
            "410  Gone [IP: 192.0.2.1 80]",
            "File not found - /x.deb (2: No such file or directory)",
        ] {
            assert!(matches!(of(gone), AptError::Gone(_)), "{gone}");
        }
        let error = of("403  Forbidden [IP: 192.0.2.1 80]").to_string();
        assert!(
            error.starts_with("h:80 answers 403 Forbidden (is a proxy in between?"),
            "{error}"
        );
        let error = of("Could not resolve 'h'").to_string();
        assert!(
            error.starts_with("h:80 can't be reached: Could not resolve 'h' ("),
            "{error}"
        );
        assert!(matches!(of("Hash Sum mismatch"), AptError::Changed(_)));
        assert_eq!(
            of("its own words").to_string(),
            "apt: Failed to fetch http://u:p@h:80/x.deb  its own words"
        );
        let error = classify(
            "apt-get",
            "The repository 'http://h/debian old Release' does not have a Release file.",
        );
        assert!(
            matches!(&error, AptError::Gone(what) if what == "http://h/debian old"),
            "{error}"
        );
        let error = classify("apt", "The repository 'x' is not signed.").to_string();
        assert!(error.contains("install debian-archive-keyring"), "{error}");
    }
}
