//! What was written comes back, for those who may have it.

use holdfast_machine::{RowSink, SinkError, View as _};
use holdfast_recovery::{ArchiveError, Trust, Unseal, check_sidecars};
use holdfast_seal::generate_custodian;
use holdfast_types::{Kind, Row, TableClass};

use crate::scene::{NOW, Scene, open, opener, put};

#[test]
fn an_archive_comes_back_row_by_row_for_each_custodian() {
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    let (fs, files) = put(&sealed, &tar);
    let trust = Trust::Fingerprint(scene.signer.fingerprint());
    let signed = check_sidecars(&fs, &files, &trust, NOW).unwrap();
    assert_eq!(signed.public, sealed.public);
    for custodian in 0..2 {
        let mut sink = scene.sink();
        let unseal = scene.unseal(custodian);
        let opened = open(&tar, Some(&signed.public), &unseal, &mut sink).unwrap();
        assert!(sink.rows().eq(scene.model.rows()));
        assert_eq!(opened.rows, scene.model.rows().count() as u64);
        assert_eq!(opened.versions, scene.versions.len() as u64);
        assert_eq!(opened.digest, scene.model.head().digest(TableClass::Archived));
        assert_eq!(opened.manifest.slots.len(), 2);
        let slot = opened.manifest.slots.iter().find(|slot| slot.slot_id == opened.slot).unwrap();
        assert_eq!(slot.custodian, Some(scene.custodians[custodian].custodian_id));
        for version in &scene.versions {
            let ciphertext = scene.keyring.encrypt(version, b"c", b"text").unwrap();
            let plain = opened.keyring.decrypt(version, b"c", &ciphertext).unwrap();
            assert_eq!(plain.expose_secret(), b"text");
        }
    }
}

#[test]
fn a_byte_drill_opens_with_kept_session_keys() {
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    // A slot's session key is what its opening tells.
    let opened = open(&tar, None, &scene.unseal(0), &mut scene.sink()).unwrap();
    let member = opened.manifest.slots.iter().position(|slot| slot.slot_id == opened.slot).unwrap();
    let slot: holdfast_records::Slot = {
        let rows: Vec<_> =
            scene.model.rows().filter(|row| row.table == holdfast_types::Table::SLOTS).collect();
        let row = &rows[member];
        holdfast_records::Record::decode(row.value.schema, &row.key, &row.value.body).unwrap()
    };
    let (_, key) =
        holdfast_seal::open_bytes(&slot.sealed, &opener(&scene.secrets[0]), 1024).unwrap();
    let sessions = |slots| Unseal::Sessions { archive: sealed.session_key.clone(), slots };
    let whole = sessions(vec![(slot.slot_id, key)]);
    let drilled = open(&tar, Some(&sealed.public), &whole, &mut scene.sink()).unwrap();
    assert_eq!(drilled.versions, scene.versions.len() as u64);
    // The outer key alone opens no key.
    let error = open(&tar, None, &sessions(Vec::new()), &mut scene.sink()).err().unwrap();
    assert_eq!(error.kind(), Kind::WrongIdentity);
}

#[test]
fn a_stranger_and_a_recipient_without_a_slot_are_told_so() {
    let scene = Scene::new();
    let (secret, certificate) = generate_custodian("stranger", NOW).unwrap();
    let stranger = Unseal::Custodian(opener(&secret));
    let (tar, _) = scene.write();
    let error = open(&tar, None, &stranger, &mut scene.sink()).err().unwrap();
    assert_eq!(error.kind(), Kind::WrongIdentity, "{error}");

    let mut without_slot = scene.custodians[0].clone();
    without_slot.custodian_id.0[0] ^= 1;
    without_slot.certificate = certificate;
    let to = [scene.custodians[1].clone(), without_slot.clone()];
    let (tar, _) = scene.try_write(&to).unwrap();
    let error = open(&tar, None, &stranger, &mut scene.sink()).err().unwrap();
    assert_eq!(error.kind(), Kind::WrongIdentity, "{error}");
    assert!(error.to_string().contains(&scene.custodians[1].fingerprint), "{error}");

    // An archive that nobody could open wholly is not written.
    assert!(matches!(scene.try_write(&[without_slot]), Err(ArchiveError::NoCustodian)));
    assert!(matches!(scene.try_write(&[]), Err(ArchiveError::NoCustodian)));
    let many = vec![scene.custodians[0].clone(); 17];
    let error = scene.try_write(&many).err().unwrap();
    assert!(matches!(error, ArchiveError::TooManyCustodians { found: 17, max: 16 }));
}

#[test]
fn only_the_trusted_signer_counts() {
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    let (fs, files) = put(&sealed, &tar);
    let check = |trust| check_sidecars(&fs, &files, &trust, NOW);
    let spaced = scene.signer.fingerprint().to_lowercase();
    let spaced = format!("{} {}", &spaced[..20], &spaced[20..]);
    assert!(check(Trust::Fingerprint(spaced)).is_ok());
    for (trust, says) in [
        (Trust::Nobody, "which is not known here".to_owned()),
        (Trust::of(&"aB ".repeat(20)).unwrap(), format!(", not by {}", "AB".repeat(20))),
    ] {
        let error = check(trust).unwrap_err();
        assert!(error.to_string().ends_with(&says), "{error}");
        assert_eq!(error.kind(), Kind::UnknownSigner);
        assert!(error.to_string().contains(&scene.signer.fingerprint()));
    }
}

