//! A custodian whose secret key never leaves their own GnuPG: behind an agent that asks, as for a card.

use std::os::unix::fs::PermissionsExt;

use holdfast_e2e::{Host, block, free_port};

/// A pinentry for a test: it answers with a passphrase, or gives up where there is a file `cancel`, and
/// writes down that it was asked (the protocol of Assuan, as libgcrypt's pinentry speaks it).
const PINENTRY: &str = r#"#!/bin/sh
echo "OK ready"
while read -r command rest; do
    case "$command" in
        GETPIN)
            echo asked >> "$GNUPGHOME/asked"
            if [ -e "$GNUPGHOME/cancel" ]; then echo "ERR 83886179 canceled"; continue; fi
            echo "D two words"; echo OK ;;
        BYE) echo OK; exit 0 ;;
        *) echo OK ;;
    esac
done
"#;

/// A custodian, anna, in a GnuPG home of her own; her key has a passphrase. `anna.asc` is her certificate.
const MAKE: &str = r#"
export GNUPGHOME=$PWD/g
gpg --batch --quiet --pinentry-mode loopback --passphrase 'two words' \
    --quick-gen-key 'Anna <anna@example.org>' default default never
gpg --batch --quiet --armor --export anna@example.org > anna.asc
# Whoever made the key is known to the agent for a while: it is to be asked.
gpgconf --kill gpg-agent
"#;

#[test]
fn a_custodian_restores_through_their_own_gnupg() {
    let host = Host::new();
    std::fs::create_dir(host.path("g")).unwrap();
    std::fs::set_permissions(host.path("g"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(host.path("g/pinentry"), PINENTRY).unwrap();
    std::fs::set_permissions(host.path("g/pinentry"), PermissionsExt::from_mode(0o755)).unwrap();
    let agent = format!("pinentry-program {}\n", host.path("g/pinentry").display());
    std::fs::write(host.path("g/gpg-agent.conf"), agent).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let documented = block("docs/recovery.md", "gpg");
    let script = format!(
        r#"
trap 'GNUPGHOME=$PWD/g gpgconf --kill gpg-agent; kill $SERVER' EXIT
{MAKE}
holdfast init --data vault --custodian anna.asc --soft-key soft.key --listen {listen}
holdfast server --data vault & SERVER=$!
holdfast key create orders
echo 'attack at dawn' | holdfast key encrypt orders > note.hf
ARCHIVE=$(holdfast backup --output archives --quiet)
TRUST=$(holdfast sheet --fingerprint)

# She does not answer: nothing is restored, and it is her turn, not the archive's fault.
touch g/cancel
code=0; holdfast verify "$ARCHIVE" --identity gpg || code=$?
test $code = 23
rm g/cancel

{documented}
kill -9 $SERVER; rm -rf vault soft.key
holdfast restore "$ARCHIVE" --identity gpg --trust "$TRUST" --data again --soft-key again.key \
    --context again.toml --listen {listen} --yes
holdfast server --data again & SERVER=$!
HOLDFAST_CONTEXT=again.toml holdfast key decrypt < note.hf
"#
    );
    let out = host.script("context.toml", &script);
    assert!(out.contains("recorded as ledger entry"), "{out}");
    assert!(out.ends_with("attack at dawn\n"), "{out}");
    assert!(host.read("g/asked").lines().count() >= 2, "the agent asked");
}
