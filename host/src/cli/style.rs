//! Colour, for terminals that want it.

/// Paints words, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Something failed.
    pub fn error(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Something is to be looked at.
    pub fn warning(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// What to do.
    pub fn hint(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// Something went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Something to be read last.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Something to be read first.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
}
