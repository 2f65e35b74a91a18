//! holdfast-ledger
