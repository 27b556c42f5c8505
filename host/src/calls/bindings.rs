//! The host side of the interfaces in `wit/`, generated.

#![allow(missing_docs, reason = "generated from wit/")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "reel:guest/command",
    imports: {
        "wasi:io/poll.poll": async | trappable,
        "wasi:io/poll.[method]pollable.block": async | trappable,
        "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
        "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
        "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
        "reel:guest/transaction.commit": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    trappable_error_type: {
        "wasi:io/streams.stream-error" => crate::calls::session::StreamError,
        "wasi:filesystem/types.error-code" => crate::txn::fault::Fault,
    },
    with: {
        "wasi:io/error.error": crate::calls::session::ErrorText,
        "wasi:io/poll.pollable": crate::calls::session::Pollable,
        "wasi:io/streams.input-stream": crate::calls::session::InputStream,
        "wasi:io/streams.output-stream": crate::calls::session::OutputStream,
        "wasi:filesystem/types.descriptor": crate::calls::session::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": crate::calls::session::DirectoryStream,
        "wasi:keyvalue/store@0.2.0-draft2.bucket": crate::txn::buckets::Bucket,
        "wasi:keyvalue/atomics@0.2.0-draft2.cas": crate::calls::session::Cas,
        "wasi:keyvalue/store@0.2.0-draft.bucket": crate::txn::buckets::Bucket,
        "reel:guest/transaction.savepoint": crate::calls::session::Savepoint,
        "wasi:cli/terminal-input.terminal-input": crate::calls::session::TerminalInput,
        "wasi:cli/terminal-output.terminal-output": crate::calls::session::TerminalOutput,
    },
    require_store_data_send: true,
});
