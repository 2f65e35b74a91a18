//! holdfast-records
