//! What a run can write.

use std::fmt;

/// A key or a path of a space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A key of a bucket.
    Key(String, Vec<u8>),
    /// A path, without `/` at its ends.
    Path(String),
}

/// As it is written on the command line; not yet safe to show.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(bucket, key) => write!(f, "{bucket}/{}", String::from_utf8_lossy(key)),
            Self::Path(path) => write!(f, "/{path}"),
        }
    }
}

/// A path below a directory. What leads out of the root stays there, as for the guest.
pub(super) fn joined(above: &str, path: &str) -> String {
    let mut parts: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn paths_are_put_together() {
        assert_eq!(joined("", "a/./b"), "a/b");
        assert_eq!(joined("a/b", "../c"), "a/c");
        assert_eq!(joined("a", "../../c"), "c");
    }
}
