//! Archives from end to end: written from a small vault, read back, damaged in every bit, forged by
//! hostile hands, and recovered with nothing but stock tools.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod by_hand;
mod carry;
mod crash_place;
mod damage;
mod hostile;
mod hostile_tar;
mod round_trip;
mod scene;
mod unreadable;
