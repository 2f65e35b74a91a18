//! The binary as a process that can be killed, wrapped in other programs, and looked at.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use holdfast_e2e::{binary, free_port};

/// How long a server may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary in a directory, behind `wrap` (a program and its arguments, or nothing).
pub fn command(wrap: &[&str], dir: &Path, args: &[&str]) -> Command {
    let binary = binary();
    let mut command = match wrap.split_first() {
        None => Command::new(&binary),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&binary);
            command
        }
    };
    command.args(args).current_dir(dir).env("HOME", dir);
    for name in ["XDG_CONFIG_HOME", "HOLDFAST_CONTEXT", "HOLDFAST_SERVER", "HOLDFAST_API_KEY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    command(&[], dir, args).output().expect("the binary runs")
}

/// Its exit code and what it said on standard error.
pub fn outcome(dir: &Path, args: &[&str]) -> (i32, String) {
    let out = run(dir, args);
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// Runs it to success; its standard output.
#[track_caller]
pub fn succeeds(dir: &Path, args: &[&str]) -> String {
    let out = run(dir, args);
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {:?}: {text}{err}", out.status.code());
    text
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An address that is free now.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// A server, killed with `kill -9` when dropped.
pub struct Server(Child);

impl Server {
    /// `server ARGS`, once it answers on `listen`.
    #[track_caller]
    pub fn start(wrap: &[&str], dir: &Path, args: &[&str], listen: &str) -> Self {
        let args = [&["server"][..], args, &["--listen", listen]].concat();
        let mut command = command(wrap, dir, &args);
        command.stdout(Stdio::null());
        let mut server = Self(command.spawn().expect("the binary runs"));
        let begun = Instant::now();
        while std::net::TcpStream::connect(listen).is_err() {
            if server.0.try_wait().unwrap().is_some() {
                let mut said = String::new();
                std::io::Read::read_to_string(server.0.stderr.as_mut().unwrap(), &mut said)
                    .unwrap();
                panic!("the server ended: {said}");
            }
            assert!(begun.elapsed() < PATIENCE, "the server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// `server --dev` on `demo`.
    #[track_caller]
    pub fn dev(dir: &Path, listen: &str) -> Self {
        Self::start(&[], dir, &["--dev", "--data", "demo"], listen)
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
