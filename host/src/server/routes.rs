//! Which guest answers a request. Pure.
//!
//! ```text
//! example.com/api     requests to that host whose path is /api or below it
//! /api                the same for any host
//! ```
//!
//! Of several that match, one that names the host goes before one that does not, and a longer path before a shorter one.

use std::fmt;
use std::str::FromStr;

use reel_abi::id::SpaceName;

/// Hosts and paths that a guest answers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// In lower case, without port; any if it is nothing.
    host: Option<String>,
    /// Begins with `/`, and ends without one unless it is only that.
    path: String,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; write /PATH or HOST/PATH, for example / or example.com/api"));
        let Some(slash) = text.find('/') else { return wrong("there is no `/`") };
        let (host, path) = text.split_at(slash);
        if host.chars().any(|c| !(c.is_ascii_alphanumeric() || "-._[]:".contains(c))) {
            return wrong("the host has a character that no host has");
        }
        if path.chars().any(|c| c.is_control() || c == '?' || c == '#' || c == ' ') {
            return wrong("the path has a character that no path has");
        }
        let path = match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let host = (!host.is_empty()).then(|| without_port(host).to_ascii_lowercase());
        Ok(Self { host, path: path.to_owned() })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }
}

impl Route {
    fn matches(&self, host: &str, path: &str) -> bool {
        let below = match path.strip_prefix(self.path.as_str()) {
            Some(rest) => self.path == "/" || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        below && self.host.as_deref().is_none_or(|known| known == host)
    }

    fn rank(&self) -> (bool, usize) {
        (self.host.is_some(), self.path.len())
    }
}

/// All routes.
#[derive(Debug, Clone, Default)]
pub struct Routes(Vec<(Route, SpaceName)>);

impl Routes {
    /// Routes with who answers.
    pub fn new(mut routes: Vec<(Route, SpaceName)>) -> Self {
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.rank()));
        Self(routes)
    }

    /// Who answers a request to `authority` with `path`, which may have a query.
    pub fn find(&self, authority: &str, path: &str) -> Option<&SpaceName> {
        let host = without_port(authority).to_ascii_lowercase();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        self.0.iter().find(|(route, _)| route.matches(&host, path)).map(|(_, name)| name)
    }

    /// Routes and who answers, the most special first.
    pub fn iter(&self) -> impl Iterator<Item = &(Route, SpaceName)> {
        self.0.iter()
    }
}

/// A host without its port. An IPv6 address stands in brackets.
fn without_port(authority: &str) -> &str {
    let end = authority.rfind(']').unwrap_or(0);
    match authority[end..].find(':') {
        Some(colon) => &authority[..end + colon],
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_special_route_answers() {
        let routes = [("/", "any"), ("/api", "api"), ("example.com/", "example"), ("example.com/api/v2", "second")];
        let routes = routes.map(|(route, name)| (route.parse().expect(route), name.parse().expect(name)));
        let routes = Routes::new(routes.to_vec());
        for (authority, path, who) in [
            ("localhost:8080", "/", "any"),
            ("localhost", "/api?x=/y", "api"),
            ("localhost", "/apis", "any"),
            ("EXAMPLE.com:443", "/api", "example"),
            ("example.com", "/api/v2/x", "second"),
            ("[::1]:8080", "/api/", "api"),
            ("", "/", "any"),
        ] {
            assert_eq!(
                routes.find(authority, path).map(ToString::to_string).as_deref(),
                Some(who),
                "{authority}{path}"
            );
        }
        assert!(Routes::default().find("x", "/").is_none());
    }

    #[test]
    fn routes_are_read_as_they_are_written() {
        for (text, shown) in [("/", "/"), ("/a/", "/a"), ("Example.com:80/x", "example.com/x"), ("[::1]:80/", "[::1]/")]
        {
            assert_eq!(text.parse::<Route>().map(|route| route.to_string()).as_deref(), Ok(shown));
        }
        for bad in ["", "api", "a b/", "/a?b", "/\n"] {
            assert!(bad.parse::<Route>().is_err(), "{bad:?}");
        }
    }
}
