//! The accept loop: TLS, who calls, HTTP/1.1 and 2; at a stop, requests under way are finished.
//!
//! Anybody may connect, so everything that a connection costs is bounded (`limits`). Whoever comes passes three
//! crowds: of handshakes, then of strangers or of callers whom the vault knows. Each has places of its own, and
//! whoever comes to a full one takes another one's place (`crowd`): no number of strangers keeps a caller out
//! that the vault knows. An identity that was removed loses its connections.

mod activity;
mod crowd;
mod http;
mod limits;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use holdfast_api::Api;
use holdfast_service::{Caller, Service};
use holdfast_types::IdentityId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use activity::Activity;
pub(crate) use activity::Calls;
use crowd::{Crowd, Place};
use http::{Connection, Http};
pub(crate) use limits::DRAIN;
use limits::{BREATH, Bounds, HANDSHAKE, Places, STRANGER};

/// Serves until `stop` turns true, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
    calls: Calls,
) {
    let doors = Arc::new(Doors::new(tls, service, calls));
    let judging = tokio::spawn(Arc::clone(&doors).judge_again());
    // Every connection holds a sender; the channel ends when the last one is done.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = doors.accept(&listener) => accepted,
            () = asked(&mut stop) => break,
        };
        let arrival = match accepted {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(BREATH).await;
                continue;
            }
        };
        let (doors, stop, open) = (Arc::clone(&doors), stop.clone(), open.clone());
        tokio::spawn(async move {
            doors.welcome(arrival, stop).await;
            drop(open);
        });
    }
    drop(listener);
    drop(open);
    if timeout(DRAIN, all_closed.recv()).await.is_err() {
        tracing::warn!("requests still run after 10 s and are broken off");
    }
    judging.abort();
}

/// Returns once a stop was asked for, or nobody can ask any more.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The guard of the value must not live across an await of the caller's.
    _ = stop.wait_for(|stop| *stop).await.is_ok();
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

/// What connections share.
struct Doors {
    acceptor: TlsAcceptor,
    api: Api,
    service: Arc<Service>,
    calls: Calls,
    handshakes: Arc<Crowd<IpAddr>>,
    strangers: Arc<Crowd<IpAddr>>,
    known: Arc<Crowd<IdentityId>>,
    for_strangers: Http,
    for_known: Http,
}

/// A connection that was accepted, with a place among the handshakes.
struct Arrival {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place<IpAddr>,
    activity: Arc<Activity>,
}

/// A connection of which it is known who calls, with its place.
struct Guest {
    tls: Tls,
    caller: Arc<Caller>,
    seat: Seat,
}

enum Seat {
    Known(Place<IdentityId>),
    Stranger(Place<IpAddr>),
}

impl Doors {
    fn new(tls: rustls::ServerConfig, service: Arc<Service>, calls: Calls) -> Self {
        let places = Places::here();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            api: Api::new(Arc::clone(&service)),
            service,
            calls,
            handshakes: Crowd::new(places.handshakes, places.handshakes),
            strangers: Crowd::new(places.strangers, places.strangers),
            known: Crowd::new(places.known, places.identity),
            for_strangers: Http::new(Bounds::STRANGER),
            for_known: Http::new(Bounds::KNOWN),
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> std::io::Result<Arrival> {
        let (tcp, peer) = listener.accept().await?;
        let activity = Activity::begin(&self.calls);
        let place = self.handshakes.enter(network(peer.ip()), Arc::clone(&activity)).await;
        Ok(Arrival { tcp, peer, place, activity })
    }

    /// From the handshake to the end of a connection.
    async fn welcome(&self, arrival: Arrival, mut stop: watch::Receiver<bool>) {
        let Arrival { tcp, peer, place, activity } = arrival;
        _ = tcp.set_nodelay(true);
        let guest = tokio::select! {
            guest = timeout(HANDSHAKE, self.seat(tcp, peer, &activity)) => guest.ok().flatten(),
            () = place.asked_to_leave() => None,
            () = asked(&mut stop) => None,
        };
        drop(place);
        let Some(Guest { tls, caller, seat }) = guest else { return };
        let (session, service) = (self.api.session(Arc::clone(&caller)), Arc::clone(&self.service));
        let connection = Connection { tls, caller, activity, session, service };
        match seat {
            Seat::Known(place) => {
                let leave = async {
                    tokio::select! {
                        biased;
                        () = place.asked_to_leave() => {}
                        () = asked(&mut stop) => {}
                    }
                };
                self.for_known.serve(connection, leave).await;
            }
            Seat::Stranger(place) => {
                let leave = async {
                    tokio::select! {
                        () = sleep(STRANGER) => {}
                        () = asked(&mut stop) => {}
                    }
                };
                tokio::select! {
                    () = self.for_strangers.serve(connection, leave) => {}
                    // Whoever comes must not wait for its last request.
                    () = place.asked_to_leave() => {}
                }
            }
        }
    }

    /// Shakes hands, and finds out who calls and the place that they have.
    async fn seat(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        activity: &Arc<Activity>,
    ) -> Option<Guest> {
        let tls = match self.acceptor.accept(tcp).await {
            Ok(tls) => tls,
            Err(error) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                return None;
            }
        };
        let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = certificate.and_then(crate::tls::identity);
        let seat = match self.known_place(identity, activity).await {
            Some(place) => Seat::Known(place),
            None => {
                let network = network(peer.ip());
                Seat::Stranger(self.strangers.enter(network, Arc::clone(activity)).await)
            }
        };
        let local = peer.ip().to_canonical().is_loopback();
        let known = matches!(seat, Seat::Known(_));
        let caller = Arc::new(Caller { identity, local, known, remote: peer.to_string() });
        Some(Guest { tls, caller, seat })
    }

    async fn known_place(
        &self,
        identity: Option<IdentityId>,
        activity: &Arc<Activity>,
    ) -> Option<Place<IdentityId>> {
        let identity = identity?;
        if !self.service.knows(&identity).await {
            return None;
        }
        let place = self.known.enter(identity, Arc::clone(activity)).await;
        // It may have been removed meanwhile; from now on `judge_again` sees to that.
        self.service.knows(&identity).await.then_some(place)
    }

    /// Ends the connections of identities that were removed.
    async fn judge_again(self: Arc<Self>) {
        let mut changes = self.service.identities_changed();
        while changes.changed().await.is_ok() {
            for identity in self.known.names() {
                if !self.service.knows(&identity).await {
                    self.known.let_go(&identity);
                }
            }
        }
    }
}

/// Whom connections from there are counted for: an address, of IPv6 the network that one host has for itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_be_many() {
        let check = |address: &str, want: &str| {
            assert_eq!(network(address.parse().unwrap()), want.parse::<IpAddr>().unwrap());
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}
