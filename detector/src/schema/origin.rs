//! A producer as an object, wherever it is shown.

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
