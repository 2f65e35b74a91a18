//! What lies in the memory of a server that has sealed slots and opened them again: its roots in their place, and not
//! as a slot writes them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use holdfast_e2e::{Host, free_port, not_tested};

/// Backs up, each time with what is sealed opened again; takes the root out of the last archive with stock gpg.
const ROOT: &str = r#"
for key in orders drawings; do holdfast key create $key --quiet; holdfast backup --quiet; done
export GNUPGHOME=$PWD/g; mkdir -m700 g; trap 'gpgconf --kill all' EXIT
gpg --batch --quiet --import demo/custodian.asc
mkdir opened
gpg --batch --quiet --decrypt "$(ls demo/archives/*.tar.gpg | tail -1)" | tar -xC opened
gpg --batch --quiet --decrypt opened/slots/*.pgp | sed -n 's/^root //p'
"#;

/// How much of the memory is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// How often each of `needles` stands in the memory of a process; `None` where that may not be read.
fn count(pid: &str, needles: &[Vec<u8>]) -> Option<Vec<usize>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut counts = vec![0; needles.len()];
    let longest = needles.iter().map(Vec::len).max().unwrap();
    let mut piece = vec![0; PIECE];
    for map in maps.lines().filter(|map| map.split(' ').nth(1).unwrap().starts_with('r')) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut at, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        while at < end {
            let wanted = PIECE.min(usize::try_from(end - at).unwrap());
            // Some pages belong to the kernel, and nobody reads them.
            let Ok(read) = memory.read_at(&mut piece[..wanted], at) else { break };
            for (needle, count) in needles.iter().zip(&mut counts) {
                let same = |bytes: &&[u8]| bytes[0] == needle[0] && bytes == needle;
                *count += piece[..read].windows(needle.len()).filter(same).count();
            }
            // What stands across two pieces is seen in the second.
            at += if read > longest { read - longest + 1 } else { read.max(1) } as u64;
        }
    }
    Some(counts)
}

#[test]
fn a_root_is_in_its_place_and_not_as_slots_write_it() {
    let host = Host::new();
    let _dev = host.dev("demo", &format!("127.0.0.1:{}", free_port()));
    let out = host.script("demo/context.toml", ROOT);
    let hex = out.lines().last().unwrap();
    assert_eq!(hex.len(), 64, "{out}");
    let octet = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    let [first, last] = [&hex[..24], &hex[40..]].map(|part| part.as_bytes().to_vec());
    let needles = [(0..32).map(octet).collect(), first, last];
    match count(host.read("demo/server.pid").trim(), &needles) {
        None => not_tested("the memory of another process may not be read here: run as root"),
        Some(counts) => {
            assert!(counts[0] > 0, "the root is where it is used: this test sees it");
            assert_eq!(counts[1..], [0, 0], "the root lies about as text");
        }
    }
}
