//! Sealed streams: to and from stock gpg, flipped, cut, and in constant memory.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};
use std::rc::Rc;

use holdfast_seal::{
    Certificate, Identity, OpenError, Opener, SealError, generate_custodian, open_bytes,
    open_reader, seal_bytes, seal_reader,
};
use proptest::prelude::*;

use crate::gpg::Gpg;
use crate::now;

fn custodian(name: &str) -> (Opener, Certificate) {
    let (secret, certificate) = generate_custodian(name, now()).unwrap();
    let identity = Identity::read(secret.as_bytes(), None).unwrap();
    (Opener::Identity(identity), Certificate::read(&certificate, now()).unwrap())
}

fn open(sealed: &[u8], opener: &Opener) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut stream = open_reader(sealed, opener).map_err(|error| error.to_string())?;
    stream.read_to_end(&mut out).map_err(|error| error.to_string())?;
    assert!(stream.is_whole());
    Ok(out)
}

#[test]
fn gpg_decrypts_what_is_sealed_to_its_keys_and_ours() {
    let gpg = Gpg::new();
    gpg.make("Rsa", "rsa2048", Some(("rsa2048", "encr")), "never");
    gpg.make("Curve", "ed25519", Some(("cv25519", "encr")), "never");
    let (secret, ours) = generate_custodian("Ours", now()).unwrap();
    let certificates = [gpg.export("Rsa"), gpg.export("Curve"), ours];
    let certificates = certificates.map(|bytes| Certificate::read(&bytes, now()).unwrap());
    let plain: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    for certificate in &certificates[..2] {
        let mut sealed = Vec::new();
        let one = std::slice::from_ref(certificate);
        seal_reader(&plain[..], one, &mut sealed).unwrap();
        assert!(gpg.decrypt(&sealed) == plain, "{certificate:?}");
    }
    let mut sealed = Vec::new();
    seal_reader(&plain[..], &certificates, &mut sealed).unwrap();
    assert!(gpg.decrypt(&sealed) == plain, "to all three");
    // Ours alone, in a home that has nothing else.
    let other = Gpg::new();
    other.run(&["--batch", "--import"], secret.as_bytes());
    assert!(other.decrypt(&sealed) == plain, "with the key that we made");
}

/// Both packets are written in pieces of 64 KiB: where one ends exactly with the data, and beside that.
#[test]
fn streams_end_at_a_chunk_and_beside_it() {
    const CHUNK: usize = 64 * 1024;
    // What stands before the data in the literal packet, and around it in the data packet.
    const LITERAL: usize = 6;
    const AROUND: usize = 1 + 18 + (1 + 5 + LITERAL) + 22;
    let gpg = Gpg::new();
    gpg.make("Curve", "ed25519", Some(("cv25519", "encr")), "never");
    let theirs = Certificate::read(&gpg.export("Curve"), now()).unwrap();
    let (opener, ours) = custodian("Ours");
    let to = [theirs, ours];
    // A literal packet in two pieces has one octet of length more.
    let ends = [0, CHUNK - AROUND, CHUNK - LITERAL, 2 * CHUNK - AROUND - 1, 2 * CHUNK - LITERAL];
    for end in ends {
        for length in end.saturating_sub(2)..=end + 2 {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut sealed = Vec::new();
            // Pieces of another size than those that are written.
            let pieces = (&plain[..length / 3]).chain(&plain[length / 3..]);
            seal_reader(pieces, &to, &mut sealed).unwrap();
            assert!(open(&sealed, &opener).as_ref() == Ok(&plain), "{length} bytes");
            assert!(gpg.decrypt(&sealed) == plain, "{length} bytes, gpg");
        }
    }
}

#[test]
fn what_gpg_encrypts_is_opened() {
    let gpg = Gpg::new();
    gpg.make("Rsa", "rsa2048", Some(("rsa2048", "encr")), "never");
    let (opener, certificate) = custodian("Ours");
    let file = gpg.file("ours.pgp", &certificate.to_bytes());
    let file = file.to_str().unwrap();
    let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    for options in [&["--compress-algo", "none"][..], &["--compress-algo", "zip"]] {
        let to = ["--batch", "--recipient-file", file, "--encrypt"];
        let sealed = gpg.run(&[options, &to].concat(), &plain);
        assert!(open(&sealed, &opener).unwrap() == plain, "{options:?}");
    }
    let sealed = gpg.run(&["--batch", "--recipient", "Rsa", "--encrypt"], b"to RSA");
    let rsa = Identity::read(&gpg.export_secret("Rsa", ""), None).unwrap();
    assert_eq!(open(&sealed, &Opener::Identity(rsa)).unwrap(), b"to RSA");
    // Hidden recipients name nobody: every key is tried.
    let hidden = ["--batch", "--hidden-recipient-file", file, "--encrypt"];
    assert_eq!(open(&gpg.run(&hidden, b"hidden"), &opener).unwrap(), b"hidden");
}

