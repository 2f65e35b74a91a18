//! What may lie around the data packet: little before it, nothing after it. Whoever can append to a
//! file needs no key, so nothing of it may be taken for whole, or be kept in memory.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_seal::{
    Certificate, GpgAgent, Identity, OpenError, Opener, SealError, generate_custodian, open_reader,
    seal_bytes, seal_reader,
};

use crate::gpg::Gpg;
use crate::now;

/// What may lie before the data, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// A reader may be ahead by its buffer, and ours.
const BUFFERS: u64 = 64 * 1024;

fn custodian() -> (Opener, Certificate) {
    let (secret, certificate) = generate_custodian("Ada", now()).unwrap();
    let identity = Identity::read(secret.as_bytes(), None).unwrap();
    (Opener::Identity(identity), Certificate::read(&certificate, now()).unwrap())
}

fn open(source: impl Read + Send, opener: &Opener) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut stream =
        open_reader(BufReader::new(source), opener).map_err(|error| error.to_string())?;
    stream.read_to_end(&mut out).map_err(|error| error.to_string())?;
    assert!(stream.is_whole());
    Ok(out)
}

/// Opens what must be refused as damaged, and answers with how many bytes were read of it.
#[track_caller]
fn refused(source: impl Read + Send, opener: &Opener, why: &str) -> u64 {
    let read = Arc::new(AtomicU64::new(0));
    let error = open(Counted(source, read.clone()), opener).expect_err("it must be refused");
    assert!(
        error.starts_with("the sealed stream is damaged: ") && error.contains(why),
        "{why}: {error}"
    );
    read.load(Ordering::Relaxed)
}

/// Counts what passes.
struct Counted<T>(T, Arc<AtomicU64>);

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Repeats bytes for ever.
struct Cycle(Vec<u8>, usize);

impl Read for Cycle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = buf.len().min(self.0.len() - self.1);
        buf[..read].copy_from_slice(&self.0[self.1..self.1 + read]);
        self.1 = (self.1 + read) % self.0.len();
        Ok(read)
    }
}

/// A packet of `tag` with a length of five octets (RFC 9580 §4.2.1.3).
fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&[0xc0 | tag, 0xff][..], &length.to_be_bytes(), body].concat()
}

/// What follows a stream in these tests; OpenPGP lets most of it be skipped.
fn tails() -> Vec<Vec<u8>> {
    let (_, certificate) = custodian();
    let second = seal_bytes(b"second", &[certificate]).unwrap().0;
    let mut tails: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    tails.push(b"\xca\x03PGP".to_vec());
    tails.push(b"\xa8\x03PGP".to_vec());
    tails.extend([21, 40, 60, 63].map(|tag| packet(tag, &[0; 300])));
    tails.extend([packet(21, b""), packet(11, b"b\0\0\0\0\0x"), second]);
    tails.push(vec![0; 100_000]);
    tails
}

#[test]
fn nothing_may_follow_the_data() {
    let (opener, certificate) = custodian();
    for length in [10, 300_000] {
        let mut sealed = Vec::new();
        let to = std::slice::from_ref(&certificate);
        let key = seal_reader(&vec![7; length][..], to, &mut sealed).unwrap();
        assert!(open(&sealed[..], &opener).unwrap() == vec![7; length]);
        for tail in tails() {
            let longer = [&sealed[..], &tail].concat();
            for opener in [&opener, &Opener::Session(key.clone())] {
                refused(&longer[..], opener, "something follows");
            }
        }
    }
}

#[test]
fn what_follows_is_not_read() {
    let (opener, certificate) = custodian();
    let sealed = seal_bytes(b"four", &[certificate]).unwrap().0;
    for tag in [21, 40, 60] {
        let header = [0xc0 | tag, 0xff, 0xff, 0xff, 0xff, 0xff];
        let tail = header.chain(io::repeat(0).take(1 << 30));
        let read = refused(sealed.chain(tail), &opener, "something follows");
        assert!(read < sealed.len() as u64 + BUFFERS, "{read} bytes were read");
    }
}

