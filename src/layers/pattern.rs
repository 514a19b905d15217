//! Globs over tensor names.

use globset::{Glob, GlobMatcher};

use super::error::Error;
use super::near::near;

/// The longest glob, in bytes, and the most groups (`{a,b}`) in it. What compiles a glob panics where it would need more than
/// 10 MiB, which is 160 bytes a byte of this, and calls itself for each group in a group.
const LONGEST: usize = 1 << 16;
const MOST_GROUPS: usize = 100;

/// A glob over full tensor names, as `--include`, `--exclude` and the `match` key of a `[[layer]]` table give it.
///
/// `*` crosses dots (`layer4.*` is all of layer 4), `?`, `[a-c]` and `{a,b}` work as in a shell.
#[derive(Clone, Debug)]
pub struct NamePattern {
    origin: &'static str,
    glob: String,
    matcher: GlobMatcher,
}

impl NamePattern {
    /// Parse a glob; `origin` is the flag or table an error will name.
    pub fn new(origin: &'static str, glob: &str) -> Result<Self, Error> {
        let invalid = |problem: String| Error::InvalidGlob {
            origin,
            glob: glob.to_owned(),
            problem,
        };
        if glob.len() > LONGEST {
            return Err(Error::LongGlob {
                origin,
                bytes: glob.len(),
            });
        }
        if glob.matches('{').count() > MOST_GROUPS {
            return Err(invalid(format!("it has more than {MOST_GROUPS} groups")));
        }
        let matcher = Glob::new(glob)
            .map_err(|error| invalid(error.kind().to_string()))?
            .compile_matcher();
        Ok(Self {
            origin,
            glob: glob.to_owned(),
            matcher,
        })
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }

    /// Whether one of several names fits.
    pub fn matches_any<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.any(|name| self.matches(name))
    }

    /// An error listing near names unless one of `names` fits.
    pub fn require_match<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Error> {
        if names.clone().any(|name| self.matches(name)) {
            return Ok(());
        }
        let plain = self.glob.replace(['*', '?'], "");
        Err(Error::NoMatch {
            origin: self.origin,
            glob: self.glob.clone(),
            near: near(&plain, names),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_dots() {
        let pattern = NamePattern::new("--include", "layer4.*").unwrap();
        assert!(pattern.matches("layer4.0.conv1.weight"));
        assert!(!pattern.matches("layer3.0.conv1.weight"));
        assert!(
            NamePattern::new("--include", "*/Conv2D/*")
                .unwrap()
                .matches("a/b/Conv2D/ReadVariableOp:0")
        );
    }

    #[test]
    fn an_invalid_glob_names_its_flag() {
        let error = NamePattern::new("--exclude", "layer[")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--exclude `layer[` is not a valid glob"),
            "{error}"
        );
    }

    #[test]
    fn a_glob_beyond_all_bounds_is_refused() {
        for part in ["?", "a", "[!-~]", "**/", "[!a]", "\u{1f600}"] {
            let longest = part.repeat(LONGEST / part.len());
            NamePattern::new("--include", &longest).unwrap();
            let longer = part.repeat(LONGEST / part.len() + 1);
            let error = NamePattern::new("--include", &longer).unwrap_err();
            assert!(matches!(error, Error::LongGlob { .. }), "{part}");
        }
        for groups in [MOST_GROUPS + 1, 10_000] {
            let glob = format!("{}a{}", "{".repeat(groups), "}".repeat(groups));
            let error = NamePattern::new("--include", &glob).unwrap_err();
            assert!(matches!(error, Error::InvalidGlob { .. }), "{groups}");
        }
        let nested = format!("{}a{}", "{".repeat(MOST_GROUPS), "}".repeat(MOST_GROUPS));
        assert!(NamePattern::new("--include", &nested).unwrap().matches("a"));
        let commas = ",".repeat(LONGEST / MOST_GROUPS - 2);
        let wide = format!("{{{commas}}}").repeat(MOST_GROUPS);
        NamePattern::new("--include", &wide).unwrap();
    }

    #[test]
    fn no_match_lists_near_names() {
        let names = [
            "layer1.0.conv1.weight",
            "layer4.0.conv1.weight",
            "fc.weight",
        ];
        let error = NamePattern::new("--include", "layr4.0.conv1*")
            .unwrap()
            .require_match(names.into_iter())
            .unwrap_err();
        match error {
            Error::NoMatch { near, .. } => assert_eq!(near[0], "layer4.0.conv1.weight"),
            other => panic!("{other}"),
        }
    }
}
