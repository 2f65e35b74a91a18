//! Where a node listens: by address or by name, as it was asked for.
//!
//! A name is more than the address that it leads to: clients call the node by it, so it stands in their context
//! and in the node's certificate.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use holdfast_types::Kind;
use rustls::pki_types::ServerName;

use crate::NodeError;

/// The port where none is said.
const PORT: u16 = 7373;

/// A place to listen at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listening {
    /// The DNS name that was asked for, if it was one.
    pub(crate) name: Option<String>,
    /// The address, which a name was resolved to.
    pub(crate) address: SocketAddr,
}

impl Listening {
    /// `host:port`, `:port` or `host`; an IPv6 address before a port stands in brackets (RFC 3986 §3.2.2).
    ///
    /// Errors: it is none of them, or this host cannot resolve the name (`BadInput`).
    pub(crate) fn parse(text: &str) -> Result<Self, NodeError> {
        Self::parse_with(text, |name, port| (name, port).to_socket_addrs().ok()?.next())
    }

    /// As [`Self::parse`], with what knows a name's address.
    fn parse_with(
        text: &str,
        resolve: impl Fn(&str, u16) -> Option<SocketAddr>,
    ) -> Result<Self, NodeError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = match text.strip_prefix(':').map(str::parse::<u16>) {
            Some(Ok(port)) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            _ => text.parse().ok().or_else(|| Some((bare.parse::<IpAddr>().ok()?, PORT).into())),
        };
        if let Some(address) = address {
            return Ok(Self { name: None, address });
        }
        let named = match text.split_once(':') {
            Some((name, port)) => port.parse().ok().map(|port| (name, port)),
            None => Some((text, PORT)),
        };
        let is_name = |name| matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)));
        let (name, port) = named.filter(|(name, _)| is_name(*name)).ok_or_else(|| {
            NodeError::new(Kind::BadInput, format!("not an address to listen on: {text:?}"))
                .next("write it as 127.0.0.1:7373, [::1]:7373 or NAME:7373")
        })?;
        let address = resolve(name, port).ok_or_else(|| {
            let next = format!(
                "put the name into DNS or /etc/hosts, or listen on an address: 127.0.0.1:{port}"
            );
            NodeError::new(Kind::BadInput, format!("this host knows no address of {name}"))
                .next(next)
        })?;
        // In a certificate a name has no dot at its end (RFC 5280 §4.2.1.6).
        Ok(Self { name: Some(name.trim_end_matches('.').to_ascii_lowercase()), address })
    }

    /// The same place, at the address that the system gave.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// What a client's context says of it: by the name, if there is one. Every address is this host's, too.
    pub(crate) fn server(&self) -> String {
        let mut at = self.clone();
        if at.address.ip().is_unspecified() {
            at.address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("https://{at}")
    }

    /// The addresses by which clients may call it: all of this host's where it listens on every one, which is
    /// every one of IPv4 at 0.0.0.0.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.addresses_among(here)
    }

    /// As [`Self::addresses`], with what knows those of this host.
    fn addresses_among(&self, here: impl FnOnce() -> Vec<IpAddr>) -> Vec<IpAddr> {
        let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ip = self.address.ip();
        let more = if ip.is_unspecified() { here() } else { vec![ip] };
        for more in more {
            if (ip.is_ipv6() || more.is_ipv4()) && !all.contains(&more) {
                all.push(more);
            }
        }
        all
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}:{}", self.address.port()),
            None => write!(f, "{}", self.address),
        }
    }
}

/// The addresses of this host's interfaces that a certificate can name.
fn here() -> Vec<IpAddr> {
    let all = interfaces().unwrap_or_else(|error| {
        tracing::warn!(%error, "the addresses of this host are not known, nor in the certificate");
        Vec::new()
    });
    all.into_iter().filter(can_be_named).collect()
}

