//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, and that the loop turns.
//!
//! The socket is connected once, at the start: during an incident nothing looks up a path. Nothing here
//! waits: what finds no room is sent again with the next ping.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use sd_notify::NotifyState;

/// How often a message that found no room is sent again where there is no watchdog.
const RETRY_PERIOD: Duration = Duration::from_secs(10);

/// Where sd_notify(3) says that the socket is named.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The way to the service manager; without one, nothing happens.
#[derive(Debug, Default)]
pub struct Service {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    unsent: String,
    status: String,
}

impl Service {
    /// Connects to the socket that the environment names.
    ///
    /// # Errors
    /// When there is one that can't be reached: the manager would wait for a word in vain.
    pub fn from_environment() -> io::Result<Self> {
        let Some(name) = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        Self::connect(&name, sd_notify::watchdog_enabled())
    }

    fn connect(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match name.as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(name)?,
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog.filter(|period| !period.is_zero()),
            unsent: String::new(),
            status: String::new(),
        })
    }

    /// Somebody listens.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// How often to [`ping`](Self::ping): twice as often as the manager wants it.
    pub fn period(&self) -> Duration {
        let half = self.watchdog.map(|period| period / 2);
        half.unwrap_or(RETRY_PERIOD).max(Duration::from_millis(1))
    }

    /// Everything is attached, or a reload is over. The status is for `systemctl status`.
    pub fn ready(&mut self, status: String) {
        self.status = status;
        self.send(&[
            NotifyState::Ready,
            NotifyState::Status(&self.status.clone()),
        ]);
    }

    /// A reload begins.
    pub fn reloading(&mut self) {
        // The moment tells the manager which of several reloads this is; without it, it takes the next.
        let since = NotifyState::monotonic_usec_now().ok();
        let states: Vec<_> = std::iter::once(NotifyState::Reloading)
            .chain(since)
            .collect();
        self.send(&states);
    }

    /// The end.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// The loop turns.
    pub fn ping(&mut self) {
        if self.watchdog.is_some() {
            self.send(&[NotifyState::Watchdog]);
        } else {
            self.send(&[]);
        }
    }

    fn send(&mut self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut message = std::mem::take(&mut self.unsent);
        for state in states {
            message.push_str(&state.to_string());
            message.push('\n');
        }
        if message.is_empty() {
            return;
        }
        let outcome = socket.send(message.as_bytes());
        let is_full = outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // A ping is worth nothing later.
        if is_full && !matches!(states, [NotifyState::Watchdog]) {
            self.unsent = message;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let count = socket.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }

    #[test]
    fn states_arrive_in_the_form_of_the_manual_page() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let watchdog = Some(Duration::from_secs(4));
        let mut service = Service::connect(path.as_os_str(), watchdog).expect("connected");
        assert_eq!(service.period(), Duration::from_secs(2));
        service.ready("all is well".to_owned());
        assert_eq!(received(&manager), "READY=1\nSTATUS=all is well\n");
        service.ping();
        assert_eq!(received(&manager), "WATCHDOG=1\n");
        service.reloading();
        let told = received(&manager);
        let since = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(
            since.is_some_and(|since| since.trim().parse::<u64>().is_ok()),
            "{told}"
        );
        service.stopping();
        assert_eq!(received(&manager), "STOPPING=1\n");
    }

    #[test]
    fn a_full_socket_is_not_waited_for_and_ready_comes_later() {
        let name = format!("@fslockup-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).expect("an address");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        let mut service =
            Service::connect(name.as_ref(), Some(Duration::from_secs(1))).expect("it");
        for _ in 0..10_000 {
            service.ping();
        }
        service.ready("late".to_owned());
        manager.set_nonblocking(true).expect("set");
        let mut bytes = [0; 64];
        while manager.recv(&mut bytes).is_ok() {}
        service.ping();
        manager.set_nonblocking(false).expect("set");
        assert_eq!(received(&manager), "READY=1\nSTATUS=late\nWATCHDOG=1\n");
    }

    #[test]
    fn a_socket_that_is_not_there_is_an_error() {
        assert!(Service::connect("/nowhere/notify".as_ref(), None).is_err());
        assert!(!Service::default().is_there());
    }
}
