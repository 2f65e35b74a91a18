//! `docs/recovery.md`: its blocks as they stand, after the losses they are for.

use holdfast_e2e::{Host, block, free_port};

const DOCUMENT: &str = "docs/recovery.md";

/// What stands in a block of the document, with a port of the test's own for what is restored.
fn steps(name: &str, listen: &str) -> String {
    block(DOCUMENT, name)
        .replace(
            "--context again.toml --yes",
            &format!("--context again.toml --listen {listen} --yes"),
        )
        .replace("server --data again &", "server --data again & SERVER=$!")
}

/// Everything but an archive, a secret key and the sheet.
#[test]
fn everything_is_lost_but_an_archive_a_key_and_paper() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let restore = steps("restore", &listen);
    let script = format!(
        "holdfast key create orders --quiet
        echo 'attack at dawn' | holdfast key encrypt orders > note.hf
        ARCHIVE=$(holdfast backup --output elsewhere --quiet)
        TRUST=$(holdfast sheet --fingerprint)
        mv demo/custodian.asc .; IDENTITY=custodian.asc
        kill -9 \"$(cat demo/server.pid)\"; rm -rf demo
        trap 'kill $SERVER' EXIT
        {restore}
        holdfast key decrypt < note.hf"
    );
    let out = host.script("demo/context.toml", &script);
    assert!(out.contains("place   /") && out.contains("/after-restore/"), "{out}");
    assert!(out.ends_with("attack at dawn\n"), "{out}");
}

/// A lost soft key, then a lost context with nobody left who could make another: both by a restore.
#[test]
fn a_lost_soft_key_names_the_way_back() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let dev = host.dev("demo", &listen);
    let out = host.script("demo/context.toml", "holdfast backup --output elsewhere --quiet");
    assert_eq!(dev.stop(), Some(0));
    let archive = out.trim();
    let script = format!(
        "rm demo/soft.key
        code=0; holdfast server --data demo/data 2> refused || code=$?; test $code = 33
        grep -q 'holdfast restore' refused
        # The usual context still knows the signer: no paper is needed.
        holdfast restore {archive} --identity demo/custodian.asc --data again \
            --soft-key again.key --context again.toml --listen {listen} --yes --quiet
        holdfast server --data again > served 2>&1 & trap 'kill $!' EXIT
        HOLDFAST_CONTEXT=again.toml holdfast status --quiet
        # Clients of before are known and trusted still.
        holdfast status --quiet"
    );
    let out = host.script("demo/context.toml", &script);
    assert_eq!(out.lines().count(), 3, "{out}");
}

#[test]
fn another_administrator_replaces_a_lost_context() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let out = host.script("demo/context.toml", &block(DOCUMENT, "administrator"));
    assert!(out.contains("new-admin"), "{out}");
}

#[test]
fn a_custodian_is_replaced_and_old_archives_still_open() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let steps = block(DOCUMENT, "custodian");
    let script = format!(
        "export GNUPGHOME=$PWD/g; mkdir -m700 g; trap 'gpgconf --kill all' EXIT
        gpg --batch --quiet --passphrase '' --quick-gen-key 'Next <next@example.org>' \
            default default never
        gpg --batch --quiet --armor --export next@example.org > next.asc
        gpg --batch --quiet --armor --export-secret-keys next@example.org > next.key
        OLD=$(holdfast custodian ls --quiet)
        BEFORE=$(holdfast backup --output archives --quiet)
        {steps}
        AFTER=archives/$(holdfast archive ls --quiet | head -1).tar.gpg
        holdfast verify $BEFORE --identity demo/custodian.asc --quiet
        holdfast verify $AFTER --identity next.key --quiet
        code=0; holdfast verify $AFTER --identity demo/custodian.asc || code=$?; test $code = 23
        code=0; holdfast verify $BEFORE --identity next.key || code=$?; test $code = 23"
    );
    let out = host.script("demo/context.toml", &script);
    assert!(out.ends_with("verified\nverified\n"), "{out}");
}

/// A ciphertext opens with gpg, tar and Python alone.
#[test]
fn a_ciphertext_is_decrypted_by_hand() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    // Debian's own Python, whose package `cryptography` may be old.
    let decrypt = block(DOCUMENT, "decrypt").replace("python3 ", "/usr/bin/python3 ");
    let script = format!(
        "holdfast key create orders --quiet
        holdfast key rotate orders --quiet
        echo 'attack at dawn' | holdfast key encrypt orders > note.hf
        holdfast key rotate orders --quiet
        ARCHIVE=$(holdfast backup --output archives --quiet)
        MYSLOT=$(holdfast slot ls --quiet | head -1)
        kill -9 \"$(cat demo/server.pid)\"
        export GNUPGHOME=$PWD/g; mkdir -m700 g; trap 'gpgconf --kill all' EXIT
        gpg --batch --quiet --import demo/custodian.asc
        mkdir -m700 x; gpg --batch --quiet -o x/a.tar -d $ARCHIVE; cd x; tar xf a.tar
        for s in slots/*-$MYSLOT.pgp; do
            gpg --batch --quiet -o \"$(basename \"$s\").txt\" -d \"$s\"
        done
        {decrypt}"
    );
    let out = host.script("demo/context.toml", &script);
    assert!(out.ends_with("attack at dawn\n"), "{out}");
}
