//! What was counted, as Prometheus reads it: text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::tally::{Answers, SPANS, Tally};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label of guests beyond those that are told apart. No guest can be named so.
const OTHERS: &str = "(others)";

/// What is counted elsewhere than by the server.
#[derive(Debug, Clone, Default)]
pub struct Surveyed {
    /// The database.
    pub store: Option<reel_store::Tally>,
    /// Residents in memory.
    pub awake: usize,
    /// Guests, messages that lie with them, and how many of those are dead letters.
    pub messages: Vec<(String, u64, usize)>,
    /// Bytes of the process in memory.
    pub resident_bytes: Option<u64>,
    /// Its open descriptors.
    pub descriptors: Option<usize>,
    /// Whether it takes requests.
    pub ready: bool,
}

/// The whole text.
pub fn text(tally: &Tally, surveyed: &Surveyed) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    let mut answers: Vec<_> = tally.guests().into_iter().map(|(name, answers)| (name.to_string(), answers)).collect();
    answers.push((OTHERS.to_owned(), std::sync::Arc::clone(&tally.others)));
    let of_guests = answers.iter().map(|(name, answers)| (name.as_str(), &**answers));
    let answers: Vec<(&str, &Answers)> = of_guests.chain([("", &tally.nobody)]).collect();
    requests(&mut page, &answers);
    seconds(&mut page, &answers);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let gauge = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    page.one("reel_http_requests_under_way", "gauge", "Requests under way.", gauge(&tally.under_way));
    let refused = "Requests answered with 503 since too many were under way.";
    page.one("reel_http_requests_refused_total", "counter", refused, read(&tally.refused));
    let overtaken = "Executions of requests that another transaction has overtaken.";
    page.one("reel_http_executions_overtaken_total", "counter", overtaken, read(&tally.overtaken));
    page.one("reel_connections_open", "gauge", "Connections that are open.", gauge(&tally.connections));
    page.one("reel_connections_total", "counter", "Connections that were taken.", read(&tally.taken));
    let unsecured = "Connections whose TLS handshake has failed or took too long.";
    page.one("reel_tls_handshakes_failed_total", "counter", unsecured, read(&tally.unsecured));
    if let Some(store) = &surveyed.store {
        page.head("reel_runs_total", "counter", "Runs that are over, by how they ended.");
        store.runs.iter().for_each(|(outcome, count)| page.line("reel_runs_total", &[("outcome", outcome)], count));
        let conflicts = "Transactions that were not committed since another had written what they had read.";
        page.one("reel_conflicts_total", "counter", conflicts, store.conflicts);
        page.one("reel_commits_total", "counter", "Durable commits in the log of the database.", store.commits);
        page.one("reel_log_writes_total", "counter", "Durable writes of the log, each of a batch.", store.batches);
    }
    page.one("reel_residents_awake", "gauge", "Residents in memory.", surveyed.awake);
    page.head("reel_messages", "gauge", "Messages that lie with a guest; dead letters are counted up to 1000.");
    for (guest, all, dead) in &surveyed.messages {
        let waiting = all.saturating_sub(*dead as u64);
        page.line("reel_messages", &[("guest", guest), ("state", "waiting")], waiting);
        page.line("reel_messages", &[("guest", guest), ("state", "dead")], dead);
    }
    page.one("reel_ready", "gauge", "Whether requests are taken.", u8::from(surveyed.ready));
    if let Some(bytes) = surveyed.resident_bytes {
        page.one("process_resident_memory_bytes", "gauge", "Memory of the process.", bytes);
    }
    if let Some(open) = surveyed.descriptors {
        page.one("process_open_fds", "gauge", "Descriptors that the process has open.", open);
    }
    page.0
}

fn requests(page: &mut Page, answers: &[(&str, &Answers)]) {
    const NAME: &str = "reel_http_requests_total";
    page.head(NAME, "counter", "Requests that were answered, by guest (none: no guest was asked) and class of status.");
    for (guest, answers) in answers {
        for (class, counter) in (1..).zip(&answers.classes) {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                page.line(NAME, &[("guest", guest), ("status", &format!("{class}xx"))], count);
            }
        }
    }
}

fn seconds(page: &mut Page, answers: &[(&str, &Answers)]) {
    const NAME: &str = "reel_http_request_duration_seconds";
    page.head(NAME, "histogram", "From the head of a request to the head of its answer, which is durable by then.");
    for (guest, answers) in answers {
        let counts: Vec<u64> = answers.spans.iter().map(|counter| counter.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            continue;
        }
        let ends = SPANS.iter().map(|span| (*span as f64 / 1e9).to_string()).chain(["+Inf".to_owned()]);
        let mut until = 0;
        for (end, count) in ends.zip(counts) {
            until += count;
            page.line(&format!("{NAME}_bucket"), &[("guest", guest), ("le", &end)], until);
        }
        let nanos = answers.nanos.load(Ordering::Relaxed);
        page.line(&format!("{NAME}_sum"), &[("guest", guest)], nanos as f64 / 1e9);
        page.line(&format!("{NAME}_count"), &[("guest", guest)], all);
    }
}

struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let tally = Tally::default();
        let shop = tally.of(&"shop".parse().expect("a name"));
        shop.count(200, 2_000_000);
        shop.count(503, 20_000_000_000);
        tally.nobody.count(404, 10);
        let text = text(&tally, &Surveyed { messages: vec![("a\"}\n\\".into(), 5, 2)], ..Surveyed::default() });
        for line in [
            "reel_http_requests_total{guest=\"shop\",status=\"2xx\"} 1",
            "reel_http_requests_total{guest=\"shop\",status=\"5xx\"} 1",
            "reel_http_requests_total{guest=\"\",status=\"4xx\"} 1",
            "reel_http_request_duration_seconds_bucket{guest=\"shop\",le=\"0.001\"} 0",
            "reel_http_request_duration_seconds_bucket{guest=\"shop\",le=\"0.0025\"} 1",
            "reel_http_request_duration_seconds_bucket{guest=\"shop\",le=\"10\"} 1",
            "reel_http_request_duration_seconds_bucket{guest=\"shop\",le=\"+Inf\"} 2",
            "reel_http_request_duration_seconds_sum{guest=\"shop\"} 20.002",
            "reel_http_request_duration_seconds_count{guest=\"shop\"} 2",
            "reel_messages{guest=\"a\\\"}\\n\\\\\",state=\"waiting\"} 3",
            "# TYPE reel_http_request_duration_seconds histogram",
            "reel_connections_open 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
    }
}
