//! To which trace a request belongs.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName};
use reel_abi::trace::{TRACEPARENT, Trace, TraceId};

use crate::port::Entropy;

/// The field of a request that says it.
const FIELD: HeaderName = HeaderName::from_static(TRACEPARENT);

/// Traces that begin here: nobody can tell the next by those before.
pub struct Traces {
    secret: [u8; 32],
    begun: AtomicU64,
}

impl Traces {
    /// Draws what they are made from.
    pub fn new(entropy: &mut dyn Entropy) -> std::io::Result<Self> {
        let mut secret = [0; 32];
        entropy.fill(&mut secret)?;
        Ok(Self { secret, begun: AtomicU64::new(0) })
    }

    /// The trace that a request names, if it names one and does it properly; else a new one.
    pub fn of(&self, fields: &HeaderMap) -> Option<Trace> {
        let mut named = fields.get_all(FIELD).iter();
        match (named.next(), named.next()) {
            (Some(one), None) => Trace::parse(one.as_bytes()).or_else(|| self.begin()),
            _ => self.begin(),
        }
    }

    fn begin(&self) -> Option<Trace> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        blake3::Hasher::new_keyed(&self.secret).update(&number.to_be_bytes()).finalize_xof().fill(&mut bytes);
        // The run is in the log: that is what sampled means.
        TraceId::new(bytes).map(|id| Trace { id, parent: None, sampled: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
            buffer.fill(self.0);
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn who_names_a_trace_properly_gets_it() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let traces = Traces::new(&mut Counting(1)).expect("traces");
        let fields = |values: &[&str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(FIELD, value.parse().expect("a value"));
            }
            fields
        };
        let named = traces.of(&fields(&[GOOD])).expect("a trace");
        assert_eq!((named.id.to_string().as_str(), named.sampled), (&GOOD[3..35], false));
        let mut begun = Vec::new();
        for values in [&[][..], &["nonsense"], &[GOOD, GOOD], &[GOOD, "00-0-0-0"]] {
            let trace = traces.of(&fields(values)).expect("a trace");
            assert!(trace.parent.is_none() && trace.sampled && trace.id != named.id);
            begun.push(trace.id);
        }
        begun.dedup();
        assert_eq!(begun.len(), 4);
        let other = Traces::new(&mut Counting(2)).expect("traces");
        assert_ne!(other.of(&HeaderMap::new()).map(|trace| trace.id), Some(begun[0]));
    }
}