#[test]
fn the_session_key_opens_its_own_stream_only() {
    let (opener, certificate) = custodian("Ada");
    let to = [certificate];
    let (sealed, key) = seal_bytes(b"one", &to).unwrap();
    let (other, other_key) = seal_bytes(b"two", &to).unwrap();
    assert_ne!(key.to_bytes(), other_key.to_bytes());
    let (plain, found) = open_bytes(&sealed, &opener, 3).unwrap();
    assert_eq!(plain.expose_secret(), b"one");
    assert_eq!(found.to_bytes(), key.to_bytes());
    let session = Opener::Session(key);
    assert_eq!(open(&sealed, &session).unwrap(), b"one");
    assert!(open(&other, &session).is_err());
}

#[test]
fn limits_and_missing_recipients_are_named() {
    let (opener, certificate) = custodian("Ada");
    let (sealed, _) = seal_bytes(b"four", &[certificate]).unwrap();
    assert!(matches!(open_bytes(&sealed, &opener, 3), Err(OpenError::TooLarge { max: 3 })));
    assert!(open_bytes(&sealed, &opener, 4).is_ok());
    assert!(matches!(seal_bytes(b"x", &[]), Err(SealError::NoRecipient)));
    assert!(matches!(open_bytes(b"", &opener, 4), Err(OpenError::Damaged { .. })));
    assert!(matches!(open_bytes(b"hello", &opener, 4), Err(OpenError::Damaged { .. })));
}

#[test]
fn no_flip_or_cut_of_a_slot_yields_other_plaintext() {
    let (opener, certificate) = custodian("Ada");
    let (_, bob) = custodian("Bob");
    let plain = b"holdfast-root-v1\nvault 00\ngeneration 1\nroot 00\n".repeat(4);
    let (sealed, key) = seal_bytes(&plain, &[certificate, bob]).unwrap();
    let session = Opener::Session(key);
    let mut tolerated = 0;
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for opener in [&opener, &session] {
            if let Ok(out) = open(&flipped, opener) {
                assert!(out == plain, "bit {bit}");
                tolerated += 1;
            }
        }
    }
    // Only bits of what the opener does not look at: packets to the other recipient.
    assert!(tolerated < sealed.len() * 8, "{tolerated} flips went unseen");
    for cut in 0..sealed.len() {
        assert!(open(&sealed[..cut], &opener).is_err(), "cut at {cut}");
        assert!(open(&sealed[..cut], &session).is_err(), "cut at {cut}");
    }
    for tail in [&[0_u8][..], &[0xff; 40], &sealed] {
        let longer = [&sealed[..], tail].concat();
        for opener in [&opener, &session] {
            assert!(open(&longer, opener).is_err(), "a tail of {} bytes", tail.len());
        }
    }
}

#[test]
fn no_flip_of_the_data_is_tolerated() {
    let (opener, certificate) = custodian("Ada");
    let plain = vec![0x5a; 300];
    let (sealed, _) = seal_bytes(&plain, &[certificate]).unwrap();
    // The data packet is the last 300 bytes and more: version, prefix, header, MDC.
    let data = sealed.len() - 300;
    for bit in data * 8..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&flipped, &opener).is_err(), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn long_streams_come_back_or_fail(
        length in 0_usize..1_500_000,
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let (opener, certificate) = custodian("Ada");
        let plain: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut sealed = Vec::new();
        seal_reader(&plain[..], &[certificate], &mut sealed).unwrap();
        prop_assert!(open(&sealed, &opener).unwrap() == plain);
        let at = at.index(sealed.len());
        if let Ok(out) = open(&sealed[..at], &opener) {
            prop_assert!(false, "cut at {} gave {} bytes", at, out.len());
        }
        sealed[at] ^= 1 << bit;
        if let Ok(out) = open(&sealed, &opener) {
            prop_assert!(out == plain);
        }
    }
}

/// Counts what passes.
struct Counted<T>(T, Rc<Cell<u64>>);

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.set(self.1.get() + read as u64);
        Ok(read)
    }
}

/// Fails if the source ran ahead of what was written.
struct Behind {
    written: u64,
    pulled: Rc<Cell<u64>>,
}

