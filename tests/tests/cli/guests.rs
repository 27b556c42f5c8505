//! Small guests in text: core modules for WASI preview 1.

const WRITE: &str =
    r#"(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;

/// Prints its text on stdout (1) or stderr (2), then does what `then` says.
pub fn prints(to: u32, text: &str, then: &str) -> String {
    let len = text.len();
    let text: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) "{text}")
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {len}))
            (drop (call $fd_write (i32.const {to}) (i32.const 0) (i32.const 1) (i32.const 8)))
            {then}))"#
    )
}

/// Prints `hello` and ends well.
pub fn hello() -> String {
    prints(1, "hello\n", "")
}

/// Ends with an exit code.
pub fn exits(code: u32) -> String {
    prints(2, "", &format!("(call $proc_exit (i32.const {code}))"))
}

/// Traps.
pub fn traps() -> String {
    prints(1, "before\n", "unreachable")
}

/// Computes for ever.
pub fn spins() -> String {
    prints(1, "spinning\n", "(loop $again (br $again))")
}

/// Writes `len` times the letter `x` to `name` in its first directory, then does what `then` says.
pub fn writes(name: &str, len: u32, then: &str) -> String {
    let name_len = name.len();
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "path_open"
            (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
          (memory (export "memory") 16)
          (data (i32.const 64) "{name}")
          (func (export "_start") (local $left i64)
            (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const {name_len})
                  (i32.const 9) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 32))
              (then (call $proc_exit (i32.const 9))))
            (memory.fill (i32.const 1024) (i32.const 120) (i32.const {len}))
            (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const {len}))
            (drop (call $fd_write (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 8)))
            {then}))"#
    )
}

/// Prints 64 KiB at a time, `times` times; ends with the number of the first failure.
pub fn floods(times: u32) -> String {
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
          (memory (export "memory") 4)
          (func (export "_start") (local $left i32) (local $failed i32)
            (memory.fill (i32.const 1024) (i32.const 121) (i32.const 65536))
            (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
            (local.set $left (i32.const {times}))
            (loop $more
              (local.set $failed (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (if (local.get $failed) (then (call $proc_exit (i32.const 5))))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $more (local.get $left)))))"#
    )
}

/// Prints `tick` and sleeps for `millis`, `times` times.
pub fn ticks(times: u32, millis: u64) -> String {
    let nanos = millis * 1_000_000;
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "tick\0a")
          (func (export "_start") (local $left i32)
            (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 5))
            (i32.store (i32.const 80) (i32.const 1)) (i64.store (i32.const 88) (i64.const {nanos}))
            (local.set $left (i32.const {times}))
            (loop $more
              (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 200)))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $more (local.get $left)))))"#
    )
}

/// Looks at the clock, draws a random number (in this order, or the other), and prints `done`.
pub fn looks(clock_first: bool) -> String {
    let clock = "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 128)))";
    let chance = "(drop (call $random (i32.const 128) (i32.const 8)))";
    let (one, two) = if clock_first { (clock, chance) } else { (chance, clock) };
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "done\0a")
          (func (export "_start")
            {one} {two}
            (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 5))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Wants `pages` of 64 KiB more memory, and prints `grown` or `refused`.
pub fn grows(pages: u32) -> String {
    format!(
        r#"(module {WRITE}
          (memory (export "memory") 1)
          (data (i32.const 16) "grown\0arefused\0a")
          (func (export "_start")
            (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1))
              (then (i32.store (i32.const 0) (i32.const 22)) (i32.store (i32.const 4) (i32.const 8)))
              (else (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 6))))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Copies standard input to standard output.
pub fn echoes() -> String {
    format!(
        r#"(module {WRITE}
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (func (export "_start")
            (loop $more
              (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
              (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
              (if (i32.load (i32.const 8)) (then
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
                (br $more))))))"#
    )
}

/// Wants something of the host that no host has; its name is made to do harm to terminals.
pub fn wants_the_impossible() -> String {
    r#"(module (import "env" "launch\1b[2J" (func)) (memory (export "memory") 1) (func (export "_start")))"#.into()
}
