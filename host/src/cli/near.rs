//! Names that somebody may have meant.

/// Names that are suggested at most.
const SUGGESTED: usize = 3;

/// How alike two names must be to be taken for each other.
const ALIKE: f64 = 0.8;

/// Those of `names` that are most like `wanted`, the most alike first.
pub fn near<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = wanted.to_lowercase();
    let score = |name: &str| match name.to_lowercase() {
        name if name.starts_with(&lower) || lower.starts_with(&name) => 1.0,
        name => strsim::jaro_winkler(&lower, &name),
    };
    let mut found: Vec<(f64, &str)> = names.into_iter().map(|name| (score(name), name)).collect();
    found.retain(|(score, _)| *score >= ALIKE);
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    found.into_iter().take(SUGGESTED).map(|(_, name)| name).collect()
}

/// `did you mean a, b or c? `, with what else can be done; just that if nothing is like it.
pub fn hint<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    match near(wanted, names).as_slice() {
        [] => otherwise.to_owned(),
        [one] => format!("did you mean {one}? {otherwise}"),
        [first @ .., last] => format!("did you mean {} or {last}? {otherwise}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let names = ["main", "orders", "orders-trial", "Archive", "x"];
        assert_eq!(near("mian", names), ["main"]);
        assert_eq!(near("order", names), ["orders", "orders-trial"]);
        assert_eq!(near("archive", names), ["Archive"]);
        assert_eq!(near("other", ["main"]), [""; 0]);
        assert_eq!(hint("oders", ["orders", "oder"], "look."), "did you mean oder or orders? look.");
        assert_eq!(hint("q", names, "look."), "look.");
    }
}