#[test]
fn the_callers_gpg_is_no_way_around() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("cv25519", "encr")), "never");
    let ada = Certificate::read(&gpg.export("Ada"), now()).unwrap();
    let home = Some(gpg.home().to_owned());
    let opener = Opener::Gpg(GpgAgent { home, ..GpgAgent::default() });
    for length in [10, 300_000] {
        let mut sealed = Vec::new();
        let to = std::slice::from_ref(&ada);
        seal_reader(&vec![7; length][..], to, &mut sealed).unwrap();
        let second = sealed.clone();
        for tail in [&b"\xca\x03PGP"[..], &packet(60, &[0; 300]), &second, b"\0", b"\xca"] {
            refused(sealed.chain(tail), &opener, "something follows");
        }
        let (head, data) = split(&sealed);
        let full = head.repeat(HEAD_BYTES / head.len());
        assert!(open(full.chain(data), &opener).unwrap() == vec![7; length]);
        // gpg is shown more than the head.
        let read = refused(Cycle(head.to_vec(), 0), &opener, "64 KiB");
        assert!(read < 4 * HEAD_BYTES as u64, "{read} bytes were read");
    }
}

/// The stream's one PKESK, and the rest.
fn split(sealed: &[u8]) -> (&[u8], &[u8]) {
    // Ours have a new header with a length of one octet: X25519.
    assert_eq!(sealed[0], 0xc1);
    assert!(sealed[1] < 192, "one octet of length");
    sealed.split_at(2 + usize::from(sealed[1]))
}

#[test]
fn little_may_lie_before_the_data() {
    let (opener, certificate) = custodian();
    let (sealed, key) = seal_bytes(b"four", &[certificate]).unwrap();
    let (head, data) = split(&sealed);
    let session = Opener::Session(key);
    // As much as there may be.
    let mut full = head.repeat(HEAD_BYTES / head.len());
    full.extend(packet(21, &vec![0; HEAD_BYTES - full.len() - 6]));
    assert_eq!(full.len(), HEAD_BYTES);
    for opener in [&opener, &session] {
        assert_eq!(open(full.chain(data), opener), Ok(b"four".to_vec()));
        refused(full.chain(&packet(10, b"")[..]).chain(data), opener, "64 KiB");
        for endless in [head.to_vec(), b"\xca\x03PGP".to_vec(), packet(21, &[0; 99])] {
            let read = refused(Cycle(endless, 0), opener, "64 KiB");
            assert!(read < HEAD_BYTES as u64 + BUFFERS, "{read} bytes were read");
        }
    }
}

#[test]
fn a_huge_length_before_the_data_is_refused_at_once() {
    let (opener, certificate) = custodian();
    let sealed = seal_bytes(b"four", &[certificate]).unwrap().0;
    // New and old headers; PKESK, SKESK, marker and padding.
    for start in [
        &[0xc1, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0xc3, 0xff, 0x00, 0x01, 0x00, 0x00],
        &[0xca, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xd5, 0xff, 0x80, 0x00, 0x00, 0x00],
        &[0x86, 0xff, 0xff, 0xff, 0xff],
        &[0xaa, 0x00, 0x01, 0x00, 0x00],
    ] {
        let read = refused(start.chain(io::repeat(0).take(1 << 30)), &opener, "64 KiB");
        assert!(read < BUFFERS, "{read} bytes were read");
        refused(start.chain(&sealed[..]), &opener, "64 KiB");
    }
    // A length in parts, or none at all, is for data only.
    for start in [&[0xc1, 0xe9][..], &[0xca, 0xfe], &[0x87], &[0xab]] {
        let read = refused(start.chain(io::repeat(0).take(1 << 30)), &opener, "length");
        assert!(read < BUFFERS, "{read} bytes were read");
    }
    // Where the data claims more than there is, that is a cut.
    let (head, data) = split(&sealed);
    assert_eq!(data[..2], [0xd2, 0xff]);
    let long = [&[0xd2, 0xff, 0xff, 0xff, 0xff, 0xff][..], &data[6..]].concat();
    refused(head.chain(&long[..]), &opener, "its end is missing");
}

