//! `chaos ROOT < SCRIPT`, or `chaos ROOT SCRIPT`.

use std::io::{Read, Write};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let root = args.get(1).map_or("/", String::as_str);
    let script = args.get(2).cloned().unwrap_or_else(|| {
        let mut script = String::new();
        std::io::stdin().read_to_string(&mut script).expect("script");
        script
    });
    let mut out = std::io::stdout();
    let code = chaos::execute(&script, root.as_ref(), &mut out).expect("output");
    out.flush().expect("output");
    std::process::exit(code.into());
}
