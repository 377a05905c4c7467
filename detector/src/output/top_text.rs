//! The danger list for people: a table that fits its terminal, whatever the names in it.

use anstyle::{AnsiColor, Style};

use super::{
    layout::{WIDTH, columns, shorten, styled},
    top_cells::{count, freeze, share, unknown, watched},
};
use crate::{
    directories::{
        danger::Danger,
        list::{Row, Totals, View},
    },
    escape::{escape, escape_rest},
    producers::{Producer, Who},
    schema::values::{device, time},
};

/// Producers shown of each directory.
const PRODUCERS_MAX: usize = 3;
/// Columns of a name that somebody chose.
const NAME_WIDTH: usize = 24;
/// Columns that a path gets before a column of figures may stay.
const PATH_MIN: usize = 20;
/// Between columns.
const GAP: &str = "  ";
/// Predicted freezes from here on stand out.
const LONG_NS: u64 = 50_000_000;
/// And more so from here on.
const VERY_LONG_NS: u64 = 1_000_000_000;
/// What the table must fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns of a line.
    pub columns: usize,
    /// Lines of a terminal that is drawn anew each time; none where output just goes on.
    pub lines: Option<usize>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            columns: WIDTH,
            lines: None,
        }
    }
}

/// A column of figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Children,
    Negative,
    Freeze,
    Made,
    Watched,
}

impl Column {
    const ALL: [Self; 5] = [
        Self::Children,
        Self::Negative,
        Self::Freeze,
        Self::Made,
        Self::Watched,
    ];
    /// What goes first where a terminal is narrow.
    const SPARED: [Self; 3] = [Self::Watched, Self::Made, Self::Negative];

    fn title(self) -> &'static str {
        match self {
            Self::Children => "CHILDREN",
            Self::Negative => "NEG",
            Self::Freeze => "FREEZE",
            Self::Made => "MADE/S",
            Self::Watched => "WATCHED BY",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Children => 8,
            Self::Negative => 5,
            Self::Freeze => 7,
            Self::Made => 7,
            Self::Watched => 20,
        }
    }

    fn cell(self, row: &Row) -> String {
        let danger = &row.danger;
        match self {
            Self::Children => count(danger.children_count),
            Self::Negative => danger
                .negative_count
                .map_or_else(unknown, |negative| share(negative, danger.children_count)),
            Self::Freeze => freeze(danger.predicted_ns),
            Self::Made => row.created_per_s.map_or_else(unknown, count),
            Self::Watched => watched(&danger.watchers, self.width()),
        }
    }

    /// Figures end at the same column, names begin there.
    fn padded(self, text: &str) -> String {
        let text = shorten(text, self.width());
        let padding = " ".repeat(self.width().saturating_sub(columns(&text)));
        if self == Self::Watched {
            text + &padding
        } else {
            padding + &text
        }
    }

    fn style(self, row: &Row) -> Style {
        let colour = match row.danger.predicted_ns {
            VERY_LONG_NS.. => AnsiColor::Red,
            LONG_NS.. => AnsiColor::Yellow,
            _ => return Style::new(),
        };
        if self == Self::Freeze {
            Style::new().bold().fg_color(Some(colour.into()))
        } else {
            Style::new()
        }
    }
}

/// The lines, without line ends.
#[must_use]
pub fn top_lines(view: &View<'_>, screen: &Screen, is_coloured: bool) -> Vec<String> {
    let width = screen.columns.clamp(1, WIDTH);
    let shown = shown_columns(width);
    let room = width.saturating_sub(figures_width(&shown));
    let titles = titles(&shown, width);
    let keys = screen
        .lines
        .map(|_| "keys: p predicted, c children, n negative, m made a second, q quit".to_owned());
    let totals = totals(&view.totals);
    // The first line, the titles, and the blank one before them.
    let around = 3 + totals.len() + usize::from(keys.is_some());
    let mut table = Vec::new();
    let mut rows_count = 0;
    for row in &view.rows {
        let block = block(row, &shown, room, width, is_coloured);
        let is_too_long = screen
            .lines
            .is_some_and(|lines| around + table.len() + block.len() > lines);
        if is_too_long {
            break;
        }
        table.extend(block);
        rows_count += 1;
    }
    let headline = format!(
        "{}  {} of {} directories by {}",
        time(view.realtime_ns),
        rows_count,
        view.directories_count,
        view.sort.name()
    );
    let mut lines = vec![styled(
        &shorten(&headline, width),
        Style::new().bold(),
        is_coloured,
    )];
    lines.extend(totals.iter().chain(&keys).map(|line| shorten(line, width)));
    lines.push(String::new());
    lines.push(styled(&titles, Style::new().bold(), is_coloured));
    lines.extend(table);
    if let Some(most) = screen.lines {
        // A terminal of a few lines: the first ones are there.
        lines.truncate(most);
    }
    lines
}

