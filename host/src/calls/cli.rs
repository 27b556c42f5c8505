//! `wasi:cli`: what a program is told about itself, how it ends, and its standard streams.

use reel_abi::types::{Resource as Kind, Stdio};
use reel_abi::vocabulary::{CliArguments, CliEnvironment, CliExit, CliInitialCwd, StdioOpen, StdioTerminal};
use wasmtime::component::Resource;

use super::bindings::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use super::handles::own;
use super::session::{InputStream, OutputStream, Session, TerminalInput, TerminalOutput};
use crate::gate::Halt;

impl environment::Host for Session {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let setup = &self.setup;
        Ok(self.gate.pass(CliEnvironment {}, |_, _| Ok(setup.env.clone()))?)
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        let setup = &self.setup;
        Ok(self.gate.pass(CliArguments {}, |_, _| Ok(setup.args.clone()))?)
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.gate.pass(CliInitialCwd {}, |_, _| Ok(None))?)
    }
}

impl exit::Host for Session {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        self.exit_with_code(if status.is_ok() { 0 } else { 1 })
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        let code = u32::from(code);
        self.gate.pass(CliExit { code }, |_, _| Ok(()))?;
        Err(Halt::Exit(code).into())
    }
}

impl stdin::Host for Session {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<InputStream>> {
        let handles = &mut self.handles;
        let call = StdioOpen { which: Stdio::Stdin };
        Ok(own(self.gate.pass(call, |_, _| handles.push(InputStream::Stdin))?))
    }
}

impl stdout::Host for Session {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<OutputStream>> {
        let handles = &mut self.handles;
        let call = StdioOpen { which: Stdio::Stdout };
        Ok(own(self.gate.pass(call, |_, _| handles.push(OutputStream::Stdout))?))
    }
}

impl stderr::Host for Session {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<OutputStream>> {
        let handles = &mut self.handles;
        let call = StdioOpen { which: Stdio::Stderr };
        Ok(own(self.gate.pass(call, |_, _| handles.push(OutputStream::Stderr))?))
    }
}

impl Session {
    fn is_terminal(&mut self, which: Stdio) -> Result<bool, Halt> {
        let console = &self.console;
        self.gate.pass(StdioTerminal { which }, |_, _| {
            Ok(match which {
                Stdio::Stdin => console.stdin.as_ref().is_some_and(|stream| stream.is_terminal()),
                Stdio::Stdout => console.stdout.as_ref().is_some_and(|stream| stream.is_terminal()),
                Stdio::Stderr => console.stderr.as_ref().is_some_and(|stream| stream.is_terminal()),
            })
        })
    }

    fn terminal_output(&mut self, which: Stdio) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        match self.is_terminal(which)? {
            true => Ok(Some(own(self.handles.push(TerminalOutput)?))),
            false => Ok(None),
        }
    }
}

impl terminal_stdin::Host for Session {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<TerminalInput>>> {
        match self.is_terminal(Stdio::Stdin)? {
            true => Ok(Some(own(self.handles.push(TerminalInput)?))),
            false => Ok(None),
        }
    }
}

impl terminal_stdout::Host for Session {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        self.terminal_output(Stdio::Stdout)
    }
}

impl terminal_stderr::Host for Session {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        self.terminal_output(Stdio::Stderr)
    }
}

impl terminal_input::Host for Session {}

impl terminal_input::HostTerminalInput for Session {
    fn drop(&mut self, handle: Resource<TerminalInput>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::TerminalInput, &handle)
    }
}

impl terminal_output::Host for Session {}

impl terminal_output::HostTerminalOutput for Session {
    fn drop(&mut self, handle: Resource<TerminalOutput>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::TerminalOutput, &handle)
    }
}
