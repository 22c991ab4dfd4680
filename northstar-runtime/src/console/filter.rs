//! Which events a client wants to be told.

use super::translate;
use crate::supervisor::Event;
use glob::{Pattern, PatternError};
use northstar_api::{Filter, Kind};

/// Most patterns of a filter.
const MAX_PATTERNS: usize = 64;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 128;

/// A filter that can be asked.
#[derive(Debug)]
pub(super) struct EventFilter {
    containers: Vec<Pattern>,
    kinds: Vec<Kind>,
}

/// Why a filter cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidFilter {
    #[error("{0} patterns are too many (at most {MAX_PATTERNS})")]
    TooMany(usize),
    #[error("a pattern of {0} bytes is too long (at most {MAX_PATTERN})")]
    TooLong(usize),
    #[error("the pattern {pattern:?}: {error}")]
    Pattern {
        pattern: String,
        error: PatternError,
    },
}

impl EventFilter {
    pub(super) fn new(filter: &Filter) -> Result<EventFilter, InvalidFilter> {
        if filter.containers.len() > MAX_PATTERNS {
            return Err(InvalidFilter::TooMany(filter.containers.len()));
        }
        let compile = |pattern: &String| {
            if pattern.len() > MAX_PATTERN {
                return Err(InvalidFilter::TooLong(pattern.len()));
            }
            Pattern::new(pattern).map_err(|error| InvalidFilter::Pattern {
                pattern: pattern.clone(),
                error,
            })
        };
        Ok(EventFilter {
            containers: filter
                .containers
                .iter()
                .map(compile)
                .collect::<Result<_, _>>()?,
            kinds: filter.kinds.clone(),
        })
    }

    /// Whether the event is wanted.
    pub(super) fn passes(&self, event: &Event) -> bool {
        if !self.kinds.is_empty() && !self.kinds.contains(&translate::kind(event)) {
            return false;
        }
        let Some(container) = event.container() else {
            return true;
        };
        if self.containers.is_empty() {
            return true;
        }
        let full = container.to_string();
        let name = container.name().as_ref();
        let matches = |pattern: &Pattern| pattern.matches(name) || pattern.matches(&full);
        self.containers.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(containers: &[&str], kinds: &[Kind]) -> Result<EventFilter, InvalidFilter> {
        EventFilter::new(&Filter {
            containers: containers
                .iter()
                .map(|pattern| pattern.to_string())
                .collect(),
            kinds: kinds.to_vec(),
        })
    }

    #[test]
    fn containers_are_chosen_by_name_or_by_name_and_version() {
        let started = |container: &str| Event::Started(container.parse().unwrap());
        let table = [
            ("app", "app:1.0.0", true),
            ("app", "apple:1.0.0", false),
            ("app*", "apple:1.0.0", true),
            ("app:1.*", "app:1.2.3", true),
            ("app:1.*", "app:2.0.0", false),
            ("*:2.0.0", "app:2.0.0", true),
            ("?pp", "app:2.0.0", true),
            ("[ab]pp", "cpp:2.0.0", false),
        ];
        for (pattern, container, passes) in table {
            let filter = filter(&[pattern], &[]).unwrap();
            assert_eq!(
                filter.passes(&started(container)),
                passes,
                "{pattern} {container}"
            );
            assert!(filter.passes(&Event::Shutdown));
        }
        let two = filter(&["one", "two"], &[]).unwrap();
        assert!(two.passes(&started("two:1.0.0")) && !two.passes(&started("three:1.0.0")));
    }

    #[test]
    fn kinds_are_chosen() {
        let container = || "app:1.0.0".parse().unwrap();
        let filter = filter(&[], &[Kind::Mounted, Kind::Shutdown]).unwrap();
        assert!(filter.passes(&Event::Mounted(container())));
        assert!(filter.passes(&Event::Shutdown));
        assert!(!filter.passes(&Event::Unmounted(container())));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = vec!["a"; 65];
        let long = "a".repeat(129);
        assert!(matches!(
            filter(&many, &[]),
            Err(InvalidFilter::TooMany(65))
        ));
        assert!(matches!(
            filter(&[&long], &[]),
            Err(InvalidFilter::TooLong(129))
        ));
        assert!(matches!(
            filter(&["a[", "b"], &[]),
            Err(InvalidFilter::Pattern { .. })
        ));
        assert!(filter(&many[..64], &[]).is_ok());
    }

    /// As bad as patterns of the allowed size can be.
    #[test]
    fn a_pattern_full_of_stars_ends() {
        let pattern = "*a".repeat(63) + "*b";
        let filter = filter(&[&pattern], &[]).unwrap();
        let container = format!("{}:1.0.0", "a".repeat(64));
        assert!(!filter.passes(&Event::Started(container.parse().unwrap())));
    }
}
