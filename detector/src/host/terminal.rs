//! A terminal that is drawn anew in place and gives single keys, and is left as it was found.

use std::{
    io::{self, IsTerminal, Stdin, Write},
    os::fd::AsFd,
};

use nix::{
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
    unistd::{getpgrp, read, tcgetpgrp},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::output::Screen;

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const HOME: &str = "\x1b[H";
/// In front of a line's text: at the end of a line that is full, some terminals would erase its last
/// character.
const ERASE_LINE: &str = "\x1b[2K";
const ERASE_BELOW: &str = "\x1b[J";
/// Columns and lines of a terminal that doesn't tell.
const USUAL: (u16, u16) = (80, 24);

/// Standard output, drawn in place. Dropping it gives the terminal back.
pub struct Terminal {
    keys: Option<Keys>,
}

/// Standard input, with its own settings while this lives.
struct Keys {
    input: AsyncFd<Stdin>,
    before: Termios,
}

impl Terminal {
    /// Takes the terminal; none where standard output is none that can be drawn on. Keys are there
    /// where standard input is one too, and this process is not in the background.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn take() -> io::Result<Option<Self>> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let keys = Keys::take()?;
        let mut output = io::stdout().lock();
        write!(output, "{HIDE_CURSOR}")?;
        output.flush()?;
        Ok(Some(Self { keys }))
    }

    /// Its size now.
    pub fn screen() -> Screen {
        let (columns, lines) =
            terminal_size::terminal_size().map_or(USUAL, |(width, height)| (width.0, height.0));
        Screen {
            columns: columns.into(),
            lines: Some(lines.into()),
        }
    }

    /// Bytes typed; empty where there is nothing, none at the end of all input. Never where there are
    /// no keys.
    pub async fn typed(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.keys {
            Some(keys) => keys.typed().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The cursor stands behind the last line. Nobody is left to tell of a failure.
        let mut output = io::stdout().lock();
        let _ = write!(output, "{SHOW_CURSOR}\r\n");
        let _ = output.flush();
    }
}

/// Lines as they are drawn over what was there before. No line end after the last one: at the bottom
/// it would scroll.
pub fn drawn(lines: &[String]) -> String {
    let body: Vec<String> = lines
        .iter()
        .map(|line| format!("{ERASE_LINE}{line}"))
        .collect();
    format!("{HOME}{}{ERASE_BELOW}", body.join("\r\n"))
}

impl Keys {
    fn take() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || tcgetpgrp(&stdin).ok() != Some(getpgrp()) {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        // Signals by keys as well: a stop would leave the cursor hidden.
        raw.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        // A read returns at once: O_NONBLOCK would hit everybody who shares the open file.
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        // SAFETY: standard input stays open as long as the process.
        let input = unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) }
            .map_err(io::Error::from)?;
        tcsetattr(input.get_ref(), SetArg::TCSANOW, &raw)?;
        Ok(Some(Self { input, before }))
    }

    async fn typed(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut ready = self.input.readable_mut().await?;
        let is_closed = ready.ready().is_read_closed();
        let mut bytes = [0; 64];
        let count = match read(ready.get_inner().as_fd(), &mut bytes) {
            // The terminal is gone.
            Err(nix::Error::EIO) => return Ok(None),
            other => other?,
        };
        if count < bytes.len() {
            ready.clear_ready();
        }
        let typed = bytes.get(..count).unwrap_or_default().to_vec();
        Ok((count > 0 || !is_closed).then_some(typed))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(self.input.get_ref(), SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_erased_before_it_is_written_and_nothing_scrolls() {
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(drawn(&lines), "\x1b[H\x1b[2Kone\r\n\x1b[2Ktwo\x1b[J");
    }
}
