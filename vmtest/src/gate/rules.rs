//! What counts against a candidate (`images/gate.toml`).

use std::{fmt, path::Path};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use toml::Table;

const DEFAULTS: &str = include_str!("../../../images/gate.toml");

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $variant:ident $field:ident $name:literal: $kind:ty;)*) => {
        /// What a comparison falls under.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Rule {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Rule {
            /// Its table's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        /// All rules.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct Rules {
            $($(#[doc = $doc])+ pub $field: $kind,)*
        }

        impl Rules {
            /// What is wrong with them, one line.
            fn flaw(&self) -> Option<String> {
                let checked = [$((Rule::$variant, self.$field.flaw()),)*];
                let flawed = checked.into_iter();
                let mut flaws = flawed.filter_map(|(rule, flaw)| Some(format!("{rule}: {}", flaw?)));
                flaws.next()
            }

            /// What follows by this rule.
            #[must_use]
            pub fn level(&self, rule: Rule) -> Level {
                match rule {
                    $(Rule::$variant => self.$field.level(),)*
                }
            }
        }
    };
}

rules! {
    /// A probe without which the detector can't run.
    LostProbe lost_probe "lost-probe": Plain;
    /// Any other probe.
    LostCoverage lost_coverage "lost-coverage": Plain;
    /// The outcome of a scenario.
    Scenario scenario "scenario": Plain;
    /// Guests that did not come up.
    Boots boots "boots": Plain;
    /// What the kernel reported while it booted.
    BootReports boot_reports "boot-reports": Plain;
    /// What a walk does with each child.
    WalkClass walk_class "walk-class": Plain;
    /// What a walk over a million children would take.
    WalkTime walk_time "walk-time": WalkTime;
    /// Instructions for each child.
    WalkCost walk_cost "walk-cost": Ratio;
    /// What a walk touches of each child.
    ChildMemory child_memory "child-memory": Ratio;
    /// Waits for the walk's locks.
    Contention contention "contention": Ratio;
    /// Where the kernel walks.
    Exposure exposure "exposure": Plain;
    /// That `check` and what is measured agree on where it walks.
    WrongClaim wrong_claim "wrong-claim": Plain;
    /// How long the guest boots.
    BootTime boot_time "boot-time": Ratio;
    /// How long the detector takes to attach.
    AttachTime attach_time "attach-time": Ratio;
    /// How long the detector takes to end.
    StopTime stop_time "stop-time": Ratio;
    /// What the verifier went through.
    VerifiedInstructions verified_instructions "verified-instructions": Ratio;
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

impl Plain {
    fn level(&self) -> Level {
        self.level
    }

    #[expect(clippy::unused_self, reason = "as the other kinds have it")]
    fn flaw(&self) -> Option<&'static str> {
        None
    }
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

    fn level(&self) -> Level {
        self.level
    }

    fn flaw(&self) -> Option<&'static str> {
        let is_sound = self.ratio_max >= 1.0
            && self.ratio_max.is_finite()
            && self.difference_min >= 0.0
            && self.difference_min.is_finite();
        (!is_sound).then_some("ratio_max is at least 1 and difference_min at least 0")
    }
}

/// The rule about a walk's predicted time, with what predicts it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkTime {
    /// What follows.
    pub level: Level,
    /// See [`Ratio`].
    pub ratio_max: f64,
    /// Over this multiple of the baseline's it is warned of.
    pub warn_ratio_max: f64,
    /// See [`Ratio`].
    pub difference_min: f64,
    /// What a cache line of a child takes that comes from memory.
    pub ns_per_line: f64,
    /// What an instruction takes.
    pub ns_per_instruction: f64,
}

impl WalkTime {
    /// The rule about the number.
    #[must_use]
    pub fn ratio(&self) -> Ratio {
        Ratio {
            level: self.level,
            ratio_max: self.ratio_max,
            difference_min: self.difference_min,
        }
    }

    /// Over what it is warned of.
    #[must_use]
    pub fn warn_limit(&self, baseline: f64) -> f64 {
        let ratio = Ratio {
            ratio_max: self.warn_ratio_max,
            ..self.ratio()
        };
        ratio.limit(baseline)
    }

    fn level(&self) -> Level {
        self.level
    }

    fn flaw(&self) -> Option<&'static str> {
        if !(1.0..=self.ratio_max).contains(&self.warn_ratio_max) {
            return Some("warn_ratio_max is at least 1 and at most ratio_max");
        }
        let costs = [self.ns_per_line, self.ns_per_instruction];
        if !costs.iter().all(|cost| *cost >= 0.0 && cost.is_finite()) {
            return Some("ns_per_line and ns_per_instruction are at least 0");
        }
        self.ratio().flaw()
    }
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
        match rules.flaw() {
            Some(flaw) => Err(anyhow!(flaw)),
            None => Ok(rules),
        }
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
        assert_eq!(rules.walk_cost.level, Level::Warn);
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
            (
                "[walk-time]\nwarn_ratio_max = 1.5",
                "walk-time: warn_ratio_max is at least 1 and at most ratio_max",
            ),
            (
                "[walk-time]\nns_per_line = -1.0",
                "walk-time: ns_per_line and ns_per_instruction are at least 0",
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
