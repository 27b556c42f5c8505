//! Texts compared by line.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// A part of two texts that differs, with some lines around it.
pub struct Hunk<'a> {
    /// Lines of the old text, from 0.
    pub old: Range<usize>,
    /// Lines of the new text, from 0.
    pub new: Range<usize>,
    /// The lines in order, with the end of the line if it has one.
    pub lines: Vec<(Mark, &'a [u8])>,
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// In both texts.
    Both,
    /// In the old one only.
    Old,
    /// In the new one only.
    New,
}

impl Mark {
    /// The sign before the line.
    pub fn sign(self) -> char {
        match self {
            Self::Both => ' ',
            Self::Old => '-',
            Self::New => '+',
        }
    }
}

/// What differs, and how many lines were added and removed.
#[derive(Default)]
pub struct Lines<'a> {
    /// The parts, in order.
    pub hunks: Vec<Hunk<'a>>,
    /// Lines of the new text only.
    pub added: u64,
    /// Lines of the old text only.
    pub removed: u64,
}

/// Whether bytes are no text.
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

/// Compares two texts. The work is bounded for texts that have nothing in common, too: then not the fewest lines are told, but true ones.
pub fn compare<'a>(old: &'a [u8], new: &'a [u8]) -> Lines<'a> {
    let (old, new) = (split(old), split(new));
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let mut found = Lines::default();
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old_lines, new_lines) =
            (first.old_range().start..last.old_range().end, first.new_range().start..last.new_range().end);
        let mut lines = Vec::new();
        for op in &group {
            if let DiffOp::Equal { .. } = op {
                lines.extend(old[op.old_range()].iter().map(|line| (Mark::Both, *line)));
            } else {
                lines.extend(old[op.old_range()].iter().map(|line| (Mark::Old, *line)));
                lines.extend(new[op.new_range()].iter().map(|line| (Mark::New, *line)));
            }
        }
        let count = |mark| lines.iter().filter(|(other, _)| *other == mark).count() as u64;
        found.added += count(Mark::New);
        found.removed += count(Mark::Old);
        found.hunks.push(Hunk { old: old_lines, new: new_lines, lines });
    }
    found
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(old: &str, new: &str) -> String {
        let lines = compare(old.as_bytes(), new.as_bytes());
        let hunk = |hunk: Hunk<'_>| hunk.lines.iter().map(|(mark, _)| mark.sign()).collect::<String>();
        lines.hunks.into_iter().map(hunk).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn only_what_differs_with_three_lines_around() {
        assert_eq!(signs("a\nb\n", "a\nb\n"), "");
        assert_eq!(signs("", "a\nb"), "++");
        assert_eq!(signs("a\nb\nc\n", "a\nX\nc\n"), " -+ ");
        assert_eq!(signs("a", "a\n"), "-+");
        let old: String = (0..40).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n5\n", "\nfive\n").replace("\n30\n", "\n");
        assert_eq!(signs(&old, &new), "   -+   |   -   ");
        let lines = compare(old.as_bytes(), new.as_bytes());
        assert_eq!((lines.added, lines.removed), (1, 2));
        assert_eq!((lines.hunks[1].old.clone(), lines.hunks[1].new.clone()), (27..34, 27..33));
    }

    #[test]
    fn texts_that_are_hard_to_compare_take_a_bounded_time() {
        let numbers = |step: u64| -> String {
            let mut at = 1u64;
            let mut next = || {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
                format!("{}\n", at >> 52)
            };
            (0..100_000).map(|_| next()).collect()
        };
        let (old, new) = (numbers(1), numbers(3));
        let lines = compare(old.as_bytes(), new.as_bytes());
        assert_eq!(lines.added, lines.removed);
    }
}
