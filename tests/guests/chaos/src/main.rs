//! `chaos ROOT < SCRIPT`, or `chaos ROOT SCRIPT`.

use std::io::{Read, Write};

use chaos::End;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let root = args.get(1).map_or("/", String::as_str);
    let script = args.get(2).cloned().unwrap_or_else(|| {
        let mut script = String::new();
        std::io::stdin().read_to_string(&mut script).expect("script");
        script
    });
    #[cfg(target_family = "wasm")]
    let mut space = chaos::guest::Host::default();
    #[cfg(not(target_family = "wasm"))]
    let mut space = chaos::model::Model::beside(root.as_ref());
    let mut out = std::io::stdout();
    let end = chaos::execute(&script, root.as_ref(), &mut space, &mut out).expect("output");
    out.flush().expect("output");
    match end {
        End::Exit(code) => std::process::exit(code.into()),
        End::Trap => panic!("asked to"),
        End::Abort => unreachable!("the host has ended the program"),
    }
}