impl Write for Behind {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written += buf.len() as u64;
        assert!(self.pulled.get() < self.written + (2 << 20), "the source is buffered");
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn sealing_pulls_as_it_writes() {
    let (_, certificate) = custodian("Ada");
    let pulled = Rc::new(Cell::new(0));
    let source = Counted(io::repeat(7).take(32 << 20), pulled.clone());
    let mut out = Behind { written: 0, pulled: pulled.clone() };
    seal_reader(source, &[certificate], &mut out).unwrap();
    assert_eq!(pulled.get(), 32 << 20);
    assert!(out.written > 32 << 20);
}

/// Counts across threads: an opened source must be `Send`.
struct CountedSend<T>(T, std::sync::Arc<std::sync::atomic::AtomicU64>);

impl<T: Read> Read for CountedSend<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}

#[test]
fn opening_pulls_as_it_is_read() {
    let (opener, certificate) = custodian("Ada");
    let mut sealed = Vec::new();
    seal_reader(io::repeat(7).take(8 << 20), &[certificate], &mut sealed).unwrap();
    let pulled = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let source = BufReader::new(CountedSend(&sealed[..], pulled.clone()));
    let mut stream = open_reader(source, &opener).unwrap();
    let (mut buf, mut total) = ([0; 4096], 0_u64);
    loop {
        let read = stream.read(&mut buf).unwrap();
        if read == 0 {
            break;
        }
        total += read as u64;
        let ahead = pulled.load(std::sync::atomic::Ordering::Relaxed);
        assert!(ahead < total + (2 << 20), "the stream is buffered");
    }
    assert_eq!(total, 8 << 20);
}

/// Fails after some bytes.
struct Failing(usize);

impl Write for Failing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.len() > self.0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0 -= buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = buf.len().min(self.0);
        self.0 -= read;
        if read == 0 { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(read) }
    }
}

/// Is interrupted before each piece.
struct Interrupted<T>(T, bool);

impl<T: Read> Read for Interrupted<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { self.0.read(buf) }
    }
}

#[test]
fn a_signal_ends_no_sealing() {
    let (opener, certificate) = custodian("Ada");
    let mut sealed = Vec::new();
    let source = Interrupted(io::repeat(7).take(200_000), false);
    seal_reader(source, &[certificate], &mut sealed).unwrap();
    assert!(open(&sealed, &opener) == Ok(vec![7; 200_000]));
}

#[test]
fn a_signal_ends_no_opening() {
    let (opener, certificate) = custodian("Ada");
    let mut sealed = Vec::new();
    seal_reader(&[7; 200_000][..], &[certificate], &mut sealed).unwrap();
    for capacity in [1, 100, 8192] {
        let source = BufReader::with_capacity(capacity, Interrupted(&sealed[..], false));
        let (mut out, mut buf) = (Vec::new(), [0; 5000]);
        let mut stream = open_reader(source, &opener).unwrap();
        loop {
            match stream.read(&mut buf) {
                Ok(0) => break,
                Ok(read) => out.extend_from_slice(&buf[..read]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
            }
        }
        assert!(stream.is_whole() && out == [7; 200_000]);
    }
}

#[test]
fn failures_of_either_end_keep_their_kind() {
    let (opener, certificate) = custodian("Ada");
    let to = [certificate];
    let source = io::repeat(7).take(4 << 20);
    match seal_reader(source, &to, &mut Failing(1 << 20)) {
        Err(SealError::Destination(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    match seal_reader(Failing(1 << 20), &to, &mut io::sink()) {
        Err(SealError::Source(error)) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
    let mut sealed = Vec::new();
    seal_reader(io::repeat(7).take(4 << 20), &to, &mut sealed).unwrap();
    let broken = BufReader::new((&sealed[..1 << 20]).chain(Failing(0)));
    let mut stream = open_reader(broken, &opener).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let again = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::InvalidData, "it goes on failing");
    assert!(!stream.is_whole());
}

/// A reader's own errors of kinds that the stream's faults have, too.
#[test]
fn a_source_that_fails_is_no_damaged_stream() {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    struct Fails(io::ErrorKind);
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(self.0, "the disk"))
        }
    }
    let (opener, certificate) = custodian("Ada");
    let mut sealed = Vec::new();
    seal_reader(&[7; 200_000][..], &[certificate], &mut sealed).unwrap();
    for kind in [InvalidData, InvalidInput, UnexpectedEof] {
        let mut begun = 0;
        for cut in (0..300).chain([100_000, sealed.len() - 1, sealed.len()]) {
            let source = BufReader::new((&sealed[..cut]).chain(Fails(kind)));
            let error = match open_reader(source, &opener) {
                Err(OpenError::Io(error)) => error,
                Err(other) => panic!("{kind}, {cut}: {other:?}"),
                Ok(mut stream) => {
                    begun += 1;
                    stream.read_to_end(&mut Vec::new()).unwrap_err()
                }
            };
            assert_eq!((error.kind(), error.to_string()), (kind, "the disk".to_owned()), "{cut}");
        }
        assert!(begun > 100, "{begun} began");
    }
}
