//! Recovery by the texts that people have in their hands: `RECOVER.txt` as it lies beside the archive, and the
//! printed sheet. With stock gpg, gpgv, tar, sha256sum and Python, on an archive that the real binary just made;
//! and with Holdfast, on a host that knows nothing of the vault.

use holdfast_e2e::{Host, free_port};

/// Two enclaves, two keys in each, twice rotated; a note under every version that there ever was. Then the
/// archive, and nothing else is left.
const MAKE: &str = r#"
holdfast enclave create plant
mkdir notes
for enclave in default plant; do for key in orders drawings; do
    holdfast key create $key -e $enclave
    for version in 1 2 3; do
        printf '%s' "$enclave/$key version $version" |
            holdfast key encrypt $key -e $enclave > notes/$enclave-$key-$version
        if [ $version != 3 ]; then holdfast key rotate $key -e $enclave; fi
    done
done; done
NAME=$(basename "$(holdfast backup --output archives --quiet)" .tar.gpg)
MYSLOT=$(holdfast slot ls | sed -n 's/^openpgp .* yes *\([0-9a-f]\{32\}\) .*/\1/p')
FINGERPRINT=$(holdfast sheet --fingerprint)
mv demo/custodian.asc .
kill -9 "$(cat demo/server.pid)"; rm -rf demo bin
export GNUPGHOME=$PWD/g; mkdir -m700 g; trap 'gpgconf --kill all' EXIT
gpg --batch --import custodian.asc
cd archives
"#;

/// Opens each note with the secret that was printed for the version it names, and with nothing of ours but
/// the cipher of `recover.py`: only the very same bytes do. Prints what the notes say.
const OPEN: &str = r#"
import os, sys
sys.path.insert(0, ".")
from recover import xaes_open
secrets = {}
for line in open("keys.txt"):
    _, key_id, version, kind, secret = line.split()
    assert kind == "aes256" and len(secret) == 64, line
    secrets[bytes.fromhex(key_id) + int(version).to_bytes(4, "big")] = bytes.fromhex(secret)
for name in sorted(os.listdir("../../notes")):
    note = open("../../notes/" + name, "rb").read()
    aad = b"holdfast/v1/msg" + note[:21] + bytes(4)
    print(xaes_open(secrets.pop(note[1:21]), note[21:45], note[45:], aad).decode())
assert not secrets, "a key that nobody made"
"#;

/// The commands that follow these words in a text of the checkout, up to the next words that are none.
fn commands(text: &str, after: &str) -> Vec<String> {
    let text = std::fs::read_to_string(holdfast_e2e::checkout().join(text)).unwrap();
    let lines = text.split(after).nth(1).unwrap().lines().skip(1);
    let lines = lines.skip_while(|line| line.is_empty());
    lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

/// Those of `RECOVER.txt`.
fn recover_txt(after: &str) -> Vec<String> {
    commands("crates/recovery/src/recover.txt", after)
}

/// The commands of `RECOVER.txt`, in its order, with the names filled in. The printed keys go to a file.
fn by_hand() -> String {
    let commands = recover_txt("gpg opens only yours).");
    assert_eq!(commands.len(), 7, "{commands:?}");
    commands
        .join("\n")
        .replace("NAME", "$NAME")
        .replace("*-MYSLOT", "*-$MYSLOT")
        // Debian's own, whose package `cryptography` may be old.
        .replace("python3 recover.py", "/usr/bin/python3 recover.py")
        + " > keys.txt\n"
}

#[test]
fn every_version_of_twice_rotated_keys_comes_back_by_hand() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    std::fs::write(host.path("open.py"), OPEN).unwrap();
    let script = format!(
        "{MAKE}set -x\ncmp RECOVER.txt {}/crates/recovery/src/recover.txt\n{}\
         echo $FINGERPRINT; cat ../$NAME.json; echo; /usr/bin/python3 ../../open.py\n",
        holdfast_e2e::checkout().display(),
        by_hand()
    );
    let out = host.script("demo/context.toml", &script);
    let mut notes: Vec<String> =
        ["default/drawings", "default/orders", "plant/drawings", "plant/orders"]
            .iter()
            .flat_map(|key| (1..=3).map(move |version| format!("{key} version {version}")))
            .collect();
    let said: Vec<&str> = out.lines().rev().take(12).collect();
    notes.reverse();
    assert_eq!(said, notes, "{out}");
    // What the text asks people to compare.
    let fingerprint = out.lines().find(|line| line.len() == 40).unwrap();
    let shown = out.lines().find(|line| line.replace(' ', "") == *fingerprint);
    assert!(shown.is_some(), "gpg --show-keys shows {fingerprint}\n{out}");
    let sum = out.lines().find_map(|line| line.strip_suffix(".tar.gpg")?.split("  ").next());
    assert!(out.contains(&format!("\"sha256\":\"{}\"", sum.unwrap())), "{out}");
    assert!(host.read("err").contains("12 of 12 key versions recovered"));
    assert!(host.read("err").contains("Good signature"));
}

