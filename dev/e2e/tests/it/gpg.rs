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

/// A host where gpg asks `PINENTRY`.
fn host() -> Host {
    let host = Host::new();
    std::fs::create_dir(host.path("g")).unwrap();
    std::fs::set_permissions(host.path("g"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(host.path("g/pinentry"), PINENTRY).unwrap();
    std::fs::set_permissions(host.path("g/pinentry"), PermissionsExt::from_mode(0o755)).unwrap();
    let agent = format!("pinentry-program {}\n", host.path("g/pinentry").display());
    std::fs::write(host.path("g/gpg-agent.conf"), agent).unwrap();
    host
}

#[test]
fn a_custodian_restores_through_their_own_gnupg() {
    let host = host();
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

/// Whoever is told that a good archive is damaged looks for another copy, and has none.
#[test]
fn a_key_that_is_not_to_be_had_is_not_a_damaged_archive() {
    let host = host();
    let listen = format!("127.0.0.1:{}", free_port());
    let script = format!(
        r#"
trap 'for g in g b; do GNUPGHOME=$PWD/$g gpgconf --kill gpg-agent; done' EXIT
mkdir -m 700 b
gpg --homedir b --batch --quiet --passphrase '' --quick-gen-key 'Bob <bob@example.org>' default default never
gpg --homedir b --batch --quiet --armor --export > bob.asc
{MAKE}
holdfast init --data vault --custodian anna.asc --custodian bob.asc --soft-key soft.key --listen {listen}
ARCHIVE=$(ls vault/archives/*.tar.gpg)

# She does not answer, and for Bob gpg says that it has no key.
touch g/cancel
code=0; holdfast verify "$ARCHIVE" --identity gpg 2> said || code=$?
test $code = 23
grep 'cancelled' said
rm g/cancel

# Her file without the part that decrypts, which is all that there is of a key on a card.
echo 'two words' > words
asked="--batch --pinentry-mode loopback --passphrase-file words"
gpg $asked --export-secret-keys > whole.sec
holdfast verify "$ARCHIVE" --identity whole.sec --passphrase-file words
grip=$(gpg --with-colons --with-keygrip --list-keys | sed -n '/^sub/,$s/^grp:*\([0-9A-F]*\):/\1/p')
gpg-connect-agent "DELETE_KEY --force $grip" /bye
gpg $asked --export-secret-keys > stub.sec
code=0; holdfast verify "$ARCHIVE" --identity stub.sec 2> said || code=$?
test $code = 23
grep -e '--identity gpg' said

# Whoever can append to a file needs no key for that.
cp "$ARCHIVE" longer.tar.gpg
printf '\312\003PGP' >> longer.tar.gpg
code=0; holdfast verify longer.tar.gpg --identity whole.sec --passphrase-file words --accept-unsigned 2> said || code=$?
test $code = 21
grep 'something follows' said
echo all of it
"#
    );
    let out = host.script("context.toml", &script);
    assert!(out.ends_with("all of it\n"), "{out}");
}

/// A key ring may hold the keys of several custodians, and gpg may be allowed to use one of them only.
#[test]
fn a_key_that_the_agent_does_not_use_is_in_no_other_keys_way() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let script = format!(
        r#"
export GNUPGHOME=$PWD/g; mkdir -m 700 g; trap 'gpgconf --kill gpg-agent' EXIT
# Nobody can be asked for a passphrase.
echo 'pinentry-program /bin/false' > g/gpg-agent.conf
make() {{ gpg --batch --quiet --pinentry-mode loopback --passphrase "$2" --quick-gen-key $1 default default never
    gpg --batch --quiet --armor --export $1 > $1.asc; }}
make ann 'two words'; make ben 'two words'; make cid ''; make dan 'two words'
gpgconf --kill gpg-agent
for who in ann ben cid dan; do set -- "$@" --custodian $who.asc; done
holdfast init --data vault "$@" --soft-key soft.key --listen {listen}
ARCHIVE=$(ls vault/archives/*.tar.gpg)
holdfast verify "$ARCHIVE" --identity gpg --quiet
gpg --batch --yes --delete-secret-keys $(gpg --with-colons --list-secret-keys cid | sed -n 's/^fpr:*\([0-9A-F]*\):/\1/p' | head -1)
code=0; holdfast verify "$ARCHIVE" --identity gpg 2> said || code=$?
test $code = 23
grep 'could not be asked for' said
"#
    );
    let out = host.script("context.toml", &script);
    assert!(out.contains("verified\n"), "{out}");
}
