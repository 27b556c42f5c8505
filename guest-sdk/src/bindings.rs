//! The interfaces of the world `reel:guest/sdk`, as wit-bindgen writes them. Built for anything but WebAssembly, each function panics.

#![allow(unsafe_code, missing_docs, reason = "generated: it hands pointers to the host, as the canonical ABI wants it")]

wit_bindgen::generate!({ path: "../wit", world: "reel:guest/sdk", generate_all });
