//! A producer in a few words, for people.

use super::Producer;
use crate::escape::{escape, escape_rest};

/// `comm (pid 42, x.service)`: its container where it is in one, else its unit. Harmless on a
/// terminal. `fit` shortens a name that somebody chose.
#[must_use]
pub fn who(producer: &Producer, fit: impl Fn(String) -> String) -> String {
    let identity = &producer.identity;
    let which = match (producer.pid, producer.has_exited) {
        (Some(pid), false) => format!("pid {pid}"),
        (Some(pid), true) => format!("pid {pid}, exited"),
        (None, _) => format!("×{} processes", producer.processes_count),
    };
    let place = identity
        .container
        .as_deref()
        .or(identity.unit.as_deref())
        .map(|place| format!(", {}", fit(escape_rest(place))))
        .unwrap_or_default();
    let comm = if identity.comm.is_empty() {
        "a process".to_owned()
    } else {
        fit(escape(&identity.comm))
    };
    format!("{comm} ({which}{place})")
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
        producer.identity.container = Some("docker 0123".to_owned());
        producer.has_exited = true;
        assert_eq!(told(&producer), "age\\x1bnt (pid 42, exited, docker 0123)");
        producer.pid = None;
        producer.processes_count = 1_000;
        assert_eq!(told(&producer), "age\\x1bnt (×1000 processes, docker 0123)");
        assert_eq!(told(&Producer::default()), "a process (×0 processes)");
    }
}