#[test]
fn other_packets_before_the_data_are_refused() {
    let (opener, certificate) = custodian();
    let sealed = seal_bytes(b"four", &[certificate]).unwrap().0;
    for tag in [0, 12, 19, 40, 60, 63] {
        refused(packet(tag, b"x").chain(&sealed[..]), &opener, "before the data");
    }
    let unsupported = |bytes: &[u8]| {
        let result = open_reader(bytes, &opener);
        assert!(matches!(result, Err(OpenError::Unsupported { .. })), "{:?}", result.err());
    };
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", None, "never");
    unsupported(&gpg.run(&["--batch", "--sign"], b"in the clear"));
    unsupported(&gpg.run(&["--batch", "--store"], b"in the clear"));
    unsupported(&packet(9, &[0; 40]));
    unsupported(&packet(20, &[0; 40]));
}

#[test]
fn a_cut_anywhere_is_noticed() {
    let (_, certificate) = custodian();
    let mut sealed = Vec::new();
    let key = seal_reader(&[7; 200_000][..], &[certificate], &mut sealed).unwrap();
    let session = Opener::Session(key);
    let chunk = 64 * 1024;
    let near = (0..4).flat_map(|n| n * chunk + 80..n * chunk + 130);
    let last = sealed.len() - 100..sealed.len();
    for cut in (0..sealed.len()).step_by(4999).chain(near).chain(last) {
        assert!(open(&sealed[..cut.min(sealed.len() - 1)], &session).is_err(), "cut at {cut}");
    }
}

#[test]
fn single_bytes_are_read_as_well_as_blocks() {
    let (_, certificate) = custodian();
    let mut sealed = Vec::new();
    let key = seal_reader(&[7; 200_000][..], &[certificate], &mut sealed).unwrap();
    let session = Opener::Session(key);
    let mut out = Vec::new();
    let source = BufReader::with_capacity(1, &sealed[..]);
    open_reader(source, &session).unwrap().read_to_end(&mut out).unwrap();
    assert!(out == [7; 200_000]);
}

#[test]
fn what_gpg_frames_is_opened() {
    let gpg = Gpg::new();
    gpg.make("Ada", "rsa2048", Some(("rsa2048", "encr")), "never");
    let ada = Identity::read(&gpg.export_secret("Ada", ""), None).unwrap();
    let (opener, certificate) = (Opener::Identity(ada), custodian().1);
    let other = gpg.file("other.pgp", &certificate.to_bytes());
    let other = other.to_str().unwrap();
    let plain: Vec<u8> = (0..500_000_u32).flat_map(u32::to_be_bytes).collect();
    for length in [0, 100, 500, 9_000, plain.len()] {
        let plain = &plain[..length];
        let file = gpg.file("plain", plain);
        // Of a file gpg knows the length; of what comes through a pipe it does not.
        for path in [file.to_str(), None] {
            for compress in ["none", "zip", "zlib"] {
                let options = ["--batch", "--compress-algo", compress, "--output", "-"];
                let to = ["--recipient-file", other, "--recipient", "Ada", "--encrypt"];
                let args = [&options[..], &to, path.as_slice()].concat();
                let sealed = gpg.run(&args, plain);
                assert!(open(&sealed[..], &opener).unwrap() == plain, "{length} {args:?}");
                refused(sealed.chain(&b"\xca\x03PGP"[..]), &opener, "something follows");
            }
        }
    }
    // With the smaller keys of AES.
    for cipher in ["aes128", "aes192"] {
        let args = ["--batch", "--cipher-algo", cipher, "--recipient", "Ada", "--encrypt"];
        assert!(open(&gpg.run(&args, &plain)[..], &opener).unwrap() == plain, "{cipher}");
    }
    // With a passphrase besides.
    let args = ["--batch", "--passphrase", "x", "--recipient", "Ada", "--symmetric", "--encrypt"];
    assert!(open(&gpg.run(&args, &plain)[..], &opener).unwrap() == plain);
}

