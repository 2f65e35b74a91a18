//! Archives that somebody with the custodians' certificates made: everybody has those, so the seal
//! proves nothing about the tar inside it. Sums and END are made to fit, so that the check under
//! test is the one that refuses.

use std::fmt::Write as _;
use std::io::Read as _;

use holdfast_crypto::sha256;
use holdfast_records::RootGeneration;
use holdfast_recovery::{ArchiveError, Facts, Public};
use holdfast_seal::{open_reader, seal_reader};
use holdfast_types::{Generation, Kind, VaultId};

use crate::scene::{Scene, changed, open, opener, row};

type Member = (String, Vec<u8>);

pub struct Forge {
    scene: Scene,
    pub members: Vec<Member>,
}

impl Forge {
    /// The members of a good archive, without `SHA256SUMS` and `END`.
    pub fn new() -> Self {
        Self::of(Scene::new())
    }

    fn of(scene: Scene) -> Self {
        let members = unpack(&scene);
        Self { scene, members }
    }

    fn at(&mut self, start: &str) -> usize {
        self.members.iter().position(|(name, _)| name.starts_with(start)).unwrap()
    }

    fn data(&mut self, start: &str) -> &mut Vec<u8> {
        let at = self.at(start);
        &mut self.members[at].1
    }

    fn replace(&mut self, start: &str, old: &str, new: &str) {
        let data = self.data(start);
        let text = String::from_utf8(data.clone()).unwrap();
        assert!(text.contains(old), "{old} is not in {start}");
        *data = text.replacen(old, new, 1).into_bytes();
    }

    pub fn open(&self) -> Result<(), ArchiveError> {
        self.open_tar(&pack(&closed(&self.members)))
    }

    pub fn open_tar(&self, tar: &[u8]) -> Result<(), ArchiveError> {
        let mut sealed = Vec::new();
        seal_reader(tar, &self.scene.certificates(), &mut sealed).unwrap();
        open(&sealed, None, &self.scene.unseal(0), &mut self.scene.sink()).map(drop)
    }
}

/// Opens with `change` made; answers with the refusal.
fn refused(change: impl FnOnce(&mut Forge)) -> ArchiveError {
    let mut forge = Forge::new();
    change(&mut forge);
    forge.open().expect_err("it must be refused")
}

fn says(error: &ArchiveError, what: &str) {
    assert!(error.to_string().contains(what), "{error}");
}

