//! What lies before the data of a sealed stream: whom it is sealed to. Whoever can write to a file needs no key to put
//! something there, so it is little, and nothing else.

use std::io::{self, BufRead, Read};

use pgp::packet::{PacketHeader, PublicKeyEncryptedSessionKey};
use pgp::types::{PkeskVersion, Tag};

use crate::framing::{Body, Header, Length, damaged, tag, unsupported};

/// How much may lie before the data packet, in bytes: the PKESKs of 16 recipients with several
/// RSA-4096 keys each fit.
pub(crate) const HEAD_BYTES: u64 = 64 * 1024;

/// The session key as it is sealed: to keys, to a passphrase.
#[derive(Default)]
pub(crate) struct Head {
    /// Those of version 3, which SEIPDv1 takes (RFC 9580 §10.3.2.1).
    pub keys: Vec<PublicKeyEncryptedSessionKey>,
    passphrase: bool,
}

impl Head {
    /// Reads up to the data packet, whose header comes with it.
    pub(crate) fn read(source: &mut dyn BufRead) -> io::Result<(Self, Header)> {
        let (mut head, mut left) = (Self::default(), HEAD_BYTES);
        loop {
            let header = Header::read(source)?.ok_or_else(|| damaged("its data is missing"))?;
            if is_data(header.tag)? {
                return Ok((head, header));
            }
            let Length::Whole(length) = header.length else {
                return Err(damaged("a packet before the data has no whole length"));
            };
            left = left
                .checked_sub(header.octets.saturating_add(length))
                .ok_or_else(|| damaged("more than 64 KiB lie before the data"))?;
            let mut body = Vec::new();
            Body::new(&mut *source, header).read_to_end(&mut body)?;
            head.packet(header.tag, &body)?;
        }
    }

    fn packet(&mut self, tag: u8, body: &[u8]) -> io::Result<()> {
        match tag {
            tag::PKESK => {
                // `HEAD_BYTES` bounds it.
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
                let header = PacketHeader::new_fixed(Tag::PublicKeyEncryptedSessionKey, length);
                let packet = PublicKeyEncryptedSessionKey::try_from_reader(header, body);
                let packet = packet.map_err(|_| damaged("a sealed session key does not parse"))?;
                if packet.version() == PkeskVersion::V3 {
                    self.keys.push(packet);
                }
            }
            tag::SKESK => self.passphrase = true,
            _ => {}
        }
        Ok(())
    }

    /// Key ids of the recipients, 16 upper-case hex digits each; an anonymous one is zeros.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let ids = self.keys.iter().filter_map(|key| key.id().ok());
        let ids = ids.map(|id| id.to_string().to_ascii_uppercase());
        ids.chain(self.passphrase.then(|| "a passphrase".to_owned())).collect()
    }
}

/// Whether the data begins here; else the packet is one that may come first.
fn is_data(tag: u8) -> io::Result<bool> {
    match tag {
        tag::SEIPD => Ok(true),
        tag::PKESK | tag::SKESK | tag::MARKER | tag::PADDING => Ok(false),
        tag::ONE_PASS_SIGNATURE | tag::SIGNATURE | tag::COMPRESSED | tag::LITERAL => {
            Err(unsupported("it is not encrypted"))
        }
        tag::SED | tag::GNUPG_AEAD => Err(unsupported("its encryption is not SEIPD")),
        _ => Err(damaged("another packet lies before the data")),
    }
}
