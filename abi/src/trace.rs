//! Trace context: to which trace a run belongs, as W3C Trace Context Level 1 (<https://www.w3.org/TR/trace-context-1/>) has it.
//!
//! ```text
//! traceparent   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!                  trace                            span             sampled
//! ```
//!
//! The spans of a run follow from what its begin record says, so that they need no record of their own.

use std::fmt;
use std::str::FromStr;

use crate::id::{RunId, WallTime};
use crate::wire::{CodecError, Reader, Wire, Writer};
use crate::wire_struct;

/// The field that carries it, in lower case.
pub const TRACEPARENT: &str = "traceparent";

/// The bit of the flags that says that somebody upstream has recorded the trace; the others are set to zero, as the standard asks.
const SAMPLED: u8 = 1;

/// Digits of a version, trace, span and flags with the dashes between them.
const LEN: usize = 55;

/// A trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// From bytes; `None` if all are zero.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl FromStr for TraceId {
    type Err = String;

    /// Reads 32 digits, or a whole `traceparent`.
    fn from_str(text: &str) -> Result<Self, String> {
        let alone = <[u8; 16]>::try_from(bytes(text).unwrap_or_default()).ok().and_then(Self::new);
        let found = alone.or_else(|| Trace::parse(text.as_bytes()).map(|trace| trace.id));
        found.ok_or_else(|| format!("{text:?} is no trace: 32 hexadecimal digits in lower case, not all zero"))
    }
}

impl Wire for TraceId {
    fn put(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        let mut id = [0; 16];
        id.copy_from_slice(r.raw(16, "trace")?);
        Self::new(id).ok_or(CodecError::NotCanonical { what: "trace", at })
    }
}

wire_struct! {
    /// The place of a run in a trace.
    #[derive(Copy)]
    pub struct Trace {
        /// The trace.
        pub id: TraceId,
        /// The span that caused the run; none if the trace begins with it.
        pub parent: Option<u64>,
        /// Whether somebody upstream has recorded the trace, or wants it to be.
        pub sampled: bool,
    }
}

impl Trace {
    /// Reads a `traceparent`. What is wrong in any place is `None`: then a new trace begins.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LEN)?;
        let text = std::str::from_utf8(known).ok()?;
        let mut parts = text.split('-').map(bytes);
        let version: [u8; 1] = parts.next()??.try_into().ok()?;
        let id: [u8; 16] = parts.next()??.try_into().ok()?;
        let parent: [u8; 8] = parts.next()??.try_into().ok()?;
        let flags: [u8; 1] = parts.next()??.try_into().ok()?;
        // Later versions may have more behind a dash; the first has nothing.
        let fits = match version[0] {
            0 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        let parent = Some(u64::from_be_bytes(parent)).filter(|parent| *parent != 0)?;
        if !fits || parts.next().is_some() {
            return None;
        }
        Some(Self { id: TraceId::new(id)?, parent: Some(parent), sampled: flags[0] & SAMPLED != 0 })
    }

    /// The span of something that a run does: 0 is the run itself, others count what it asks others for.
    pub fn span(&self, run: RunId, begun: WallTime, ordinal: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.id.0);
        for number in [run.0, begun.0, ordinal] {
            hasher.update(&number.to_be_bytes());
        }
        let mut span = [0; 8];
        hasher.finalize_xof().fill(&mut span);
        // Zero is no span.
        u64::from_be_bytes(span).max(1)
    }

    /// As it goes to others, who are called by this span.
    pub fn traceparent(&self, span: u64) -> String {
        format!("00-{}-{span:016x}-{:02x}", self.id, u8::from(self.sampled) * SAMPLED)
    }

    /// The same trace, further on: what that span causes.
    pub fn caused_by(self, span: u64) -> Self {
        Self { parent: Some(span), ..self }
    }
}

/// The bytes that digits in lower case stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_allows_is_read() {
        let trace = Trace::parse(GOOD.as_bytes()).expect("a trace");
        assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((trace.parent, trace.sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        assert_eq!(trace.traceparent(0x00f0_67aa_0ba9_02b7), GOOD);
        let sampled = |text: String| Trace::parse(text.as_bytes()).map(|trace| trace.sampled);
        assert_eq!(sampled(GOOD.replace("-01", "-fe")), Some(false));
        assert_eq!(sampled(GOOD.replacen("00", "01", 1)), Some(true));
        assert_eq!(sampled(format!("{}-what-comes-later", GOOD.replacen("00", "cc", 1))), Some(true));
        assert_eq!(GOOD.parse::<TraceId>().ok(), Some(trace.id));
        assert_eq!(trace.id.to_string().parse(), Ok(trace.id));
    }

    #[test]
    fn everything_else_is_no_trace() {
        let mut bad = vec![
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("{GOOD}-00"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            format!("{}x", GOOD.replacen("00", "cc", 1)),
            GOOD.replace('-', "_"),
            GOOD.replacen('-', "0", 1),
            GOOD.replace("4bf9", "4b-9"),
            GOOD.replace("4bf9", "+bf9"),
            GOOD.replace("b7-01", "é-01"),
        ];
        bad.extend((0..GOOD.len()).map(|end| GOOD[..end].to_owned()));
        bad.extend((0..GOOD.len()).map(|at| format!("{}g{}", &GOOD[..at], &GOOD[at + 1..])));
        for bad in bad {
            assert_eq!(Trace::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Trace::parse(&[0xff; LEN]), None);
        for bad in ["", "4bf9", &"0".repeat(32), &"g".repeat(32), &"a".repeat(33)] {
            assert!(bad.parse::<TraceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spans_differ_and_stay() {
        let trace = Trace::parse(GOOD.as_bytes()).expect("a trace");
        let span = |run, at, ordinal| trace.span(RunId(run), WallTime(at), ordinal);
        assert_eq!(span(1, 2, 3), span(1, 2, 3));
        let mut spans = vec![span(1, 2, 3), span(2, 2, 3), span(1, 3, 3), span(1, 2, 4)];
        spans.dedup();
        assert_eq!(spans.len(), 4);
        let bytes = trace.caused_by(7).to_bytes();
        assert_eq!(Trace::from_bytes(&bytes), Ok(trace.caused_by(7)));
        assert!(Trace::from_bytes(&[0; 18]).is_err());
    }
}