fn unpack(scene: &Scene) -> Vec<Member> {
    let (sealed, _) = scene.write();
    let opener = opener(&scene.secrets[0]);
    let mut tar = Vec::new();
    open_reader(sealed.as_slice(), &opener).unwrap().read_to_end(&mut tar).unwrap();
    let mut members = Vec::new();
    let mut rest = tar.as_slice();
    while rest[0] != 0 {
        let name = rest[..100].split(|byte| *byte == 0).next().unwrap();
        let name = String::from_utf8(name.to_vec()).unwrap();
        let size = std::str::from_utf8(&rest[124..135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        if name != "SHA256SUMS" && name != "END" {
            members.push((name, rest[512..512 + size].to_vec()));
        }
        rest = &rest[512 + size.next_multiple_of(512)..];
    }
    members
}

pub fn closed(members: &[Member]) -> Vec<Member> {
    let mut sums = String::new();
    for (name, data) in members {
        writeln!(sums, "{}  {name}", hex(&sha256(data))).unwrap();
    }
    let hash = hex(&sha256(sums.as_bytes()));
    let end = format!("holdfast-end-v1 {} {hash}\n", members.len());
    let closing =
        [("SHA256SUMS".to_owned(), sums.into_bytes()), ("END".to_owned(), end.into_bytes())];
    members.iter().cloned().chain(closing).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn pack(members: &[Member]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, data) in members {
        tar.extend_from_slice(&header(name, data.len(), b'0'));
        tar.extend_from_slice(data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub fn header(name: &str, size: usize, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..156].copy_from_slice(
        format!("0000600\x000000000\x000000000\0{size:011o}\x0000000000000\0        ").as_bytes(),
    );
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn the_forge_itself_makes_good_archives() {
    Forge::new().open().unwrap();
}

#[test]
fn members_out_of_place_are_refused() {
    says(&refused(|forge| forge.members.swap(0, 1)), "stands where");
    says(&refused(|forge| drop(forge.members.remove(0))), "stands where");
    let error = refused(|forge| {
        let at = forge.at("slots/");
        forge.members.swap(at, at + 1);
    });
    says(&error, "stands where");
    for start in ["README", "manifest", "slots/", "records/keys", "records/ledger"] {
        let twice = refused(|forge| {
            let at = forge.at(start);
            forge.members.insert(at, forge.members[at].clone());
        });
        let what = if start.starts_with("records") { "out of place" } else { "stands where" };
        says(&twice, what);
    }
    let error = refused(|forge| {
        let at = forge.at("records/keys");
        forge.members.swap(at, at + 1);
    });
    says(&error, "out of place");
    for name in ["records/keys-000002.ndjson", "records/spies-000001.ndjson", "notes.txt"] {
        let error = refused(|forge| {
            let at = forge.at("records/keys-");
            forge.members[at].0 = name.to_owned();
        });
        says(&error, "out of place");
    }
}

#[test]
fn tars_that_would_write_elsewhere_are_refused() {
    for name in ["../README.txt", "/README.txt", "./README.txt", "a/../README.txt"] {
        let error = refused(|forge| forge.members[0].0 = name.to_owned());
        says(&error, "member that archives never have");
    }
    // Hard link, symbolic link, devices, directory, FIFO, long names, extended headers.
    for kind in *b"12345670LKxg" {
        let forge = Forge::new();
        let mut tar = pack(&closed(&forge.members));
        tar[..512].copy_from_slice(&header("README.txt", forge.members[0].1.len(), kind));
        let opened = forge.open_tar(&tar);
        assert_eq!(opened.is_ok(), kind == b'0', "kind {}", char::from(kind));
    }
}

#[test]
fn sizes_that_would_fill_memory_are_refused() {
    let forge = Forge::new();
    for size in [(8 << 20) + 1, 0o7_777_777_777] {
        let mut tar = pack(&closed(&forge.members));
        tar[..512].copy_from_slice(&header("README.txt", size, b'0'));
        says(&forge.open_tar(&tar).unwrap_err(), "member that archives never have");
    }
    let error = refused(|forge| {
        let line = vec![b' '; (1 << 20) + 1];
        *forge.data("records/vault") = [line, b"\n".to_vec()].concat();
    });
    says(&error, "too long");
    let error = refused(|forge| forge.data("manifest").resize((1 << 20) + 1, b' '));
    says(&error, "manifest.json is too large");
    let error = refused(|forge| forge.data("slots/").resize((16 << 10) + 1, 0));
    says(&error, "too large");
}

#[test]
fn what_follows_or_does_not_end_is_refused() {
    let forge = Forge::new();
    let whole = closed(&forge.members);
    let tar = pack(&whole);
    forge.open_tar(&tar).unwrap();
    assert!(forge.open_tar(&[tar.clone(), vec![0]].concat()).is_err());
    assert!(forge.open_tar(&tar[..tar.len() - 512]).is_err());
    let more = [whole.clone(), vec![("more".to_owned(), Vec::new())]].concat();
    says(&forge.open_tar(&pack(&more)).unwrap_err(), "follows END");
    assert!(forge.open_tar(&pack(&whole[..whole.len() - 1])).is_err());
    assert!(forge.open_tar(&pack(&forge.members)).is_err());
    for (closing, what) in [(1, "END"), (2, "SHA256SUMS")] {
        let mut changed = whole.clone();
        let at = changed.len() - closing;
        changed[at].1.push(b'\n');
        says(&forge.open_tar(&pack(&changed)).unwrap_err(), what);
    }
}

#[test]
fn rows_that_are_not_those_of_the_manifest_are_refused() {
    let error = refused(|forge| drop(forge.members.remove(forge.members.len() - 1)));
    says(&error, "not as many");
    let error = refused(|forge| forge.replace("records/keys-", "key-1", "key-9"));
    says(&error, "digest");
    let error =
        refused(|forge| forge.replace("records/keys-", "\"rev\":1099511627785", "\"rev\":1"));
    says(&error, "digest");
    let error = refused(|forge| {
        let lines = forge.data("records/keys-");
        *lines = [lines.clone(), lines.clone()].concat();
    });
    says(&error, "out of order");
    let error = refused(|forge| forge.replace("records/keys-", "{", "{ "));
    says(&error, "canonical");
    let error = refused(|forge| assert_eq!(forge.data("records/keys-").pop(), Some(b'\n')));
    says(&error, "does not end");
    let error = refused(|forge| forge.data("records/keys-").insert(0, 0xff));
    says(&error, "UTF-8");
}

#[test]
fn keys_that_do_not_unwrap_are_refused() {
    let error = refused(|forge| {
        let kcv = hex(&forge.scene.versions[0].kcv);
        forge.replace("records/key_versions", &kcv, "0123456789abcdef");
    });
    assert!(matches!(error, ArchiveError::Keys(_)), "{error}");
    assert_eq!(error.kind(), Kind::Damaged);
}

#[test]
fn a_slot_of_another_vault_is_refused() {
    let error = refused(|forge| {
        let other = Scene::of_vault(VaultId([9; 16]));
        let generation = other.keyring.current().unwrap();
        let payload = other.keyring.slot_payload(generation).unwrap();
        let certificates = forge.scene.certificates();
        let sealed = holdfast_seal::seal_bytes(payload.expose_secret(), &certificates);
        *forge.data("slots/") = sealed.unwrap().0;
    });
    assert!(matches!(error, ArchiveError::Keys(_)), "{error}");
}

#[test]
fn manifests_of_another_kind_are_refused() {
    let error = refused(|forge| forge.replace("manifest", "\"min_reader\":1", "\"min_reader\":2"));
    assert_eq!(error.kind(), Kind::Newer);
    for (old, new, what) in [
        ("{", "{\"a\":1,", "a field that is unknown"),
        ("{", "{ ", "canonical"),
        ("\"epoch\":1", "\"epoch\":2", "the field epoch of manifest.json"),
        ("\"kind\":\"base\"", "\"kind\":\"delta\"", "the field kind of manifest.json"),
        ("\"current\":true", "\"current\":false", "no root is current"),
        ("\"canary\":\"", "\"canary\":\"00", "roots are not those"),
    ] {
        says(&refused(|forge| forge.replace("manifest", old, new)), what);
    }
    let error = refused(|forge| forge.data("cluster.pgp").push(0));
    says(&error, "cluster.pgp");
    let error = refused(|forge| {
        let scene = &forge.scene;
        let (_, sealed) = scene.write();
        let digest = sealed.digest.to_string();
        forge.replace("manifest", &digest, &"0".repeat(64));
    });
    says(&error, "digest");
}

#[test]
fn a_manifest_that_calls_another_root_current_is_refused() {
    let mut scene = Scene::new();
    let generation = Generation(2);
    let older = RootGeneration { generation, kcv: [7; 8], current: false, canary: Vec::new() };
    scene.model = changed(&scene, &[row(&older)]);
    let mut forge = Forge::of(scene);
    forge.open().unwrap();
    forge.replace("manifest", "\"current\":false", "\"current\":true");
    says(&forge.open().unwrap_err(), "the roots are not those of the manifest");
}

#[test]
fn slots_that_repeat_or_are_out_of_order_are_refused() {
    let slots = |change: fn(&mut Vec<serde_json::Value>, &mut Forge)| {
        let mut forge = Forge::new();
        let mut manifest: serde_json::Value =
            serde_json::from_slice(forge.data("manifest")).unwrap();
        change(manifest["slots"].as_array_mut().unwrap(), &mut forge);
        *forge.data("manifest") = format!("{manifest}\n").into_bytes();
        says(&forge.open().unwrap_err(), "slots of manifest.json");
    };
    slots(|entries, forge| {
        let at = forge.at("slots/");
        entries.insert(0, entries[0].clone());
        forge.members.insert(at, forge.members[at].clone());
    });
    slots(|entries, forge| {
        let at = forge.at("slots/");
        entries.swap(0, 1);
        forge.members.swap(at, at + 1);
    });
}

/// Of the JSON beside the tar and of the manifest inside it alike.
#[test]
fn every_field_has_the_form_of_an_archive_of_today() {
    let (_, sealed) = Scene::new().write();
    let odd = |field: &str, change: &dyn Fn(&mut Facts)| {
        let mut public = sealed.public.clone();
        change(&mut public.facts);
        let error = Public::from_bytes(&public.to_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        says(&error, &format!("the field {field} of the archive's JSON"));
    };
    let sha256 = || Some("00".repeat(32));
    odd("base_sha256", &|facts| facts.base_sha256 = sha256());
    odd("prev_sha256", &|facts| facts.prev_sha256 = sha256());
    odd("version", &|facts| facts.version = 0);
    odd("min_reader", &|facts| facts.min_reader = 0);
    for head in [String::new(), "AB".repeat(32), "00".repeat(31)] {
        odd("ledger.head", &|facts| facts.ledger.head.clone_from(&head));
    }
    let lower = |facts: &Facts| facts.recipients[0].to_lowercase();
    odd("recipients", &|facts| facts.recipients.push(lower(facts)));
    odd("recipients", &|facts| facts.recipients[0].push('A'));
    odd("recipients", &|facts| facts.recipients.clear());
    odd("signer.fingerprint", &|facts| facts.signer.fingerprint.insert(4, ' '));
}

/// A forged archive beside the JSON and signature of a good one.
#[test]
fn a_manifest_that_is_not_the_signed_one_is_refused() {
    let forge = Forge::new();
    let (_, sealed) = forge.scene.write();
    let mut public = sealed.public;
    public.facts.created.0 += 1;
    let mut tar = Vec::new();
    let packed = pack(&closed(&forge.members));
    seal_reader(packed.as_slice(), &forge.scene.certificates(), &mut tar).unwrap();
    let unseal = forge.scene.unseal(0);
    let error = open(&tar, Some(&public), &unseal, &mut forge.scene.sink()).err().unwrap();
    says(&error, "not that of the signed JSON");
}
