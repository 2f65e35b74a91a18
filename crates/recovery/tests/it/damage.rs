//! Flips and cuts. With its sidecars nothing damaged passes; without them nothing else comes out.
//!
//! The bits: all of JSON, signature and every OpenPGP packet's header and session key; of each other byte
//! of the tar, one, by a seed that differs from run to run and is told where a test fails.
//! `HOLDFAST_EVERY_BIT=1 cargo test --profile ci -p holdfast-recovery damage` takes all bits and all cuts.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_fs::{Fs, Mem, Open};
use holdfast_recovery::{ArchiveFiles, SealedArchive, Trust, check_sidecars};

use crate::scene::{NOW, Scene, open, put};

fn passes(fs: &Mem, files: &ArchiveFiles, signer: &str) -> bool {
    check_sidecars(fs, files, &Trust::Fingerprint(signer.to_owned()), NOW).is_ok()
}

/// Which bits and cuts a run takes.
struct Pick {
    seed: usize,
    every: bool,
}

impl Pick {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = std::env::var("HOLDFAST_SEED")
            .map_or(now.subsec_nanos() as usize, |text| text.parse().unwrap());
        Self { seed, every: std::env::var_os("HOLDFAST_EVERY_BIT").is_some() }
    }

    fn bit(&self, bit: usize) -> bool {
        // Any mixing will do: neighbouring bytes shall not get the same bit.
        let byte = (bit / 8).wrapping_add(self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.every || bit % 8 == byte >> 61
    }

    fn cut(&self, len: usize, one_in: usize) -> bool {
        self.every || (len + self.seed).is_multiple_of(one_in)
    }
}

/// Runs `check` for each item on all processors; the first that panics ends it.
fn for_each(items: &[usize], check: impl Fn(&mut dyn Iterator<Item = usize>) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut mine =
                    std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)).copied());
                check(&mut mine);
            });
        }
    });
}

/// Which bytes of a sealed tar are headers of packets, or packets before the encrypted data
/// (RFC 9580 §4.2: new format, with partial body lengths).
fn headers(tar: &[u8]) -> Vec<bool> {
    let mut marked = vec![false; tar.len()];
    let mut at = 0;
    while at < tar.len() {
        let tag = tar[at] & 0x3f;
        assert_eq!(tar[at] & 0xc0, 0xc0, "a packet of the new format at {at}");
        marked[at] = true;
        at += 1;
        loop {
            let first = usize::from(tar[at]);
            let (octets, len, last) = match first {
                ..192 => (1, first, true),
                192..224 => (2, ((first - 192) << 8) + usize::from(tar[at + 1]) + 192, true),
                255 => {
                    (5, u32::from_be_bytes(tar[at + 1..at + 5].try_into().unwrap()) as usize, true)
                }
                _ => (1, 1 << (first & 0x1f), false),
            };
            // Of the encrypted data only the version.
            let body = if tag == 18 { 1 } else { len };
            marked[at..(at + octets + body).min(tar.len())].fill(true);
            at += octets + len;
            if last {
                break;
            }
        }
    }
    marked
}

fn archive() -> (Scene, Vec<u8>, SealedArchive) {
    let scene = Scene::small();
    let (tar, sealed) = scene.write();
    (scene, tar, sealed)
}

/// The bits of the tar that this run takes.
fn bits(pick: &Pick, tar: &[u8]) -> Vec<usize> {
    let marked = headers(tar);
    assert!(marked.iter().filter(|marked| **marked).count() > 100);
    (0..tar.len() * 8).filter(|bit| marked[bit / 8] || pick.bit(*bit)).collect()
}

fn flips_are_refused(which: fn(&ArchiveFiles) -> &Path, bits: fn(&Pick, &[u8]) -> Vec<usize>) {
    let (pick, (scene, tar, sealed)) = (Pick::new(), archive());
    let signer = scene.signer.fingerprint();
    let (fs, files) = put(&sealed, &tar);
    let bytes = holdfast_fs::read_to_vec(&fs, which(&files), 1 << 20).unwrap();
    for_each(&bits(&pick, &bytes), |mine| {
        let (fs, files) = put(&sealed, &tar);
        assert!(passes(&fs, &files, &signer));
        let path = which(&files);
        for bit in mine {
            fs.flip_bit(path, bit as u64).unwrap();
            assert!(
                !passes(&fs, &files, &signer),
                "bit {bit} of {} (seed {})",
                path.display(),
                pick.seed
            );
            fs.flip_bit(path, bit as u64).unwrap();
        }
        assert!(passes(&fs, &files, &signer));
    });
}

fn all(_: &Pick, bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len() * 8).collect()
}

#[test]
fn every_flip_of_the_signature_is_refused() {
    flips_are_refused(|files| &files.signature, all);
}

#[test]
fn every_flip_of_the_json_is_refused() {
    flips_are_refused(|files| &files.json, all);
}

