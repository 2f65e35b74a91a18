//! Tars of every kind that `tar` knows and archives are not: links, devices, sparse files, long names,
//! extended headers, other dialects, and more members than there may be. Sealed as they should be, so that
//! only the reader stands in the way.

use holdfast_recovery::ArchiveError;
use holdfast_types::limits::MEMBERS_MAX;

use crate::hostile::{Forge, closed, header, pack};

/// The tar of a good archive whose first header is replaced; the data behind it stays.
fn with_header(forge: &Forge, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut tar = pack(&closed(&forge.members));
    let block: &mut [u8; 512] = (&mut tar[..512]).try_into().unwrap();
    change(block);
    sum(block);
    tar
}

/// The sum as every tar computes it.
fn sum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[track_caller]
fn refused(forge: &Forge, tar: &[u8], what: &str) -> ArchiveError {
    let error = forge.open_tar(tar).expect_err(what);
    assert!(error.to_string().contains("member that archives never have"), "{what}: {error}");
    error
}

#[test]
fn every_kind_of_member_but_a_plain_file_is_refused() {
    let forge = Forge::new();
    forge.open_tar(&with_header(&forge, |_| ())).unwrap();
    // All 256: hard and symbolic links, devices, directories, FIFOs, GNU's long names, sparse files, volume
    // headers, POSIX's extended headers, old tar's zero, and what nobody has invented.
    for kind in (0..=u8::MAX).filter(|kind| *kind != b'0') {
        refused(&forge, &with_header(&forge, |block| block[156] = kind), &format!("kind {kind}"));
    }
}

#[test]
fn every_other_field_is_refused() {
    let forge = Forge::new();
    let size = u64::try_from(forge.members[0].1.len()).unwrap();
    let mut fields: Vec<(&str, usize, Vec<u8>)> = vec![
        ("a link's target", 157, b"/etc/shadow".to_vec()),
        ("GNU's dialect", 257, b"ustar  \0".to_vec()),
        ("old tar", 257, vec![0; 8]),
        ("another version", 263, b"01".to_vec()),
        ("an owner", 108, b"0000001\0".to_vec()),
        ("a group", 116, b"0000001\0".to_vec()),
        ("the owner's name", 265, b"root".to_vec()),
        ("the group's name", 297, b"root".to_vec()),
        ("a device", 329, b"0000001\0".to_vec()),
        ("a prefix of the name", 345, b"..".to_vec()),
        ("the mode of a program", 100, b"0004755\0".to_vec()),
        ("a time", 136, b"00000000001\0".to_vec()),
        ("a size in base 256", 124, [&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat()),
        ("a negative size", 124, vec![0xff; 12]),
        ("a size with spaces", 124, format!("{size:>11o} ").into_bytes()),
        ("a size with a sign", 124, format!("+{size:010o}\0").into_bytes()),
        ("a huge size", 124, b"77777777777\0".to_vec()),
        ("no size", 124, vec![0; 12]),
    ];
    // Sparse files as GNU's old dialect has them, and what stands behind the last field.
    fields.push(("a sparse map", 386, b"00000000000\x0000000000001\0".to_vec()));
    fields.push(("the padding", 511, vec![1]));
    for (what, at, bytes) in fields {
        let tar = with_header(&forge, |block| block[at..at + bytes.len()].copy_from_slice(&bytes));
        refused(&forge, &tar, what);
    }
    // A header whose sum is another one.
    let mut tar = pack(&closed(&forge.members));
    tar[148] ^= 1;
    refused(&forge, &tar, "the sum");
}

/// pax (POSIX.1-2001) and GNU put what they have to say of a member into one of their own before it.
#[test]
fn headers_that_speak_of_the_next_member_are_refused() {
    let forge = Forge::new();
    let good = pack(&closed(&forge.members));
    for (kind, name, data) in [
        (b'x', "./PaxHeaders/README.txt", "20 path=../../escape\n"),
        (b'x', "README.txt", "30 GNU.sparse.realsize=1048576\n"),
        (b'x', "README.txt", "22 linkpath=/etc/passwd\n"),
        (b'g', "pax_global_header", "11 size=10\n"),
        (b'L', "././@LongLink", "../../escape\0"),
        (b'K', "././@LongLink", "/etc/passwd\0"),
        (b'S', "README.txt", ""),
    ] {
        let mut tar = header(name, data.len(), kind).to_vec();
        tar.extend_from_slice(data.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar.extend_from_slice(&good);
        refused(&forge, &tar, name);
    }
}

/// Members are counted, so that their sums stay small; and none may be empty, so that a tar of members
/// without rows ends at its first.
#[test]
fn a_bomb_of_members_is_refused() {
    let mut forge = Forge::new();
    let at = forge.members.iter().position(|(name, _)| name.starts_with("records/keys-")).unwrap();
    let none = (1..=3).map(|n| (format!("records/keys-{n:06}.ndjson"), Vec::new()));
    forge.members.splice(at..=at, none);
    let error = forge.open().expect_err("members without rows");
    assert!(error.to_string().contains("does not end"), "{error}");

    // As many rows of one table as it takes, one in each member: tombstones, which are never reused.
    let mut forge = Forge::new();
    let at = forge.members.iter().position(|(name, _)| name.starts_with("records/keys-")).unwrap();
    let text = String::from_utf8(forge.members[at].1.clone()).unwrap();
    let gone = text.lines().find(|line| line.contains("\"del\":true")).unwrap();
    let id = "f".repeat(32);
    assert!(gone.contains(&id), "{gone}");
    let many = (1..=MEMBERS_MAX + 10).map(|n| {
        let line = gone.replacen(&id, &format!("{n:032x}"), 1);
        (format!("records/keys-{n:06}.ndjson"), format!("{line}\n").into_bytes())
    });
    forge.members.splice(at..=at, many);
    let error = forge.open().expect_err("a bomb");
    assert!(error.to_string().contains(&format!("more than {MEMBERS_MAX} members")), "{error}");
}