/// Not those of one link (fe80::/10): they need a zone, with which no certificate can name them.
fn can_be_named(ip: &IpAddr) -> bool {
    !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// All addresses of all interfaces (getifaddrs(3)).
fn interfaces() -> io::Result<Vec<IpAddr>> {
    let mut first = std::ptr::null_mut();
    // SAFETY: the pointer is one to write to; on success it leads to a list that is ours to free.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: null at the end, otherwise an entry of the list, which lives until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: null, or an address as long as its family asks for, in the same list.
        found.extend(unsafe { address(entry.ifa_addr) });
        next = entry.ifa_next;
    }
    // SAFETY: the list of above, freed once; nothing of it was kept.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// What an interface's address says, if it is one of IP.
///
/// # Safety
/// `address` is null, or leads to a socket address of the length that its family asks for.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: by the caller's promise; every family's address begins so.
    let family = unsafe { address.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: by the caller's promise it is as long as this family's.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::from(v6.sin6_addr.s6_addr))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Where the one name that is known is localhost.
    fn parse(text: &str) -> Result<Listening, NodeError> {
        Listening::parse_with(text, |name, port| {
            name.eq_ignore_ascii_case("localhost").then(|| (Ipv4Addr::LOCALHOST, port).into())
        })
    }

    #[test]
    fn places_are_read_and_named() {
        let check = |text: &str, want: &str, server: &str| {
            let place = parse(text).unwrap();
            assert_eq!((&*place.to_string(), &*place.server()), (want, server), "{text}");
            assert_eq!(parse(want).unwrap(), place, "{text}: kept as text");
        };
        check("127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:1");
        check("127.0.0.1", "127.0.0.1:7373", "https://127.0.0.1:7373");
        check(":8", "0.0.0.0:8", "https://127.0.0.1:8");
        check("0.0.0.0", "0.0.0.0:7373", "https://127.0.0.1:7373");
        check("[::1]:9", "[::1]:9", "https://[::1]:9");
        check("[::1]", "[::1]:7373", "https://[::1]:7373");
        check("::1", "[::1]:7373", "https://[::1]:7373");
        check("[::]:9", "[::]:9", "https://127.0.0.1:9");
        check("localhost:9", "localhost:9", "https://localhost:9");
        check("LocalHost", "localhost:7373", "https://localhost:7373");
        for bad in
            ["not a host:x", "", "a:b:9", "localhost:x", "localhost:99999", "a/b", "[::1", "1.2.3"]
        {
            let refused = parse(bad).unwrap_err();
            assert_eq!(refused.kind, Kind::BadInput, "{bad}");
            assert!(refused.message.contains("not an address"), "{refused}");
        }
        let unknown = parse("vault.invalid:9").unwrap_err();
        assert!(unknown.message.contains("vault.invalid"), "{unknown}");
    }

    #[test]
    fn the_system_knows_names_and_addresses() {
        // The one name, and the one address, that every host has (RFC 6761 §6.3).
        assert!(Listening::parse("localhost:9").unwrap().address.ip().is_loopback());
        assert!(interfaces().unwrap().contains(&ip("127.0.0.1")));
    }

    #[test]
    fn every_address_is_that_of_each_interface() {
        let here = || ["127.0.0.1", "192.0.2.2", "::1", "2001:db8::2"].map(ip).to_vec();
        let check = |listen: &str, want: &[&str]| {
            let found = parse(listen).unwrap().addresses_among(here);
            assert_eq!(found, want.iter().copied().map(ip).collect::<Vec<_>>(), "{listen}");
        };
        check("[::]:7373", &["127.0.0.1", "::1", "192.0.2.2", "2001:db8::2"]);
        check(":7373", &["127.0.0.1", "::1", "192.0.2.2"]);
        check("192.0.2.7:7373", &["127.0.0.1", "::1", "192.0.2.7"]);
        check("localhost:7373", &["127.0.0.1", "::1"]);
        assert!(can_be_named(&ip("192.0.2.2")) && can_be_named(&ip("fd00::2")));
        assert!(!can_be_named(&ip("fe80::1")) && !can_be_named(&ip("febf::1")));
    }
}
