//! Runs the real binary: a directory to run in, a server that ends with the test, the README's block.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(60);

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
    let readme = std::fs::read_to_string(checkout().join("README.md")).expect("README.md");
    let after = readme.split("<!-- five-minutes -->\n```sh\n").nth(1).expect("the marked block");
    after.split("\n```").next().expect("the end of the block").to_owned() + "\n"
}

/// A port that is free now.
///
/// # Panics
/// Where loopback cannot be bound.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// A `server --dev` that is killed when dropped.
pub struct Dev {
    child: Child,
}

impl Dev {
    /// Starts it in `dir`, on `demo`, and waits until its context file is there.
    ///
    /// # Panics
    /// Where it does not start within a minute.
    #[must_use]
    pub fn start(dir: &Path, listen: &str) -> Self {
        let mut child = Command::new(binary())
            .args(["server", "--dev", "--data", "demo", "--listen", listen])
            .current_dir(dir)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let begun = Instant::now();
        while !(dir.join("demo/context.toml").exists() && dir.join("demo/server.pid").exists()) {
            assert!(child.try_wait().expect("wait").is_none(), "the server ended at once");
            assert!(begun.elapsed() < START, "the server did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
