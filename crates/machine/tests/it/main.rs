//! The machine from outside: properties, rules and golden bytes.

mod build;
mod golden;
mod properties;
mod rules;
