//! Full disks that are really full: small file systems in memory, mounted where only the test sees them.
//!
//! Each scenario is a script in a mount namespace of its own. Where the system permits none, neither to
//! root nor to a user, that is said loudly and nothing is tested.

use std::path::Path;
use std::process::{Command, Stdio};

use holdfast_e2e::{binary, free_port, not_tested};

/// What every script begins with.
const HELPERS: &str = r#"
export PATH="$(dirname "$BINARY"):$PATH" HOME="$PWD"
disk() { mkdir -p "$1"; mount -t tmpfs -o "size=$2,mode=0700" tmpfs "$1"; }
fill() { dd if=/dev/zero of="$1" bs=4k 2>/dev/null || true; }
fail() { echo "FAILED: $*" >&2; cat err server.err >&2 2>/dev/null || true; exit 1; }
expect() {  # CODE COMMAND...: its output in the files out and err
    local want=$1 code=0; shift
    "$@" > out 2> err < /dev/null || code=$?
    [ "$code" = "$want" ] || fail "wanted $want, got $code: $*"
}
status_says() {  # Where a busy disk does not answer in time it says nothing of it.
    for _ in $(seq 60); do
        expect 0 holdfast status
        if grep -q -- "$1" out; then return; fi
        sleep 0.1
    done
    fail "status does not say '$1'"
}
says() { grep -q -- "$1" err || fail "does not say '$1'"; }
serve() {  # ARGUMENTS...
    holdfast server --listen "127.0.0.1:$PORT" "$@" > server.out 2> server.err < /dev/null & server=$!
    for _ in $(seq 600); do
        if (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then return; fi
        kill -0 $server 2>/dev/null || fail "the server ended"
        sleep 0.1
    done
    fail "the server did not start"
}
stop() { kill -9 $server; wait $server 2>/dev/null || true; }
trap 'kill -9 ${server:-} 2>/dev/null || true' EXIT
"#;

/// The words before a command that give it a mount namespace; `None` where the system permits none.
fn namespace() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-rm"]];
    let works = |way: &&&[&str]| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
        let tried =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    ways.iter().find(works).copied()
}

fn script(dir: &Path, script: &str) {
    let Some(way) = namespace() else {
        return not_tested("no mount namespace is permitted here, so no disk was full");
    };
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).args(["bash", "-euc", &format!("{HELPERS}{script}")]);
    command.current_dir(dir).env("BINARY", binary()).env("PORT", free_port().to_string());
    for name in ["XDG_CONFIG_HOME", "HOLDFAST_CONTEXT", "HOLDFAST_SERVER", "HOLDFAST_API_KEY"] {
        command.env_remove(name);
    }
    // To a file: what a server that stays behind held open would keep a pipe from ending.
    let said = std::fs::File::create(dir.join("said")).unwrap();
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
    let status = command.status().expect("unshare runs");
    let said = std::fs::read_to_string(dir.join("said")).unwrap();
    assert!(status.success(), "{status}: {said}");
}

#[test]
fn at_the_data_changes_are_refused_use_goes_on_and_all_works_again_with_room() {
    let dir = tempfile::tempdir().unwrap();
    script(
        dir.path(),
        r#"
disk disk 16m
serve --dev --data disk/demo
export HOLDFAST_CONTEXT="$PWD/disk/demo/context.toml"
expect 0 holdfast key create orders
echo 'attack at dawn' | holdfast key encrypt orders > note.hf

# More calls than the last page of the audit log has room for.
use() { for _ in $(seq 40); do holdfast key decrypt < note.hf > /dev/null; done; }

# Some room: nothing is begun that could not be finished.
avail() { df --output=avail -k disk | tail -1 | tr -d ' '; }
dd if=/dev/zero of=disk/fill bs=1k count=$(( $(avail) - 3000 )) 2>/dev/null
expect 30 holdfast key create invoices
says 'bytes are free'; says 'next: make room'
expect 30 holdfast backup --output elsewhere
[ -z "$(find elsewhere -name '*.gpg' 2>/dev/null)" ] || fail "an archive"
expect 0 sh -c 'holdfast key decrypt < note.hf'
status_says 'nothing can be changed'

# None at all: the audit log cannot be written, either.
fill disk/rest
use
expect 30 holdfast key delete orders
holdfast key decrypt < note.hf > plain || fail "use does not go on"
[ "$(cat plain)" = 'attack at dawn' ] || fail "other plaintext"
expect 30 holdfast policy set p --allow 'key.encrypt:*'
says 'failed to write the audit log'; says 'next: make room'
status_says 'administration is refused'

# A start on a full disk says so, and keeps everything.
stop
expect 30 holdfast server --data disk/demo/data --listen "127.0.0.1:$PORT"
says 'next: make room'
rm disk/fill disk/rest
serve --dev --data disk/demo
holdfast key decrypt < note.hf > plain
[ "$(cat plain)" = 'attack at dawn' ] || fail "other plaintext"
expect 12 holdfast key create orders
expect 0 holdfast key create invoices

# Room that comes back while the server runs is enough: nobody restarts it.
fill disk/rest
use
expect 30 holdfast key create receipts
rm disk/rest
expect 0 holdfast key create receipts
expect 0 holdfast backup --output elsewhere
status_says 'audit records were dropped'
grep -rq '"audit.dropped"' disk/demo/data/audit || fail "the audit log does not tell of it"
"#,
    );
}

