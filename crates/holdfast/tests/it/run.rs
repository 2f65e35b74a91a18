//! Runs the binary in a directory of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::vault::soon;

/// What a command gave.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Output {
    /// Standard output as text, without the last newline.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim_end().to_owned()
    }

    /// Itself, if the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.text(), self.err);
        self
    }
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(args);
    environment(&mut command, home);
    command
}

pub(crate) fn environment(command: &mut Command, home: &Path) {
    command.current_dir(home).env("HOME", home);
    for name in ["XDG_CONFIG_HOME", "HOLDFAST_CONTEXT", "HOLDFAST_SERVER", "HOLDFAST_API_KEY"] {
        command.env_remove(name);
    }
}

/// A command that runs until it is told otherwise, and is killed at the end.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = command(home, args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits until it would hear Ctrl-C, or has ended: before that the signal kills it.
    pub(crate) fn listens(&mut self) {
        let status = format!("/proc/{}/status", self.pid());
        soon(|| (!self.runs() || catches_interrupt(&status)).then_some(())).expect("it listens");
    }

    /// Ctrl-C, if it still runs, and what came of it.
    pub(crate) fn interrupt(mut self) -> Output {
        self.signal("-INT");
        self.end()
    }

    /// SIGTERM, if it still runs, and what came of it.
    pub(crate) fn terminate(mut self) -> Output {
        self.signal("-TERM");
        self.end()
    }

    /// `kill SIGNAL`, once it listens.
    pub(crate) fn signal(&mut self, signal: &str) {
        self.listens();
        if self.runs() {
            let pid = self.pid().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
    }

    /// What came of it.
    pub(crate) fn end(mut self) -> Output {
        soon(|| (!self.runs()).then_some(())).expect("it ends");
        output(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// Whether the process of this `/proc/PID/status` has a handler for SIGINT, by its mask of caught signals.
fn catches_interrupt(status: &str) -> bool {
    const SIGINT: u64 = 1 << 1;
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & SIGINT != 0)
}

fn output(done: std::process::Output) -> Output {
    let err = String::from_utf8_lossy(&done.stderr).into_owned();
    Output { code: done.status.code().unwrap_or(-1), out: done.stdout, err }
}

/// Runs a command to its end, with `input` on standard input.
pub(crate) fn holdfast(home: &Path, args: &[&str], input: &[u8]) -> Output {
    end(command(home, args), input)
}

/// As [`holdfast`], with these variables.
pub(crate) fn with_environment(home: &Path, set: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = command(home, args);
    command.envs(set.iter().copied());
    end(command, b"")
}

/// As [`holdfast`], with scratch space in `scratch`.
pub(crate) fn with_scratch(home: &Path, scratch: &Path, args: &[&str]) -> Output {
    let mut command = command(home, args);
    command.env("TMPDIR", scratch);
    end(command, b"")
}

fn end(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may close it early.
    _ = child.stdin.take().unwrap().write_all(input);
    output(child.wait_with_output().unwrap())
}

/// As [`holdfast`], with a client context.
pub(crate) fn with(home: &Path, context: &str, args: &[&str], input: &[u8]) -> Output {
    let args: Vec<&str> = ["--context", context].iter().chain(args).copied().collect();
    holdfast(home, &args, input)
}

/// A server that is killed at the end.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = command(home, args);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// A script for `sh` whose `$0` is the binary.
    pub(crate) fn shell(home: &Path, script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_holdfast")]);
        environment(&mut command, home);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Its exit code, once it has ended, which it should soon.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        soon(|| self.0.try_wait().unwrap()).expect("it ends").code()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// An address nobody listens on at the moment.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", holdfast_e2e::free_port())
}
