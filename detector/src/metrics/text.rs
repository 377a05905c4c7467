//! The two text formats. They differ in the names that TYPE and HELP give to counters, in UNIT, and in
//! the end.

/// What a client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, which `promtool check metrics` reads.
    Prometheus,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl TextFormat {
    /// From the values of the request's `Accept` headers: OpenMetrics for those who name it, as
    /// Prometheus does.
    #[must_use]
    pub fn accepted(values: &[&[u8]]) -> Self {
        let names_it = values
            .iter()
            .any(|value| String::from_utf8_lossy(value).contains(OPEN_METRICS));
        if names_it {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The header `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics as [`super::Metrics`] writes it, in Prometheus's own format.
pub(super) fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // HELP of a family comes right before its TYPE, which decides about the name of both.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                text += &format!("# HELP {name}{suffix} {help}\n");
            }
            text += &format!("# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_name_it() {
        let prometheus = b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        assert_eq!(TextFormat::accepted(&[prometheus]), TextFormat::OpenMetrics);
        assert_eq!(TextFormat::accepted(&[]), TextFormat::Prometheus);
        assert_eq!(
            TextFormat::accepted(&[b"*/*", b"\xff"]),
            TextFormat::Prometheus
        );
    }

    #[test]
    fn counters_get_their_whole_name_and_the_rest_stays() {
        let open_metrics = "# HELP a_b_seconds All of them.\n# TYPE a_b_seconds counter\n\
                            # UNIT a_b_seconds seconds\na_b_seconds_total{c=\"# EOF\"} 1.5\n\
                            # HELP d Other.\n# TYPE d gauge\nd 1\n# EOF\n";
        assert_eq!(
            to_prometheus(open_metrics),
            "# HELP a_b_seconds_total All of them.\n# TYPE a_b_seconds_total counter\n\
             a_b_seconds_total{c=\"# EOF\"} 1.5\n# HELP d Other.\n# TYPE d gauge\nd 1\n"
        );
    }
}