#[test]
fn every_flip_of_the_tar_is_refused() {
    flips_are_refused(|files| &files.tar, bits);
}

#[test]
fn every_cut_and_what_is_appended_is_refused() {
    let (pick, (scene, tar, sealed)) = (Pick::new(), archive());
    let signer = scene.signer.fingerprint();
    for part in 0..3 {
        let pick_part =
            |files: &ArchiveFiles| [&files.tar, &files.json, &files.signature][part].clone();
        let (fs, files) = put(&sealed, &tar);
        let len = fs.open(&pick_part(&files), Open::Read).unwrap().len().unwrap();
        // The size is compared before anything is read.
        let cuts: Vec<usize> = (0..len as usize).filter(|len| pick.cut(*len, 1)).collect();
        for_each(&cuts, |mine| {
            let (fs, files) = put(&sealed, &tar);
            let path = pick_part(&files);
            let whole = holdfast_fs::read_to_vec(&fs, &path, 1 << 20).unwrap();
            let file = fs.open(&path, Open::Write).unwrap();
            file.write_at(b"\n", len).unwrap();
            assert!(!passes(&fs, &files, &signer), "appended to {}", path.display());
            for cut in mine {
                file.set_len(cut as u64).unwrap();
                assert!(!passes(&fs, &files, &signer), "{} cut at {cut}", path.display());
                file.write_at(&whole[cut..], cut as u64).unwrap();
            }
            assert!(passes(&fs, &files, &signer) || file.set_len(len).is_ok());
            assert!(passes(&fs, &files, &signer));
        });
    }
}

#[test]
fn two_archives_do_not_mix() {
    let scene = Scene::new();
    let (first, signed) = scene.write();
    let (second, _) = scene.write();
    let (fs, files) = put(&signed, &second);
    assert!(!passes(&fs, &files, &scene.signer.fingerprint()));
    let mut sink = scene.sink();
    assert!(open(&first, Some(&signed.public), &scene.unseal(0), &mut sink).is_ok());
    let mut sink = scene.sink();
    assert!(open(&second, Some(&signed.public), &scene.unseal(0), &mut sink).is_err());
}

/// Without its sidecars an archive is unsigned: a flip that changes nothing that is read (in another
/// recipient's packet, say) goes unseen, as in gpg. But what comes out is what was sealed, or nothing.
#[test]
fn unsigned_and_damaged_never_yields_other_rows() {
    let (pick, (scene, tar, _)) = (Pick::new(), archive());
    let refused = AtomicUsize::new(0);
    let bits = bits(&pick, &tar);
    for_each(&bits, |mine| {
        let (mut tar, unseal) = (tar.clone(), scene.unseal(0));
        for bit in mine {
            tar[bit / 8] ^= 1 << (bit % 8);
            let mut sink = scene.sink();
            match open(&tar, None, &unseal, &mut sink) {
                Ok(_) => {
                    assert!(sink.rows().eq(scene.model.rows()), "bit {bit} (seed {})", pick.seed);
                }
                Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
            }
            tar[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(open(&tar, None, &unseal, &mut scene.sink()).is_ok());
    });
    // With one recipient there is hardly a bit that means nothing.
    let (refused, tried) = (refused.into_inner(), bits.len());
    assert!(refused * 100 > tried * 99, "only {refused} of {tried} refused");
}

/// As above, where there are packets for others.
#[test]
fn a_flip_in_another_recipients_packet_changes_nothing() {
    let scene = Scene::new();
    let (tar, _) = scene.write();
    let marked = headers(&tar);
    let bits: Vec<usize> = (0..tar.len() * 8).filter(|bit| marked[bit / 8]).collect();
    for_each(&bits, |mine| {
        let mut tar = tar.clone();
        let unseals = [scene.unseal(0), scene.unseal(1)];
        for bit in mine {
            tar[bit / 8] ^= 1 << (bit % 8);
            for unseal in &unseals {
                let mut sink = scene.sink();
                if open(&tar, None, unseal, &mut sink).is_ok() {
                    assert!(sink.rows().eq(scene.model.rows()), "bit {bit}");
                }
            }
            tar[bit / 8] ^= 1 << (bit % 8);
        }
    });
}

#[test]
fn unsigned_and_cut_never_opens() {
    let (pick, (scene, tar, _)) = (Pick::new(), archive());
    let marked = headers(&tar);
    let cuts: Vec<usize> = (0..tar.len()).filter(|len| marked[*len] || pick.cut(*len, 7)).collect();
    for_each(&cuts, |mine| {
        let unseal = scene.unseal(0);
        for cut in mine {
            let opened = open(&tar[..cut], None, &unseal, &mut scene.sink());
            assert!(opened.is_err(), "cut at {cut} (seed {})", pick.seed);
        }
    });
}
