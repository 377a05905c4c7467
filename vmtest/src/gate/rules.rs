//! What counts against a candidate (`images/gate.toml`).

use std::{fmt, path::Path};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use toml::Table;

const DEFAULTS: &str = include_str!("../../../images/gate.toml");

/// What a comparison falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A probe without which the detector can't run.
    LostProbe,
    /// Any other probe.
    LostCoverage,
    /// The outcome of a scenario.
    Scenario,
    /// Instructions for each child.
    WalkCost,
    /// Waits for the walk's locks.
    Contention,
    /// Where the kernel walks.
    Exposure,
    /// How long the guest boots.
    BootTime,
    /// How long the detector takes to attach.
    AttachTime,
}

impl Rule {
    /// Its table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LostProbe => "lost-probe",
            Self::LostCoverage => "lost-coverage",
            Self::Scenario => "scenario",
            Self::WalkCost => "walk-cost",
            Self::Contention => "contention",
            Self::Exposure => "exposure",
            Self::BootTime => "boot-time",
            Self::AttachTime => "attach-time",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.name())
    }
}

/// What follows when something is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The candidate fails.
    Fail,
    /// It is said.
    Warn,
    /// Nothing.
    Ignore,
}

/// A rule about something that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// What follows.
    pub level: Level,
}

/// A rule about a number that should not grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// What follows.
    pub level: Level,
    /// Over this multiple of the baseline's it is worse.
    pub ratio_max: f64,
    /// If it is larger by more than this, in its own unit.
    pub difference_min: f64,
}

impl Ratio {
    /// What may be reached when the baseline has this much.
    #[must_use]
    pub fn limit(&self, baseline: f64) -> f64 {
        (baseline * self.ratio_max).max(baseline + self.difference_min)
    }
}

/// All rules.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// See [`Rule`].
    pub lost_probe: Plain,
    /// See [`Rule`].
    pub lost_coverage: Plain,
    /// See [`Rule`].
    pub scenario: Plain,
    /// See [`Rule`].
    pub walk_cost: Ratio,
    /// See [`Rule`].
    pub contention: Ratio,
    /// See [`Rule`].
    pub exposure: Plain,
    /// See [`Rule`].
    pub boot_time: Ratio,
    /// See [`Rule`].
    pub attach_time: Ratio,
}

impl Rules {
    /// The defaults, changed by the file at `path` where there is one.
    ///
    /// # Errors
    /// When it can't be read or makes no sense.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Self::parse("");
        };
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).map_err(|why| anyhow!("{}: {why:#}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let own: Table = text.parse().map_err(one_line)?;
        let mut all: Table = DEFAULTS.parse().map_err(one_line)?;
        for (rule, changes) in own {
            let changes = changes
                .as_table()
                .with_context(|| format!("{rule}: not a table"))?
                .clone();
            match all.get_mut(&rule).and_then(toml::Value::as_table_mut) {
                Some(table) => table.extend(changes),
                None => {
                    let known: Vec<&str> = all.keys().map(String::as_str).collect();
                    anyhow::bail!("{rule}: no such rule (there are: {})", known.join(" "));
                }
            }
        }
        let rules: Self = all.try_into().map_err(one_line)?;
        for (rule, ratio) in [
            (Rule::WalkCost, rules.walk_cost),
            (Rule::Contention, rules.contention),
            (Rule::BootTime, rules.boot_time),
            (Rule::AttachTime, rules.attach_time),
        ] {
            let is_sound = ratio.ratio_max >= 1.0
                && ratio.ratio_max.is_finite()
                && ratio.difference_min >= 0.0
                && ratio.difference_min.is_finite();
            anyhow::ensure!(
                is_sound,
                "{rule}: ratio_max is at least 1 and difference_min at least 0"
            );
        }
        Ok(rules)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is used with map_err")]
fn one_line(error: toml::de::Error) -> anyhow::Error {
    anyhow!("{}", error.to_string().trim().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let defaults = Rules::load(None).expect("the defaults");
        let rules = Rules::parse("[walk-cost]\nratio_max = 1.5\n[exposure]\nlevel = \"warn\"\n");
        let rules = rules.expect("rules");
        assert_eq!(rules.walk_cost.level, Level::Fail);
        assert!((rules.walk_cost.ratio_max - 1.5).abs() < f64::EPSILON);
        assert_eq!(rules.exposure.level, Level::Warn);
        assert_eq!(rules.scenario, defaults.scenario);
    }

    #[test]
    fn mistakes_are_one_line_that_names_them() {
        for (text, expected) in [
            (
                "[walk-costs]\nlevel = \"fail\"",
                "walk-costs: no such rule (there are: ",
            ),
            ("walk-cost = 3", "walk-cost: not a table"),
            ("[walk-cost]\nratio = 2", "unknown field `ratio`"),
            ("[scenario]\nlevel = \"loud\"", "unknown variant `loud`"),
            (
                "[walk-cost]\nratio_max = 0.9",
                "walk-cost: ratio_max is at least 1",
            ),
            (
                "[walk-cost]\nratio_max = nan",
                "walk-cost: ratio_max is at least 1",
            ),
            ("[", "TOML parse error"),
        ] {
            let error = format!("{:#}", Rules::parse(text).expect_err(text));
            assert!(error.contains(expected), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn nothing_times_a_ratio_is_no_limit() {
        let ratio = Ratio {
            level: Level::Fail,
            ratio_max: 1.1,
            difference_min: 0.5,
        };
        assert!((ratio.limit(0.0) - 0.5).abs() < 1e-9);
        assert!((ratio.limit(25.0) - 27.5).abs() < 1e-9);
    }
}
