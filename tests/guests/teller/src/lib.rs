//! See `wit/world.wit`. As a command it does the script in its arguments, and prints what that gives.

use std::fs;
use std::io::Write;

use exports::test::teller::desk::Pair;
use reel_guest::calls::{Error, call, text, text_of};
use reel_guest::{Bucket, Range, messages, savepoint};

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "test:teller/teller", generate_all });

struct Teller;

/// The steps of a script: `word argument...`, between semicolons, with scripts of others in braces.
fn steps(script: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, byte) in script.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => {
                found.push(&script[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&script[from..]);
    found.into_iter().map(str::trim).filter(|step| !step.is_empty()).collect()
}

fn inner(script: &str) -> &str {
    script.trim().trim_start_matches('{').strip_suffix('}').unwrap_or(script)
}

fn words<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Lets another do a script.
fn told(name: &str, script: &str) -> Result<String, Error> {
    let given = call(name, "act", &[&text(inner(script))])?;
    Ok(text_of(&given).expect("a text"))
}

fn accounts() -> Bucket {
    Bucket::open("accounts").expect("a bucket")
}

fn number(key: &str) -> Result<i64, String> {
    let value = words(accounts().get(key))?;
    Ok(value.map_or(0, |value| String::from_utf8_lossy(&value).parse().unwrap_or(0)))
}

fn act(script: &str) -> Result<String, String> {
    let mut said = Vec::new();
    for step in steps(script) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "set" => words(accounts().set(first, second))?,
            "get" => said.push(match words(accounts().get(first))? {
                Some(value) => String::from_utf8_lossy(&value).into_owned(),
                None => "-".to_owned(),
            }),
            "delete" => words(accounts().delete(first))?,
            // Reads and writes, so that two at once are in each other's way.
            "add" => {
                let sum = number(first)? + second.parse::<i64>().map_err(|error| error.to_string())?;
                if sum < 0 {
                    return Err(format!("{first} has not enough"));
                }
                words(accounts().set(first, sum.to_string()))?;
            }
            // Counts without reading.
            "count" => drop(words(accounts().increment(first, second.parse().unwrap_or(1)))?),
            // Fails if it is not so.
            "expect" => match words(accounts().get(first))?.unwrap_or_default() == second.as_bytes() {
                true => {}
                false => return Err(format!("{first} is not {second}")),
            },
            "total" => {
                let all = accounts().scan(&Range::all()).collect::<Result<Vec<_>, _>>();
                let all = words(all)?;
                let sum: i64 = all.iter().map(|(_, value)| String::from_utf8_lossy(value).parse().unwrap_or(0)).sum();
                said.push(sum.to_string());
            }
            "write" => words(fs::write(first, second))?,
            "append" => {
                let mut file = words(fs::OpenOptions::new().create(true).append(true).open(first))?;
                words(file.write_all(second.as_bytes()))?;
            }
            "read" => said.push(words(fs::read_to_string(first))?),
            "call" => said.push(words(told(first, second))?),
            "try" => said.push(match told(first, second) {
                Ok(given) => given,
                Err(error) => format!("<{error:?}>"),
            }),
            "raw" => {
                let (function, arguments) = second.split_once(' ').unwrap_or((second, ""));
                let arguments: Vec<&str> = arguments.split('|').filter(|argument| !argument.is_empty()).collect();
                said.push(match call(first, function, &arguments) {
                    Ok(given) => format!("[{given}]"),
                    Err(error) => format!("<{error:?}>"),
                });
            }
            // Many calls, of which only the number that went well is said.
            "times" => {
                let (name, script) = second.split_once(' ').unwrap_or((second, ""));
                let script = text(inner(script));
                let well = (0..first.parse().unwrap_or(0)).filter(|_| call(name, "act", &[&script]).is_ok()).count();
                said.push(well.to_string());
            }
            "undo" => {
                let undone = savepoint(|| -> Result<(), Box<dyn std::error::Error>> {
                    said.push(format!("({})", act(inner(rest))?));
                    Err("undone".into())
                });
                drop(undone);
            }
            "fail" => return Err(rest.to_owned()),
            "trap" => panic!("as told"),
            "abort" => reel_guest::abort(rest),
            "exit" => std::process::exit(rest.parse().unwrap_or(1)),
            "commit" => said.push(match reel_guest::commit() {
                Ok(_) => "committed".to_owned(),
                Err(error) => format!("<{error:?}>"),
            }),
            "spin" => loop {
                std::hint::black_box(());
            },
            "sleep" => std::thread::sleep(std::time::Duration::from_millis(rest.parse().unwrap_or(0))),
            "send" => words(messages::send(first, second))?,
            "env" => said.push(std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")),
            "args" => said.push(std::env::args().collect::<Vec<_>>().join(" ")),
            "ls" => {
                let mut names = words(fs::read_dir(first))?
                    .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                    .collect::<Result<Vec<_>, _>>();
                words(names.as_mut().map(|names| names.sort()).map_err(|error| error.to_string()))?;
                said.push(words(names)?.join(","));
            }
            "say" => println!("{rest}"),
            other => return Err(format!("unknown step {other:?}")),
        }
    }
    Ok(said.join(" "))
}

impl exports::test::teller::desk::Guest for Teller {
    fn act(script: String) -> Result<String, String> {
        act(&script)
    }

    fn swap(pair: Pair, more: Vec<u64>) -> (String, u32, u64) {
        (pair.right, pair.left, more.iter().sum())
    }

    fn big(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn nothing() {}

    fn refuse() -> Result<(), ()> {
        Err(())
    }
}

impl exports::wasi::cli::run::Guest for Teller {
    fn run() -> Result<(), ()> {
        let script = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        if script == "lines" {
            // Each by itself, whatever becomes of it.
            for line in std::io::stdin().lines() {
                println!("{}", act(&line.expect("a line")).unwrap_or_else(|error| format!("error: {error}")));
            }
            return Ok(());
        }
        match act(&script) {
            Ok(said) => println!("{said}"),
            Err(error) => {
                println!("error: {error}");
                return Err(());
            }
        }
        Ok(())
    }
}

export!(Teller);
