//! holdfast-machine
