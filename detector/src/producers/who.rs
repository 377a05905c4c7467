//! A producer in a few words, for people.

use super::Producer;
use crate::escape::{escape, escape_rest};

/// What tells a producer, with every name harmless on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The process's name; empty where it is not known.
    pub comm: String,
    /// None for several processes.
    pub pid: Option<u32>,
    /// How many it stands for.
    pub processes_count: u64,
    /// It is known to have exited.
    pub has_exited: bool,
    /// Its program.
    pub exe: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<String>,
}

impl Who {
    /// Of a producer.
    #[must_use]
    pub fn of(producer: &Producer) -> Self {
        let identity = &producer.identity;
        Self {
            comm: escape(&identity.comm),
            pid: producer.pid,
            processes_count: producer.processes_count,
            has_exited: producer.has_exited,
            exe: identity.exe.as_deref().map(escape),
            unit: identity.unit.as_deref().map(escape_rest),
            container: identity.container.as_deref().map(escape_rest),
        }
    }

    /// `comm (pid 42, x.service)`: the container where it is in one, else the unit, else the program.
    /// `fit` shortens a name that somebody chose.
    #[must_use]
    pub fn text(&self, fit: impl Fn(&str) -> String) -> String {
        let comm = if self.comm.is_empty() {
            "a process".to_owned()
        } else {
            fit(&self.comm)
        };
        let process = match self.pid {
            Some(pid) if self.has_exited => format!("pid {pid}, exited"),
            Some(pid) => format!("pid {pid}"),
            None => format!("{} processes, exited", self.processes_count),
        };
        let home = if let Some(container) = &self.container {
            format!(", container {}", fit(short(container)))
        } else if let Some(unit) = &self.unit {
            format!(", {}", fit(unit))
        } else if let Some(exe) = &self.exe {
            format!(", {}", fit(exe))
        } else {
            String::new()
        };
        format!("{comm} ({process}{home})")
    }
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
        let told = |producer: &Producer| Who::of(producer).text(str::to_owned);
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
        assert_eq!(
            told(&Producer::default()),
            "a process (0 processes, exited)"
        );
    }
}
