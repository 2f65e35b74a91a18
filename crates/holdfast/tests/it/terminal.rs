//! Questions on a terminal: what is typed counts, and the terminal is as it was afterwards.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::gpg::Gpg;
use crate::run::{environment, holdfast};

/// Runs a command on a pseudo terminal of its own: waits for a text, then types, in turn. Prints its exit code,
/// whether the terminal echoes afterwards, and what was said.
const ON_A_TERMINAL: &str = "
import os, pty, sys, termios
mark = sys.argv.index('--')
steps, command = sys.argv[1:mark], sys.argv[mark + 1:]
pid, tty = pty.fork()
if pid == 0:
    os.execv(command[0], command)
said = ''
def hear():
    global said
    try:
        piece = os.read(tty, 4096)
    except OSError:
        piece = b''
    said += piece.decode()
    return piece
seen = 0
for wait, type in zip(steps[::2], steps[1::2]):
    while wait not in said[seen:] and hear():
        pass
    seen = len(said)
    os.write(tty, type.encode().decode('unicode_escape').encode())
while hear():
    pass
_, status = os.waitpid(pid, 0)
echoes = termios.tcgetattr(tty)[3] & termios.ECHO != 0
print(os.waitstatus_to_exitcode(status), 'echo' if echoes else 'silent')
print(said)
";

/// What a command on a terminal gave: exit code and whether it echoes afterwards, and what was said.
pub(crate) fn on_a_terminal(home: &Path, steps: &[[&str; 2]], args: &[&str]) -> (String, String) {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL]).args(steps.as_flattened()).arg("--");
    command.arg(env!("CARGO_BIN_EXE_holdfast")).args(args);
    environment(&mut command, home);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let (first, said) = text.split_once('\n').unwrap();
    (first.to_owned(), said.to_owned())
}

/// The first archive of a vault whose custodian's secret key, `lock.sec.asc`, is locked.
fn locked() -> (TempDir, String, String) {
    let home = tempfile::tempdir().unwrap();
    let gpg = Gpg::new();
    gpg.run("--passphrase words --quick-gen-key lock default default never");
    let write = |name: &str, bytes| std::fs::write(home.path().join(name), bytes).unwrap();
    write("lock.asc", gpg.run("--armor --export lock"));
    write("lock.sec.asc", gpg.run("--passphrase words --armor --export-secret-keys lock"));
    let init = ["init", "--data", "d", "--custodian", "lock.asc", "--soft-key", "d.key", "--json"];
    let args = [&init[..], &["--context", "d.toml"]].concat();
    let made = holdfast(home.path(), &args, b"").expect(0).text();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let of = |field: &str| made[field].as_str().unwrap().to_owned();
    (home, of("place"), of("signer"))
}

#[test]
fn the_passphrase_is_not_echoed_and_an_interruption_leaves_the_terminal_as_it_was() {
    let (home, archive, signer) = locked();
    let verify = ["verify", &archive, "--trust", &signer, "--identity", "lock.sec.asc"];
    let typed = |keys: &str| on_a_terminal(home.path(), &[["Passphrase of", keys]], &verify);
    // Ctrl-C, also behind some letters.
    for keys in ["\\x03", "wor\\x03"] {
        let (ended, said) = typed(keys);
        assert_eq!(ended, "130 echo", "{said}");
    }
    // Ctrl-D, and nothing at all.
    let (ended, said) = typed("\\x04");
    assert_eq!(ended, "23 echo", "{said}");
    assert!(said.contains("--passphrase-file") && !said.contains("unexpected"), "{said}");
    let (ended, said) = typed("wrong\\n");
    assert_eq!(ended, "23 echo", "{said}");
    let (ended, said) = typed("words\\n");
    assert_eq!(ended, "0 echo", "{said}");
    assert!(said.contains("verified") && !said.contains("words"), "{said}");
}

#[test]
fn a_restore_hears_yes_in_any_case_and_says_how_it_goes_on() {
    let (home, archive, signer) = locked();
    let place = ["--data", "r", "--soft-key", "r.key", "--context", "r.toml"];
    let who = ["restore", &archive, "--trust", &signer, "--identity", "lock.sec.asc"];
    let restore = [&who[..], &place].concat();
    let typed = |steps: &[[&str; 2]]| on_a_terminal(home.path(), steps, &restore);
    for keys in ["\\n", "n\\n", "yess\\n", "\\x04"] {
        let (ended, said) = typed(&[["[y/N]", keys]]);
        assert_eq!(ended, "11 echo", "{said}");
        assert!(said.contains("not restored") && said.contains("next: "), "{said}");
    }
    assert_eq!(typed(&[["[y/N]", "\\x03"]]).0, "130 echo");
    for yes in ["y\\n", "Y\\n", "yes\\n", "Yes\\n", " YES \\n"] {
        let (ended, said) = typed(&[["[y/N]", yes], ["Passphrase of", "words\\n"]]);
        assert_eq!(ended, "0 echo", "{said}");
        std::fs::remove_dir_all(home.path().join("r")).unwrap();
        for file in ["r.key", "r.toml"] {
            std::fs::remove_file(home.path().join(file)).unwrap();
        }
    }
    // With --json the question and its plan are on the terminal all the same.
    let json = [&restore[..], &["--json"]].concat();
    let (ended, said) = on_a_terminal(home.path(), &[["[y/N]", "n\\n"]], &json);
    assert_eq!(ended, "11 echo", "{said}");
    assert!(said.contains("restore vault") && said.contains("\"error\""), "{said}");
}