/// Titles and directories alone, for a list that is read once.
#[must_use]
pub fn danger_lines(rows: &[&Row], width: usize) -> Vec<String> {
    let mut shown = shown_columns(width);
    shown.retain(|column| *column != Column::Made);
    let room = width.saturating_sub(figures_width(&shown));
    let directories = rows.iter().map(|row| line(row, &shown, room, width, false));
    std::iter::once(titles(&shown, width))
        .chain(directories)
        .collect()
}

fn titles(shown: &[Column], width: usize) -> String {
    let titles: String = shown
        .iter()
        .map(|column| column.padded(column.title()) + GAP)
        .collect();
    shorten(&format!("{titles}DIRECTORY"), width)
}

fn shown_columns(width: usize) -> Vec<Column> {
    let mut shown = Column::ALL.to_vec();
    for spared in Column::SPARED {
        if figures_width(&shown) + PATH_MIN <= width {
            break;
        }
        shown.retain(|column| *column != spared);
    }
    shown
}

fn figures_width(shown: &[Column]) -> usize {
    shown.iter().map(|column| column.width() + GAP.len()).sum()
}

/// A directory with its producers.
fn block(row: &Row, shown: &[Column], room: usize, width: usize, is_coloured: bool) -> Vec<String> {
    let producers = &row.danger.producers;
    let mut lines = vec![line(row, shown, room, width, is_coloured)];
    lines.extend(
        producers
            .iter()
            .take(PRODUCERS_MAX)
            .map(|producer| shorten(&producer_line(producer), width)),
    );
    let more = producers.len().saturating_sub(PRODUCERS_MAX);
    if more > 0 {
        lines.push(shorten(&format!("{:8}{GAP}and {more} more", ""), width));
    }
    lines
}

fn line(row: &Row, shown: &[Column], room: usize, width: usize, is_coloured: bool) -> String {
    let cells: Vec<(String, Style)> = shown
        .iter()
        .map(|column| (column.padded(&column.cell(row)), column.style(row)))
        .collect();
    let place = shorten(&place(&row.danger), room.max(1));
    let plain: String = cells
        .iter()
        .map(|(cell, _)| format!("{cell}{GAP}"))
        .chain([place.clone()])
        .collect();
    let line = if columns(&plain) > width {
        // Not even the figures fit.
        shorten(&plain, width)
    } else {
        cells
            .iter()
            .map(|(cell, style)| styled(cell, *style, is_coloured && !style.is_plain()) + GAP)
            .chain([place])
            .collect()
    };
    line.trim_end().to_owned()
}

fn producer_line(producer: &Producer) -> String {
    let who = Who::of(producer).text(|name| shorten(name, NAME_WIDTH));
    let names = producer
        .template
        .as_deref()
        .map(|template| format!(": {}", shorten(&escape_rest(template), 2 * NAME_WIDTH)))
        .unwrap_or_default();
    let made = count(producer.changes.created_count());
    format!("{made:>8}{GAP}made by {who}{names}")
        .trim_end()
        .to_owned()
}

fn totals(totals: &Totals) -> Vec<String> {
    let dentries = totals.dentry_state.map_or_else(
        || "dentries: could not tell".to_owned(),
        |state| {
            let share = state
                .negative_percent()
                .map(|percent| format!(" ({percent} % of all)"))
                .unwrap_or_default();
            format!(
                "dentries: {} cached, {} unused, {} of them negative{share}",
                state.dentries_count, state.unused_count, state.negative_count
            )
        },
    );
    let left_out = format!(
        "not in the list: {} made and {} removed, {} changes not counted apart, {} records lost",
        count(totals.dropped.created_count()),
        count(totals.dropped.removed_count()),
        count(totals.uncounted.total_count()),
        totals.lost_count,
    );
    vec![dentries, left_out]
}

/// The path, or what else tells the directory.
fn place(danger: &Danger) -> String {
    danger.path.as_deref().map_or_else(
        || {
            let fstype = escape(&danger.fstype);
            format!("{fstype} {} inode {}", device(danger.dev), danger.ino)
                .trim_start()
                .to_owned()
        },
        escape,
    )
}

#[cfg(test)]
mod tests;
