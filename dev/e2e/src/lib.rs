//! Runs the real binary as people do: a host of its own for each test (a directory, a user, a home), a
//! server that ends with the test, the README's block.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);
/// Somebody who owns nothing: `nobody`.
pub const NOBODY: u32 = 65_534;

/// The `holdfast` binary that was built in the profile of this test.
///
/// # Panics
/// Where it is not built: `cargo build -p holdfast` in the same profile (`cargo xtask test` does).
#[must_use]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let binary = profile.join("holdfast");
    assert!(binary.exists(), "{} is not built: run cargo xtask test", binary.display());
    binary
}

/// The root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The README's first five minutes, as a shell script.
///
/// # Panics
/// Where the block is not there.
#[must_use]
pub fn five_minutes() -> String {
    block("README.md", "five-minutes")
}

/// The shell block of a document that follows the comment `<!-- NAME -->`.
///
/// # Panics
/// Where the block is not there.
#[must_use]
pub fn block(document: &str, name: &str) -> String {
    let text = std::fs::read_to_string(checkout().join(document)).expect(document);
    let after = text.split(&format!("<!-- {name} -->\n```sh\n")).nth(1).expect("the marked block");
    after.split("\n```").next().expect("the end of the block").to_owned() + "\n"
}

/// A port that is free now, each time another one.
///
/// It is below those that the kernel gives to whoever asks for none (ip(7), `ip_local_port_range`): no
/// connection of another test takes it before its server listens, or between a kill and a restart.
///
/// # Panics
/// Where all are taken.
#[must_use]
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Two test programs at once begin at different ones.
    let first = std::process::id().wrapping_mul(997);
    let count = PORTS.end - PORTS.start;
    let mut ports = (0..count).map(|_| {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + first.wrapping_add(tried) % count;
        u16::try_from(port).expect("the range is one of ports")
    });
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).expect("a free port")
}

/// Says loudly that this host does not let a test do what it is for. `eprintln` would say it to nobody: what
/// a test that passes prints is thrown away.
///
/// # Panics
/// Where `HOLDFAST_NOT_TESTED_FAILS` is set, as `cargo xtask test --long` does.
pub fn not_tested(why: &str) {
    assert!(std::env::var_os("HOLDFAST_NOT_TESTED_FAILS").is_none(), "NOT TESTED: {why}");
    // Nobody may be reading; that is no reason to fail.
    let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {why}");
}

/// Whether this test may become another user.
///
/// # Panics
/// Where not even `/proc` can be asked.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// Where a newcomer sits: a directory, the binary in it, one user, and a home that may be of no use.
pub struct Host {
    dir: tempfile::TempDir,
    user: Option<u32>,
    home: PathBuf,
}

impl Host {
    /// With the user of the test, and no home.
    ///
    /// # Panics
    /// Where a directory cannot be made.
    #[must_use]
    pub fn new() -> Self {
        // A short path: sockets of a GnuPG agent may lie in it.
        let dir = tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").expect("a directory");
        // A copy: the checkout may be closed to other users.
        std::fs::create_dir(dir.path().join("bin")).expect("a directory");
        std::fs::copy(binary(), dir.path().join("bin/holdfast")).expect("a copy of the binary");
        Self { dir, user: None, home: PathBuf::from("/nonexistent") }
    }

    /// With another user, who owns this directory and nothing else, and whose home can only be read.
    ///
    /// # Panics
    /// Where the test may not do that.
    #[must_use]
    pub fn of(user: u32) -> Self {
        let mut host = Self::new();
        host.user = Some(user);
        host.home = host.path("home");
        std::fs::create_dir(&host.home).expect("a directory");
        std::fs::set_permissions(&host.home, PermissionsExt::from_mode(0o555)).expect("chmod");
        chown(host.dir.path(), Some(user), Some(user)).expect("chown");
        host
    }

    /// A path in its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command in its directory, as its user, with the binary in `PATH` and no standard input.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        for name in ["XDG_CONFIG_HOME", "HOLDFAST_CONTEXT", "HOLDFAST_SERVER", "HOLDFAST_API_KEY"] {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs a script with `bash -eu`; its output goes to files, since a server that it leaves behind would
    /// hold a pipe open for ever. Gives standard output.
    ///
    /// # Panics
    /// Where the script fails: with all that it said.
    #[must_use]
    pub fn script(&self, context: &str, script: &str) -> String {
        let script = format!("exec > out 2> err\nset -eu\n{script}");
        let status = self
            .command("bash")
            .args(["-c", &script])
            .env("HOLDFAST_CONTEXT", self.path(context))
            .status()
            .expect("bash");
        let (out, err) = (self.read("out"), self.read("err"));
        assert!(status.success(), "{status}\n{out}\n{err}");
        out
    }

    /// The text of a file of its directory; nothing where it is not.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts `server --dev` on `data`, and waits until it says that it serves. What it says goes to
    /// `server.out` and `server.err`.
    ///
    /// # Panics
    /// Where it does not start within a minute.
    #[must_use]
    pub fn dev(&self, data: &str, listen: &str) -> Dev {
        self.serve(&["--dev", "--data", data, "--listen", listen])
    }

    /// Starts `server` with these arguments, as [`Host::dev`] does.
    ///
    /// # Panics
    /// Where it does not start within a minute.
    #[must_use]
    pub fn serve(&self, args: &[&str]) -> Dev {
        let file = |name: &str| std::fs::File::create(self.path(name)).expect("a file");
        let mut child = self
            .command("holdfast")
            .arg("server")
            .args(args)
            .stdout(file("server.out"))
            .stderr(file("server.err"))
            .spawn()
            .expect("the binary starts");
        let begun = Instant::now();
        while !self.read("server.out").contains("serving on ") {
            let ended = child.try_wait().expect("wait");
            assert!(ended.is_none(), "the server ended at once: {}", self.read("server.err"));
            assert!(begun.elapsed() < START, "the server did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Dev { child }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// A server that is killed when dropped.
pub struct Dev {
    child: Child,
}

impl Dev {
    /// Asks it to stop, and waits. Gives its exit code.
    ///
    /// # Panics
    /// Where it cannot be asked.
    #[must_use]
    pub fn stop(mut self) -> Option<i32> {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(kill.success());
        self.child.wait().expect("wait").code()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