#[test]
fn at_the_output_and_in_the_vaults_own_directory_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    script(
        dir.path(),
        r#"
serve --dev --data demo
export HOLDFAST_CONTEXT="$PWD/demo/context.toml"
expect 0 holdfast key create orders
disk target 24k
expect 30 holdfast backup --output target
says 'next: make room'
[ -z "$(find target -name '*.gpg*' -o -name '*.json*' -o -name '.*writing')" ] || fail "$(ls -A target)"
mount -o remount,size=4m target
expect 0 holdfast backup --output target
[ "$(find target -name '*.json.sig' | wc -l)" = 1 ] || fail "$(ls -A target)"
stop

# The vault's own directory.
before=$(ls -A demo/archives)
disk own 4m
cp -a demo/archives/. own/
mount --bind own demo/archives
serve --dev --data demo
fill own/fill
expect 30 holdfast backup
says 'next: make room'
rm own/fill
[ "$(ls -A demo/archives)" = "$before" ] || fail "$(ls -A demo/archives)"
expect 0 holdfast backup
"#,
    );
}

#[test]
fn in_scratch_at_a_restore_and_at_an_init_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    script(
        dir.path(),
        r#"
serve --dev --data demo
export HOLDFAST_CONTEXT="$PWD/demo/context.toml"
expect 0 holdfast key create orders
archive=$(holdfast backup --output archives --quiet)
trust=$(holdfast sheet --fingerprint)
disk small 64k
expect 30 holdfast drill "$archive" --identity demo/custodian.asc --scratch small
says 'next: make room'
[ -z "$(ls -A small)" ] || fail "$(ls -A small)"
stop

restore() { holdfast restore "$archive" --identity demo/custodian.asc --trust "$trust" --yes \
    --data "$1" --soft-key again.key --context again.toml; }
expect 30 restore small/again
says 'next: make room'
[ -z "$(ls -A small)" ] || fail "$(ls -A small)"
[ ! -e again.key ] && [ ! -e again.toml ] || fail "a soft key or a context without a vault"

init() { holdfast init --no-custodian --data "$1" --soft-key "$2" --context "$3"; }
expect 30 init small/new new.key new.toml
says 'next: make room'
[ -z "$(ls -A small)" ] || fail "$(ls -A small)"
[ ! -e new.key ] && [ ! -e new.toml ] || fail "a soft key or a context without a vault"
# With a custodian: the vault stands, its first archive is not drilled, and the exit code says why.
export GNUPGHOME="$PWD/g"; mkdir -m700 g
gpg --batch --quiet --import demo/custodian.asc; gpg --batch --export > custodian.pgp; gpgconf --kill all
expect 30 env TMPDIR="$PWD/small" holdfast init --custodian custodian.pgp --data made \
    --soft-key made.key --context made.toml
says 'the vault is made, but its first archive or the drill of that failed'
says 'next: start the server'
[ -z "$(ls -A small)" ] || fail "$(ls -A small)"
[ -e made/vault.json ] && [ -e made.key ] && [ -e made.toml ] || fail "no vault"
disk full 4k
fill full/fill
expect 30 init new full/new.key new.toml
[ ! -e new.toml ] && [ ! -e full/new.key ] || fail "half-done"
expect 30 init new new.key full/new.toml
[ ! -e new.key ] && [ ! -e full/new.toml ] || fail "half-done"
rm -f full/fill
expect 0 init new new.key full/new.toml

mount -o remount,size=8m small
expect 0 restore small/again
expect 0 holdfast drill "$archive" --identity demo/custodian.asc --scratch small
[ "$(ls -A small)" = again ] || fail "$(ls -A small)"
"#,
    );
}
