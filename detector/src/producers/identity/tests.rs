use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{cgroup_path, from_cgroup_path};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const INNER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const POD: &str = "2c48913c-b29f-11e7-9350-020968147796";

/// Paths in the forms that the projects give them: `ID` and `INNER` stand for ids, `POD` for a pod's UID.
const PATHS: [&str; 44] = [
    "/",
    "/init.scope",
    "/system.slice",
    "/system.slice/sshd.service",
    "/system.slice/system-getty.slice/getty@tty1.service",
    "/system.slice/dev-disk-by\\x2duuid-1234.swap",
    "/system.slice/foo.service/worker/1",
    "/user.slice/user-1000.slice/session-3.scope",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-vim-77.scope",
    "/user.slice/user-1000.slice/user@1000.service/init.scope",
    "/_cpu.service",
    "/docker/ID",
    "/docker/ID/docker/INNER",
    "/ci-jobs/ID",
    "/system.slice/docker-ID.scope",
    "/system.slice/docker-ID.scope/init.scope",
    "/system.slice/docker-ID.scope/system.slice/nginx.service",
    "/system.slice/docker.service",
    "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
    "/kubepods/burstable/podPOD/ID",
    "/kubepods/podPOD/ID",
    "/kubepods/besteffort/podPOD/crio-ID",
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD.slice/cri-containerd-ID.scope",
    "/kubepods.slice/kubepods-podPOD.slice/crio-ID.scope",
    "/kubepods.slice/kubepods-podPOD.slice/crio-ID.scope/container",
    "/kubepods.slice/kubepods-podPOD.slice/crio-conmon-ID.scope",
    "/kubepods.slice/kubepods-podPOD.slice/docker-ID.scope",
    "/system.slice/containerd.service/kubepods-burstable-podPOD.slice:cri-containerd:ID",
    "/system.slice/nerdctl-ID.scope",
    "/machine.slice/libpod-ID.scope",
    "/machine.slice/libpod-ID.scope/container",
    "/machine.slice/libpod-conmon-ID.scope",
    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
    "/libpod_parent/libpod-ID",
    "/libpod_parent/libpod-ID/ctr",
    "/system.slice/web.service/libpod-payload-ID",
    "/lxc.payload.web-1",
    "/lxc.payload.web-1/system.slice/cron.service",
    "/lxc.monitor.web-1",
    "/lxc/101/ns/system.slice/cron.service",
    "/machine.slice/machine-my\\x2dbox.scope/payload",
    "/machine.slice/systemd-nspawn@debian.service/payload/system.slice/cron.service",
    "/machine.slice/machine-qemu\\x2d3\\x2dvm.scope/libvirt/emulator",
    "/docker/docker-INNER.scope/kubelet.slice/kubelet-kubepods-podPOD.slice/cri-containerd-ID.scope",
];

#[test]
fn paths_of_the_engines() {
    let table: Vec<_> = PATHS
        .iter()
        .map(|path| {
            let real = path
                .replace("ID", ID)
                .replace("INNER", INNER)
                .replace("POD", POD);
            let (unit, container) = from_cgroup_path(real.as_bytes());
            let short = |name: Option<String>| {
                let name = name.unwrap_or_else(|| "-".to_owned());
                name.replace(ID, "ID")
                    .replace(INNER, "INNER")
                    .replace(POD, "POD")
            };
            format!(
                "{path}\n    unit {}  container {}",
                short(unit),
                short(container)
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn hostile_paths_give_nothing() {
    let upper = format!("/docker/{}", ID.to_uppercase());
    let short = format!("/docker-{}.scope", &ID[1..]);
    for path in [
        "/x\x1b[2J.service",
        "/a b.service",
        "/ümlaut.scope",
        "/.service",
        "/@x.service",
        "/lxc.payload.",
        "/lxc.payload.a\nb",
        "/lxc/<b>",
        "/machine-\\x1b.scope/x",
        "/machine-\\x.scope/x",
        "/machine-\\xé.scope/x",
        "/systemd-nspawn@.service/..",
        &short,
        &upper,
        &format!("/{}.service", "x".repeat(300)),
    ] {
        let (unit, container) = from_cgroup_path(path.as_bytes());
        assert_eq!(container, None, "{path:?}");
        let is_plain = |unit: &String| unit.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(unit.as_ref().is_none_or(is_plain), "{path:?}: {unit:?}");
    }
    assert_eq!(from_cgroup_path(b"/\xff\xfe.service"), (None, None));
}

#[test]
fn random_bytes_give_plain_text_or_nothing() {
    const ALPHABET: &[u8] = b"/machine-\\x2d.scope@service:lxc.payload_\n\x1b\xffdocker";
    for round in 0..5_000 {
        let mut seed = SmallRng::seed_from_u64(round);
        let length = seed.random_range(0..120);
        let mut bytes = || ALPHABET[seed.random_range(0..ALPHABET.len())];
        let path: Vec<_> = (0..length).map(|_| bytes()).collect();
        let (unit, container) = from_cgroup_path(&path);
        for text in [unit, container].into_iter().flatten() {
            assert!(
                text.bytes().all(|byte| byte.is_ascii_graphic()),
                "{round}: {text:?}"
            );
        }
        let _ = cgroup_path(&path);
    }
}

fn path_of(text: &str) -> Option<String> {
    cgroup_path(text.as_bytes()).map(|path| String::from_utf8(path).expect("text"))
}

#[test]
fn the_version_2_line_wins() {
    assert_eq!(
        path_of("0::/system.slice/a.service\n").as_deref(),
        Some("/system.slice/a.service")
    );
    assert_eq!(
        path_of(
            "4:memory:/m\n1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n"
        )
        .as_deref(),
        Some("/system.slice/b.service")
    );
}

#[test]
fn hosts_with_version_1_have_a_path_too() {
    let legacy = "12:pids:/docker/x\n1:name=systemd:/docker/y\n";
    assert_eq!(path_of(legacy).as_deref(), Some("/docker/y"));
    assert_eq!(
        path_of("12:cpu,cpuacct:/docker/x\n11:pids:/\n").as_deref(),
        Some("/docker/x")
    );
    let mounted_but_unused = "1:name=systemd:/init.scope\n0::/\n";
    assert_eq!(path_of(mounted_but_unused).as_deref(), Some("/init.scope"));
    assert_eq!(path_of("0::/\n").as_deref(), Some("/"));
}

#[test]
fn a_removed_cgroup_keeps_its_path_and_colons_are_part_of_it() {
    assert_eq!(path_of("0::/a/b (deleted)\n").as_deref(), Some("/a/b"));
    let colons = "0::/x.slice:cri-containerd:1\n";
    assert_eq!(
        path_of(colons).as_deref(),
        Some("/x.slice:cri-containerd:1")
    );
}

#[test]
fn what_is_no_such_file_has_no_path() {
    for text in ["", "\n\n", "0::", "nonsense", "0:/a", "0::relative"] {
        assert_eq!(path_of(text), None, "{text:?}");
    }
}
