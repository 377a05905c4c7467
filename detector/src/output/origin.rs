//! A producer in words and in JSON, wherever it is shown.

use serde::{Deserialize, Serialize};

use crate::{
    escape::{escape, escape_rest},
    producers::{Identity, Producer, Who},
};

/// Samples shown in JSON.
const SAMPLES_MAX: usize = 5;

/// What a process is, as an object's fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityBody {
    pub(crate) exe: Option<String>,
    pub(crate) cgroup: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) container: Option<String>,
}

impl IdentityBody {
    /// All null where nothing is known.
    pub fn of(identity: Option<&Identity>) -> Self {
        let text = |bytes: Option<&Vec<u8>>| bytes.map(|bytes| escape(bytes));
        let text_of = |text: Option<&String>| text.map(escape_rest);
        Self {
            exe: text(identity.and_then(|identity| identity.exe.as_ref())),
            cgroup: text(identity.and_then(|identity| identity.cgroup.as_ref())),
            unit: text_of(identity.and_then(|identity| identity.unit.as_ref())),
            container: text_of(identity.and_then(|identity| identity.container.as_ref())),
        }
    }
}

/// A producer as an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProducerBody {
    pub(crate) comm: String,
    pub(crate) pid: Option<u32>,
    pub(crate) processes_count: u64,
    #[serde(flatten)]
    pub(crate) identity: IdentityBody,
    pub(crate) has_exited: bool,
    pub(crate) created_count: u64,
    pub(crate) negative_count: u64,
    pub(crate) removed_count: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) template: Option<String>,
    pub(crate) samples: Vec<String>,
}

impl ProducerBody {
    /// Everything but the counts by kind of change.
    pub fn of(producer: &Producer) -> Self {
        Self {
            comm: escape(&producer.identity.comm),
            pid: producer.pid,
            processes_count: producer.processes_count,
            identity: IdentityBody::of(Some(&producer.identity)),
            has_exited: producer.has_exited,
            created_count: producer.changes.created_count(),
            negative_count: producer.changes.negative_count(),
            removed_count: producer.changes.removed_count(),
            first_ns: producer.first_ns,
            last_ns: producer.last_ns,
            template: producer.template.as_deref().map(escape_rest),
            samples: producer
                .samples
                .iter()
                .take(SAMPLES_MAX)
                .map(|name| escape(name))
                .collect(),
        }
    }
}

impl ProducerBody {
    /// Who it is.
    #[must_use]
    pub fn who(&self) -> Who {
        Who {
            comm: self.comm.clone(),
            pid: self.pid,
            processes_count: self.processes_count,
            has_exited: self.has_exited,
            exe: self.identity.exe.clone(),
            unit: self.identity.unit.clone(),
            container: self.identity.container.clone(),
        }
    }
}

/// What a producer did.
pub fn what(producer: &ProducerBody) -> String {
    let ProducerBody {
        created_count,
        negative_count,
        removed_count,
        ..
    } = *producer;
    let kind = if created_count == 0 && negative_count > removed_count {
        // It deleted what others had made.
        format!("left {negative_count} negative")
    } else if created_count == 0 {
        format!("removed {removed_count}")
    } else {
        format!(
            "made {created_count} entries, {} negative",
            percent(negative_count, created_count)
        )
    };
    match &producer.template {
        Some(template) => format!("{kind}: {}", escape_rest(template)),
        None => kind,
    }
}

/// A share in whole percent, rounded so that only all is 100 % and only nothing is 0 %.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let percent = u128::from(part) * 100 / u128::from(whole);
    format!("{} %", percent.clamp(1, 99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        let cases = [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (1, 1_000_000, "1 %"),
            (999_999, 1_000_000, "99 %"),
            (7, 7, "100 %"),
            (1, 2, "50 %"),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(percent(part, whole), expected);
        }
    }
}
