//! `fslockup top`: readings of a [`Source`], shown again and again.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{make_plan, read_kernel};
use crate::{
    attach::{self, Thresholds},
    cli::TopArgs,
    daemon::memory,
    directories::list::{SortKey, Top},
    error::{CommandError, OUTPUT},
    facts::Kernel,
    host::terminal::{Terminal, drawn},
    output::{Format, Screen, top_lines, wants_colour, write_top},
    probes,
    run::{
        live::{Live, Source},
        runtime::block_on,
    },
};

/// A shorter walk says nothing of its children.
const WALK_THRESHOLD_NS: u64 = 100_000;
/// More often than this nobody can look.
const PERIOD_MIN: Duration = Duration::from_millis(100);
/// How often records are taken, so that their buffer doesn't fill between two readings.
const DRAIN_PERIOD: Duration = Duration::from_millis(100);

/// `fslockup top`.
pub fn run(args: &TopArgs) -> Result<ExitCode, CommandError> {
    let Kernel {
        facts, type_ids, ..
    } = read_kernel(&args.kernel)?;
    let mut plan = make_plan(&args.kernel, &facts)?;
    plan.probes.retain(|planned| {
        planned.probe == probes::WALK || planned.probe.starts_with(probes::PRODUCERS)
    });
    let thresholds = Thresholds {
        walk_ns: WALK_THRESHOLD_NS,
        producer_children_min: args.producer_children_min,
        ..Thresholds::NEVER
    };
    let started = attach::attach(&plan, &facts, &type_ids, &thresholds, None)?;
    let mut live = Live::new(&facts, started)?;
    memory::give_back();
    top(args, &mut live, &facts.host, &facts.kernel_release)
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Sort(SortKey),
    Quit,
}

impl Wish {
    /// The last wish among what was typed.
    fn of(typed: &[u8]) -> Option<Self> {
        letters(typed)
            .filter_map(|byte| match byte {
                b'p' => Some(Self::Sort(SortKey::Predicted)),
                b'c' => Some(Self::Sort(SortKey::Children)),
                b'n' => Some(Self::Sort(SortKey::Negative)),
                b'm' => Some(Self::Sort(SortKey::Created)),
                // With the signals of the keyboard: interrupt, end of input, quit.
                b'q' | 3 | 4 | 0x1c => Some(Self::Quit),
                _ => None,
            })
            .last()
    }
}

/// What was typed without the sequences of keys that are no characters, and without answers of the
/// terminal: ESC and a byte, or ESC, `[` or `O`, and all up to a letter or the like (ECMA-48 5.4).
fn letters(typed: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = typed.iter().copied();
    std::iter::from_fn(move || {
        loop {
            let byte = rest.next()?;
            if byte != 0x1b {
                return Some(byte);
            }
            if matches!(rest.next()?, b'[' | b'O') {
                rest.find(|byte| (0x40..0x7f).contains(byte))?;
            }
        }
    })
}

/// Where readings go.
struct Display<W: Write> {
    to: W,
    format: Format,
    /// None where output just goes on.
    terminal: Option<Terminal>,
    is_coloured: bool,
    has_blocks: bool,
    host: String,
    kernel: String,
}

impl<W: Write> Display<W> {
    fn show(&mut self, top: &Top, sort: SortKey, limit: usize) -> io::Result<()> {
        let view = top.view(sort, limit);
        match (self.format, &self.terminal) {
            (Format::Json, _) => write_top(&mut self.to, &view, &self.host, &self.kernel)?,
            (Format::Text, Some(_)) => {
                let lines = top_lines(&view, &Terminal::screen(), self.is_coloured);
                self.to.write_all(drawn(&lines).as_bytes())?;
            }
            (Format::Text, None) => {
                if self.has_blocks {
                    writeln!(self.to)?;
                }
                for line in top_lines(&view, &Screen::default(), self.is_coloured) {
                    writeln!(self.to, "{line}")?;
                }
                self.has_blocks = true;
            }
        }
        self.to.flush()
    }
}

/// Shows readings until a signal, a key, the time asked for or, with `--once`, after one period.
/// `host` and `kernel` are those of the facts.
///
/// # Errors
/// Those of the source and of the output.
pub fn top<S: Source>(
    args: &TopArgs,
    source: &mut S,
    host: &str,
    kernel: &str,
) -> Result<ExitCode, CommandError> {
    block_on(async {
        let signals = Signals::catch().map_err(CommandError::io("signals"))?;
        let is_live = args.format == Format::Text && !args.once;
        let terminal = is_live
            .then(Terminal::take)
            .transpose()
            .map_err(CommandError::io("terminal"))?
            .flatten();
        let display = Display {
            to: io::stdout(),
            format: args.format,
            terminal,
            is_coloured: wants_colour(),
            has_blocks: false,
            host: host.to_owned(),
            kernel: kernel.to_owned(),
        };
        watch(args, source, display, signals).await
    })
}

/// The first reading is only what the second is compared with, unless it is drawn over.
async fn watch<S: Source, W: Write>(
    args: &TopArgs,
    source: &mut S,
    mut display: Display<W>,
    mut signals: Signals,
) -> Result<ExitCode, CommandError> {
    let start = Instant::now();
    let end = args.duration.map(|duration| start + duration);
    let mut sort = args.sort;
    let mut top = Top::default();
    top.update(source.read()?);
    if display.terminal.is_some() {
        display
            .show(&top, sort, args.limit)
            .map_err(CommandError::io(OUTPUT))?;
    }
    let mut period = interval(args.period.max(PERIOD_MIN));
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    period.reset();
    let mut drain = interval(DRAIN_PERIOD);
    drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = period.tick() => {
                top.update(source.read()?);
                display.show(&top, sort, args.limit).map_err(CommandError::io(OUTPUT))?;
                if args.once {
                    break;
                }
            }
            _ = drain.tick() => source.drain()?,
            typed = typed(display.terminal.as_mut()) => {
                let Some(typed) = typed.map_err(CommandError::io("terminal"))? else {
                    break;
                };
                match Wish::of(&typed) {
                    Some(Wish::Quit) => break,
                    Some(Wish::Sort(key)) => {
                        sort = key;
                        display.show(&top, sort, args.limit).map_err(CommandError::io(OUTPUT))?;
                    }
                    None => {}
                }
            }
            _ = signals.window_change.recv(), if display.terminal.is_some() => {
                display.show(&top, sort, args.limit).map_err(CommandError::io(OUTPUT))?;
            }
            () = at(end) => break,
            () = signals.ends.any() => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn typed(terminal: Option<&mut Terminal>) -> io::Result<Option<Vec<u8>>> {
    match terminal {
        Some(terminal) => terminal.typed().await,
        None => std::future::pending().await,
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The signals that end a run, each caught so that the terminal is given back; and the one that tells
/// of another size.
struct Signals {
    ends: Ends,
    window_change: Signal,
}

struct Ends([Signal; 4]);

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            ends: Ends([
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::quit())?,
            ]),
            window_change: signal(SignalKind::window_change())?,
        })
    }
}

impl Ends {
    async fn any(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
