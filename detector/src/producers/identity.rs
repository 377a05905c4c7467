//! Which systemd unit and which container a cgroup belongs to, from its path alone.
//!
//! What is returned as text is made of the characters that systemd and the engines allow in names, so that
//! a hostile path yields nothing instead of something to escape.

/// The systemd unit and the container of a cgroup.
///
/// The unit is the innermost service, scope, socket, mount or swap of the path, else the innermost slice
/// (systemd.unit(5)): of a systemd inside a container, the container's own. Whoever may make cgroups
/// below a unit (`Delegate=`) may name one like a unit; nothing in a path tells.
///
/// The container is the innermost one:
/// - 64 hex digits, the id that Docker, containerd's and CRI-O's CRI, and Podman give: bare (cgroupfs driver of
///   Docker and of kubelet, `docker run --cgroup-parent`), or as `ENGINE-ID.scope` or `ENGINE-ID`, or as
///   `SLICE:ENGINE:ID` (the systemd form, handed to a runtime that used cgroupfs);
/// - the name behind `lxc.payload.` (LXC 4, LXD, Incus) or below `lxc/` or
///   `lxc.payload/` (LXC before, Proxmox);
/// - the name of a machine below `machine-NAME.scope` or `systemd-nspawn@NAME.service`, but not
///   libvirt's virtual machines (`machine-qemu\x2d…`).
///
/// Monitors are not in their container: `crio-conmon-`, `libpod-conmon-`, `lxc.monitor.`.
#[must_use]
pub fn from_cgroup_path(path: &[u8]) -> (Option<String>, Option<String>) {
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        // systemd puts `_` before what could be taken for a file of the cgroup (cg_escape()).
        .map(|part| part.strip_prefix(b"_").unwrap_or(part))
        .collect();
    let innermost = |suffixes: &[&str]| parts.iter().rev().find_map(|part| unit(part, suffixes));
    let unit = innermost(&[".service", ".scope", ".socket", ".mount", ".swap"])
        .or_else(|| innermost(&[".slice"]));
    let container = (0..parts.len()).rev().find_map(|at| {
        let parent = at.checked_sub(1).map(|above| parts[above]);
        container(parts[at], parent)
    });
    (unit, container)
}

/// `UNIT_NAME_MAX` of systemd: with the ending 0.
const UNIT_BYTES_MAX: usize = 255;

/// The part as the name of a unit with one of these suffixes: systemd's `VALID_CHARS` and `@`. `\x2d` and the
/// like are part of the name, as systemctl(1) wants it.
fn unit(part: &[u8], suffixes: &[&str]) -> Option<String> {
    let text = std::str::from_utf8(part).ok()?;
    let is_unit = suffixes.iter().any(|suffix| {
        text.strip_suffix(suffix)
            .is_some_and(|stem| !stem.is_empty() && !stem.starts_with('@'))
    });
    let is_valid = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, ':' | '-' | '_' | '.' | '\\' | '@')
    };
    (is_unit && text.len() <= UNIT_BYTES_MAX && text.chars().all(is_valid)).then(|| text.to_owned())
}

/// Names that stand before the id of a container. Those of its monitor are not among them.
const ENGINES: [&str; 6] = [
    "docker",
    // containerd's CRI: kubelet's systemd driver.
    "cri-containerd",
    // containerd's own command line tool for people.
    "nerdctl",
    // CRI-O, both drivers.
    "crio",
    // Podman, both drivers; its `--cgroups=split`.
    "libpod",
    "libpod-payload",
];

fn container(part: &[u8], parent: Option<&[u8]>) -> Option<String> {
    let part = std::str::from_utf8(part).ok()?;
    engine_id(part)
        .map(ToOwned::to_owned)
        .or_else(|| part.strip_prefix("lxc.payload.").and_then(name))
        .or_else(|| {
            (matches!(parent, Some(b"lxc" | b"lxc.payload")))
                .then(|| name(part))
                .flatten()
        })
        .or_else(|| machine(part))
}

fn engine_id(part: &str) -> Option<&str> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let id = match stem.rsplit_once(['-', ':']) {
        None => return is_id(part).then_some(part),
        Some((before, id)) => {
            let engine = before.rsplit_once(':').map_or(before, |(_, engine)| engine);
            ENGINES.contains(&engine).then_some(id)?
        }
    };
    is_id(id).then_some(id)
}

fn is_id(id: &str) -> bool {
    id.len() == 64
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn machine(part: &str) -> Option<String> {
    let scope = part
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"));
    let service = part
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"));
    let machine = name(&unescape(scope.or(service)?)?)?;
    (!machine.starts_with("qemu-")).then_some(machine)
}

/// `\x2d` and the like back to characters (systemd.unit(5), "string escaping").
fn unescape(escaped: &str) -> Option<String> {
    let mut pieces = escaped.split("\\x");
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let byte = u8::from_str_radix(piece.get(..2)?, 16).ok()?;
        text.push(char::from(byte));
        text.push_str(&piece[2..]);
    }
    Some(text)
}

/// The name of a container, if it is one: LXC and machined allow less than this.
fn name(name: &str) -> Option<String> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.len() <= 255 && name.bytes().all(is_valid)).then(|| name.to_owned())
}

/// The cgroup path out of `/proc/PID/cgroup` (cgroups(7)): of the version 2 hierarchy; where the process is in
/// its root there because the host uses version 1, of systemd's own hierarchy, else of the first that
/// has one. None where no line is as documented.
#[must_use]
pub fn cgroup_path(text: &[u8]) -> Option<Vec<u8>> {
    // The kernel refuses a newline in the name of a cgroup (cgroup_mkdir()).
    let lines: Vec<_> = text
        .split(|byte| *byte == b'\n')
        .filter_map(hierarchy)
        .collect();
    let find = |is_wanted: fn(&[u8], &[u8]) -> bool| {
        let mut paths = lines
            .iter()
            .filter(|(id, controllers, path)| *path != b"/" && is_wanted(id, controllers));
        paths.next()
    };
    find(|id, _| id == b"0")
        .or_else(|| find(|_, controllers| controllers == b"name=systemd"))
        .or_else(|| find(|_, _| true))
        .or(lines.first())
        .map(|(_, _, path)| path.to_vec())
}

/// `hierarchy-ID:controller-list:cgroup-path`, without the mark of a cgroup that was removed since.
fn hierarchy(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.starts_with(b"/").then_some((id, controllers, path))
}

#[cfg(test)]
mod tests;