#[test]
fn a_text_that_is_no_fingerprint_is_nobodys() {
    for text in ["", "abcd", &"0".repeat(39), &"0".repeat(41), &"g".repeat(40)] {
        assert_eq!(Trust::of(text), None, "{text}");
    }
}

#[test]
fn a_part_that_is_missing_is_named() {
    use holdfast_fs::Fs as _;
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    for part in 0..3 {
        let (fs, files) = put(&sealed, &tar);
        let path = [&files.tar, &files.json, &files.signature][part];
        fs.remove_file(path).unwrap();
        let trust = Trust::Fingerprint(scene.signer.fingerprint());
        let error = check_sidecars(&fs, &files, &trust, NOW).unwrap_err();
        assert!(matches!(&error, ArchiveError::Missing(missing) if missing == path), "{error}");
    }
}

#[test]
fn without_sidecars_it_opens_only_for_who_accepts_that_and_only_whole() {
    use holdfast_fs::{Fs as _, write_atomic};
    use holdfast_recovery::accept_unsigned;
    use holdfast_types::limits::{MANIFEST_BYTES_MAX, SIGNATURE_BYTES_MAX};
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    let accept = |fs: &holdfast_fs::Mem, files: &_, trust: &Trust, custodian| {
        accept_unsigned(fs, files, trust, &scene.unseal(custodian), NOW)
    };
    let trust = Trust::Fingerprint(scene.signer.fingerprint());
    // Lost, cut, or of another archive: the manifest says what the JSON would.
    for break_it in [
        (|fs: &holdfast_fs::Mem, files: &holdfast_recovery::ArchiveFiles| {
            fs.remove_file(&files.json).unwrap();
        }) as fn(&_, &_),
        |fs, files| fs.remove_file(&files.signature).unwrap(),
        |fs, files| write_atomic(fs, &files.signature, b"noise").unwrap(),
        |fs, files| write_atomic(fs, &files.json, b"{\"min_reader\":1}\n").unwrap(),
        // Longer than any that was written.
        |fs, files| write_atomic(fs, &files.json, &[0; MANIFEST_BYTES_MAX + 1]).unwrap(),
        |fs, files| write_atomic(fs, &files.signature, &[0; SIGNATURE_BYTES_MAX + 1]).unwrap(),
    ] {
        let (fs, files) = put(&sealed, &tar);
        break_it(&fs, &files);
        assert!(check_sidecars(&fs, &files, &trust, NOW).is_err());
        let accepted = accept(&fs, &files, &Trust::Nobody, 0).unwrap();
        assert!(accepted.unsigned);
        assert_eq!(accepted.public, sealed.public);
        assert!(open(&tar, Some(&accepted.public), &scene.unseal(1), &mut scene.sink()).is_ok());
        // What it says is held against the bytes: another tar is not opened under that name.
        let (other, _) = scene.write();
        let error = open(&other, Some(&accepted.public), &scene.unseal(0), &mut scene.sink());
        assert_eq!(error.err().unwrap().kind(), Kind::Damaged);
    }
    // Signed after all: then as ever.
    let (fs, files) = put(&sealed, &tar);
    assert!(!accept(&fs, &files, &trust, 0).unwrap().unsigned);
    let error = accept(&fs, &files, &Trust::Nobody, 0).unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownSigner);
    // Signed for other bytes: that is no lost signature.
    let mut cut = tar.clone();
    cut.pop();
    let (fs, files) = put(&sealed, &cut);
    assert_eq!(accept(&fs, &files, &trust, 0).unwrap_err().kind(), Kind::Damaged);
    // Unsigned and cut: what is inside is checked to its end.
    fs.remove_file(&files.json).unwrap();
    let accepted = accept(&fs, &files, &trust, 0).unwrap();
    let error = open(&cut, Some(&accepted.public), &scene.unseal(0), &mut scene.sink());
    assert_eq!(error.err().unwrap().kind(), Kind::Damaged);
}

#[test]
fn a_state_that_does_not_read_back_as_committed_is_not_archived() {
    let mut scene = Scene::new();
    let version = &scene.versions[0];
    let mut rows: Vec<Row> = scene.model.rows().collect();
    let changed = rows.iter_mut().find(|row| row.key == holdfast_records::Record::key(version));
    changed.unwrap().value.at.0 += 1;
    scene.model = damaged(&scene, &rows);
    let error = scene.try_write(&scene.custodians).err().unwrap();
    assert!(matches!(&error, ArchiveError::Damaged(why) if why.contains("digest")), "{error}");
}

/// The rows given, under the head of the scene.
fn damaged(scene: &Scene, rows: &[Row]) -> holdfast_machine::Model {
    let mut model = scene.sink();
    rows.iter().for_each(|row| model.put(row).unwrap());
    model.commit(scene.model.head().clone(), &[]);
    model
}

#[test]
fn a_sink_that_is_full_stops_the_opening() {
    struct Full;
    impl RowSink for Full {
        fn put(&mut self, _: &Row) -> Result<(), SinkError> {
            Err(SinkError::NoSpace("full".into()))
        }
    }
    let scene = Scene::new();
    let (tar, _) = scene.write();
    let error = open(&tar, None, &scene.unseal(0), &mut Full).err().unwrap();
    assert_eq!(error.kind(), Kind::NoSpace);
}
