//! What both file systems promise, and what the crash images of the one in memory are.

mod crash;
mod seam;
mod set;
