//! A producer in a few words, for people.

use super::Producer;
use crate::escape::{escape, escape_rest};

/// `comm (pid 42, x.service)`: the container where it is in one, else the unit, else the program.
/// Harmless on a terminal. `fit` shortens a name that somebody chose.
#[must_use]
pub fn who(producer: &Producer, fit: impl Fn(String) -> String) -> String {
    let identity = &producer.identity;
    let comm = if identity.comm.is_empty() {
        "a process".to_owned()
    } else {
        fit(escape(&identity.comm))
    };
    let process = match producer.pid {
        Some(pid) if producer.has_exited => format!("pid {pid}, exited"),
        Some(pid) => format!("pid {pid}"),
        None => format!("{} processes, exited", producer.processes_count),
    };
    let home = if let Some(container) = &identity.container {
        format!(", container {}", fit(escape_rest(short(container))))
    } else if let Some(unit) = &identity.unit {
        format!(", {}", fit(escape_rest(unit)))
    } else if let Some(exe) = &identity.exe {
        format!(", {}", fit(escape(exe)))
    } else {
        String::new()
    };
    format!("{comm} ({process}{home})")
}

/// Of an id the twelve digits that the tools of containers show; a name is whole.
fn short(container: &str) -> &str {
    let is_id = container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { &container[..12] } else { container }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producers::Identity;

    #[test]
    fn one_process_many_and_an_unknown_one() {
        let mut producer = Producer {
            pid: Some(42),
            identity: Identity {
                comm: b"age\x1bnt".to_vec(),
                unit: Some("agent.service".to_owned()),
                ..Identity::default()
            },
            ..Producer::default()
        };
        let told = |producer: &Producer| who(producer, |text| text);
        assert_eq!(told(&producer), "age\\x1bnt (pid 42, agent.service)");
        producer.identity.container = Some("0123456789abcdef".repeat(4));
        producer.has_exited = true;
        assert_eq!(
            told(&producer),
            "age\\x1bnt (pid 42, exited, container 0123456789ab)"
        );
        producer.pid = None;
        producer.processes_count = 1_000;
        assert_eq!(
            told(&producer),
            "age\\x1bnt (1000 processes, exited, container 0123456789ab)"
        );
        producer.identity.container = Some("a-name-of-lxc".to_owned());
        assert_eq!(
            told(&producer),
            "age\\x1bnt (1000 processes, exited, container a-name-of-lxc)"
        );
        producer.identity = Identity {
            exe: Some(b"/usr/bin/agent".to_vec()),
            ..Identity::default()
        };
        assert_eq!(
            told(&producer),
            "a process (1000 processes, exited, /usr/bin/agent)"
        );
    }
}