#[test]
fn the_document_of_recovery_says_the_same() {
    let said = commands("docs/recovery.md", "gpg opens only yours).");
    assert_eq!(said, recover_txt("gpg opens only yours)."));
}

/// Makes an archive with a note's key in it, and leaves that, a custodian's key and the sheet.
const LEAVE: &str = r#"
holdfast key create orders --quiet
echo 'attack at dawn' | holdfast key encrypt orders > note.hf
NAME=$(basename "$(holdfast backup --output archives --quiet)" .tar.gpg)
FINGERPRINT=$(holdfast sheet --fingerprint)
SLOT=$(holdfast slot ls --quiet | head -1)
holdfast sheet > sheet.txt
mv demo/custodian.asc .
kill -9 "$(cat demo/server.pid)"; rm -rf demo
export HOME=$PWD/home; mkdir home; unset HOLDFAST_CONTEXT
cd archives
"#;

/// On a host that has Holdfast and nothing else: no context says who signs.
fn restored_with_holdfast(say: impl FnOnce() -> String) {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let commands = say();
    let script = format!(
        "{LEAVE}{commands}
        holdfast server --data ../again --listen {listen} > ../served 2>&1 & trap 'kill $!' EXIT
        HOLDFAST_SERVER=https://{listen} holdfast key decrypt < ../note.hf"
    );
    let out = host.script("demo/context.toml", &script);
    assert!(out.contains("verified"), "{out}");
    assert!(out.ends_with("attack at dawn\n"), "{out}");
}

#[test]
fn what_lies_beside_an_archive_restores_it_with_holdfast() {
    restored_with_holdfast(|| {
        let commands = recover_txt("on the printed sheet:");
        assert_eq!(commands.len(), 2, "{commands:?}");
        let filled = commands.join("\n").replace("NAME", "$NAME");
        let filled = filled.replace("FINGERPRINT", "$FINGERPRINT");
        filled.replace("SECRET_KEY", "../custodian.asc").replace("NEW_DIRECTORY", "../again --yes")
    });
}

#[test]
fn the_printed_sheet_restores_it_with_holdfast() {
    restored_with_holdfast(|| {
        "sed -n '/^With this program/,/^$/p' ../sheet.txt | sed 1d |
            sed \"s/NAME/$NAME/; s/SECRET_KEY/..\\/custodian.asc/; s/DIR/..\\/again --yes/\" > ../commands
        test \"$(grep -c holdfast ../commands)\" = 2
        . ../commands"
            .to_owned()
    });
}

#[test]
fn the_printed_sheet_brings_the_keys_back_by_hand() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let script = format!(
        "{LEAVE}
        export GNUPGHOME=$PWD/../g; mkdir -m700 ../g; trap 'gpgconf --kill all' EXIT
        gpg --batch --quiet --import ../custodian.asc
        sed -n '/^Without it/,$p' ../sheet.txt | sed 1d |
            sed \"s/NAME/$NAME/g; s/SLOT.pgp/$SLOT.pgp/; s/python3/\\/usr\\/bin\\/python3/\" > ../commands
        test \"$(wc -l < ../commands)\" = 7
        . ../commands"
    );
    let out = host.script("demo/context.toml", &script);
    assert!(host.read("err").contains("1 of 1 key versions recovered"), "{out}");
    assert!(out.lines().last().unwrap().contains(" aes256 "), "{out}");
}
