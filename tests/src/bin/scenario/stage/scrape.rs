//! Asks for metrics as Prometheus does, over the guest's loopback.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
};

use anyhow::Context as _;
use nix::{
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::kernel::PATIENCE;

/// Samples by name with labels, as they stand in the text.
pub struct Scrape {
    samples: BTreeMap<String, f64>,
    pub text: String,
}

impl Scrape {
    /// One scrape.
    pub fn of(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).with_context(|| address.to_string())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, text) = answer.split_once("\r\n\r\n").context("no headers")?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').context("no value")?;
                Ok((name.to_owned(), value.parse()?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            samples,
            text: text.to_owned(),
        })
    }

    /// The one sample of this name and these labels, as they stand in the text.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// The sum over all labels, of which one is as given, for example `path="/tmp"`; none where there
    /// is no such sample.
    pub fn sum(&self, name: &str, label: &str) -> Option<f64> {
        let found: Vec<_> = self
            .samples
            .iter()
            .filter(|(sample, _)| sample.split('{').next() == Some(name))
            .filter(|(sample, _)| sample.contains(label))
            .map(|(_, value)| *value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

/// Guests have no network; this gives them 127.0.0.1, which the kernel adds when the device comes up.
pub fn bring_loopback_up() -> anyhow::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: made of integers and bytes only.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING)?;
    // SAFETY: the request lives as long as the call (netdevice(7)).
    let outcome =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    nix::errno::Errno::result(outcome).context("bring lo up")?;
    Ok(())
}