/// Seals to a certificate by gpg, with options of the caller's.
fn sealing(gpg: &Gpg, to: &Certificate) -> impl Fn(&[&str], &[u8]) -> Vec<u8> {
    let file = gpg.file("ours.pgp", &to.to_bytes());
    move |options, inside| {
        let to = ["--batch", "--recipient-file", file.to_str().unwrap(), "--encrypt"];
        gpg.run(&[options, &to].concat(), inside)
    }
}

/// Of gpg: what it seals is packets already.
const BARE: [&str; 3] = ["--no-literal", "--compress-algo", "none"];

/// A stored block of DEFLATE, the last one (RFC 1951 §3.2.4): its length, that inverted, and the bytes as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

/// What a packet holds that is compressed with ZIP: the number of that, and DEFLATE as it is (RFC 9580 §5.6).
fn zip(bytes: &[u8]) -> Vec<u8> {
    [&[1], &stored(bytes)[..]].concat()
}

#[test]
fn nothing_else_is_read_from_inside_the_seal() {
    let gpg = Gpg::new();
    let (opener, certificate) = custodian();
    let seal = sealing(&gpg, &certificate);
    let literal = packet(11, b"b\0\0\0\0\0four");
    assert_eq!(open(&seal(&BARE, &literal)[..], &opener), Ok(b"four".to_vec()));
    // Whoever knows the custodians' certificates can seal anything to them.
    let long = [packet(60, &vec![0; 1 << 20]), b"\xca\x03PGP".repeat(200_000)];
    for filler in long.into_iter().chain([b"\xca\x03PGP".to_vec(), packet(21, b"0")]) {
        for inside in [[&literal[..], &filler], [&filler, &literal]] {
            let sealed = seal(&BARE, &inside.concat());
            let read = Arc::new(AtomicU64::new(0));
            let error = open(Counted(&sealed[..], read.clone()), &opener).unwrap_err();
            assert!(error.contains("not supported") && error.contains("lies"), "{error}");
            assert!(read.load(Ordering::Relaxed) < BUFFERS || filler.len() < 1000, "{error}");
        }
    }
}

