//! Where a guest trapped, as it is shown.

use super::escape::Safe;

/// How many functions are shown.
const FRAMES: usize = 8;

/// The marks that Rust's runtime leaves on the stack around the code of a program: what is outside starts it, or reports its panic.
const BEGIN: &str = "__rust_begin_short_backtrace";
const END: &str = "__rust_end_short_backtrace";

/// Lines of the functions that a guest was in, the innermost first, each after two pairs of spaces. Those of Rust's runtime are left out;
/// `reel log --json` has them all.
pub fn lines(backtrace: &[String]) -> String {
    let after = backtrace.iter().position(|frame| frame.contains(END)).map_or(0, |at| at + 1);
    let inner = &backtrace[after..];
    let inner = &inner[..inner.iter().position(|frame| frame.contains(BEGIN)).unwrap_or(inner.len())];
    // What handles the panic itself says nothing either.
    let outer = inner.iter().position(|frame| !is_panicking(frame)).unwrap_or(0);
    let own = if inner[outer..].is_empty() { backtrace } else { &inner[outer..] };
    let mut text: String = own.iter().take(FRAMES).map(|frame| format!("    in {}\n", Safe(frame))).collect();
    if own.len() > FRAMES {
        text.push_str(&format!("    and {} more\n", own.len() - FRAMES));
    }
    text
}

fn is_panicking(frame: &str) -> bool {
    ["__rustc::rust_begin_unwind", "rust_begin_unwind", "core::panicking::"]
        .iter()
        .any(|start| frame.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(frames: &[&str]) -> String {
        lines(&frames.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_runtime_of_rust_is_left_out() {
        let frames = [
            "abort",
            "std::sys::backtrace::__rust_end_short_backtrace::<x> (+0x1)",
            "__rustc::rust_begin_unwind (+0x2)",
            "core::panicking::panic_fmt (+0x3)",
            "flaky::main (+0x4)",
            "std::sys::backtrace::__rust_begin_short_backtrace (+0x5)",
            "_start",
        ];
        assert_eq!(shown(&frames), "    in flaky::main (+0x4)\n");
    }

    #[test]
    fn what_has_no_marks_is_shown_as_it_is() {
        assert_eq!(shown(&["f", "g"]), "    in f\n    in g\n");
        assert_eq!(shown(&["__rust_end_short_backtrace"]), "    in __rust_end_short_backtrace\n");
        assert_eq!(shown(&[]), "");
        let many: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert!(lines(&many).ends_with("    in 7\n    and 2 more\n"));
        assert_eq!(shown(&["\u{1b}[2J"]).matches('\u{1b}').count(), 0);
    }
}
