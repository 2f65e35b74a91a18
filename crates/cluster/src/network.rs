//! No peers yet: every call to one says that it cannot be reached.

use std::future::Future;
use std::marker::PhantomData;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use crate::types::{RaftVote, TypeConfig};

/// A network without peers, for snapshots of type `V`.
pub(crate) struct NoPeers<V>(PhantomData<fn() -> V>);

impl<V> NoPeers<V> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

fn unreachable() -> Unreachable<TypeConfig> {
    Unreachable::from_string("this version has no peers")
}

impl<V: Send + 'static> RaftNetworkFactory<TypeConfig> for NoPeers<V> {
    type Network = Self;

    async fn new_client(&mut self, _target: u64, _node: &BasicNode) -> Self {
        Self::new()
    }
}

impl<V: Send + 'static> RaftNetworkV2<TypeConfig> for NoPeers<V> {
    type SnapshotData = V;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    // The default grants every pre-vote; a peer that cannot be asked grants nothing.
    async fn pre_vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: RaftVote,
        _snapshot: openraft::alias::SnapshotOf<TypeConfig, V>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(unreachable().into())
    }
}