/// What was sealed as it should be, and holds no archive.
#[test]
fn what_is_no_plain_data_is_named() {
    let gpg = Gpg::new();
    gpg.make("Eve", "ed25519", None, "never");
    let (opener, certificate) = custodian();
    let seal = sealing(&gpg, &certificate);
    let unsupported = |sealed: &[u8], what: &str| match open_reader(sealed, &opener).map(drop) {
        Err(OpenError::Unsupported { why }) => assert!(why.contains(what), "{why}"),
        other => panic!("{what}: {other:?}"),
    };
    unsupported(&seal(&["--compress-algo", "none", "--sign"], b"x"), "no plain data");
    unsupported(&seal(&["--compress-algo", "zip", "--sign"], b"x"), "no plain data");
    unsupported(&seal(&["--compress-algo", "bzip2"], &[b'x'; 1000]), "ZIP and ZLIB");
    unsupported(&seal(&["--compress-algo", "none", "--cipher-algo", "3des"], b"x"), "not AES");

    let bare = |inside: &[u8]| seal(&BARE, inside);
    let literal = packet(11, b"b\0\0\0\0\0four");
    assert_eq!(open(&bare(&packet(8, &zip(&literal)))[..], &opener), Ok(b"four".to_vec()));
    // What hides its length is passed over; algorithm 0 compresses nothing (RFC 9580 §9.4).
    let padded = packet(8, &[&zip(&literal)[..], &[0; 100_000]].concat());
    assert_eq!(open(&bare(&padded)[..], &opener), Ok(b"four".to_vec()));
    assert_eq!(
        open(&bare(&packet(8, &[&[0], &literal[..]].concat()))[..], &opener),
        Ok(b"four".to_vec())
    );
    // Old headers, with a length and without (§4.2.2).
    for old in [&b"\xac\x0ab\0\0\0\0\0four"[..], b"\xafb\0\0\0\0\0four"] {
        assert_eq!(open(&bare(old)[..], &opener), Ok(b"four".to_vec()));
    }
    let twice = packet(8, &zip(&packet(8, &zip(&literal))));
    unsupported(&bare(&twice), "no plain data");
    unsupported(&bare(&packet(8, b"\x09none")), "ZIP and ZLIB");
    unsupported(&packet(18, &[2; 40]), "SEIPD version 1");
    for (inside, why) in [
        (vec![], "no data inside"),
        (packet(8, &[]), "is missing"),
        (packet(8, &[1]), "compressed data"),
        (packet(8, b"\x01\xff\xff\xff"), "compressed data"),
        (packet(8, &zip(&literal)[..12]), "compressed data"),
        ([&[0xc8, 0xff, 0, 0, 1, 0][..], &zip(&literal)].concat(), "is missing"),
        (literal[..8].to_vec(), "is missing"),
        (packet(11, b"b\xffab"), "is missing"),
    ] {
        refused(&bare(&inside)[..], &opener, why);
    }
    for beside in [
        packet(8, &zip(&[&literal[..], b"x"].concat())),
        [packet(8, &zip(&literal)), literal.clone()].concat(),
    ] {
        let error = open(&bare(&beside)[..], &opener).unwrap_err();
        assert!(error.contains("something lies beside"), "{error}");
    }
}

/// A compressed packet in parts, the last of them empty: where its end is told by a length alone.
#[test]
fn compressed_data_in_parts_is_read_to_its_end() {
    let gpg = Gpg::new();
    let (opener, certificate) = custodian();
    let seal = sealing(&gpg, &certificate);
    for length in 500..530 {
        let literal = packet(11, &[&b"b\0\0\0\0\0"[..], &vec![b'x'; length]].concat());
        // A stored block of ZLIB (RFC 1950), its end the four bytes of the Adler checksum.
        let (a, b) = literal.iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        let adler = (b << 16 | a).to_be_bytes();
        let body = [&[2, 0x78, 0x01], &stored(&literal)[..], &adler].concat();
        let mut inside = vec![0xc8];
        let (pieces, rest) = body.as_chunks::<8>();
        for piece in pieces {
            inside.push(0xe3);
            inside.extend(piece);
        }
        inside.push(u8::try_from(rest.len()).unwrap());
        inside.extend(rest);
        let sealed = seal(&BARE, &inside);
        for capacity in [1, 7, 8192] {
            let source = BufReader::with_capacity(capacity, &sealed[..]);
            let mut out = Vec::new();
            open_reader(source, &opener).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, vec![b'x'; length], "{capacity}");
        }
    }
}

#[test]
fn so_many_keys_that_the_stream_could_not_be_opened_are_refused() {
    let (opener, certificate) = custodian();
    let seal = |count: usize| {
        let mut out = Vec::new();
        let to = vec![certificate.clone(); count];
        seal_reader(&b"four"[..], &to, &mut out).map(|_| out)
    };
    let many = seal(HEAD_BYTES / 256).unwrap();
    assert_eq!(open(&many[..], &opener), Ok(b"four".to_vec()));
    let result = seal(HEAD_BYTES / 64);
    assert!(matches!(result, Err(SealError::TooManyKeys)), "{:?}", result.err());
}
