//! Latencies in buckets at most 0.8 % wide, so that a long run costs constant memory.

use std::time::Duration;

/// Bits of a value that a bucket tells apart.
const BITS: u32 = 7;
/// Buckets for every value of 64 bits.
const BUCKETS: usize = ((64 - BITS as usize) << BITS) + (1 << BITS);

/// Counts of latencies, in nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    worst: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, worst: 0 }
    }
}

impl Histogram {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.count += 1;
        self.worst = self.worst.max(nanos);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst)
    }

    /// The latency that a part of `quantile` (0 to 1) does not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(bucket).min(self.worst));
            }
        }
        self.worst()
    }
}

/// Values below 2^8 have a bucket each; above, the leading eight bits choose it.
fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1) as u32;
    let leading = (bucket - ((shift as usize) << BITS)) as u64;
    (leading << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let values = (0..100_000).chain((17..63).map(|bits| (1_u64 << bits) + 12_345));
        for value in values.chain([u64::MAX]) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value >> BITS, "{value} {upper}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.add(Duration::from_micros(micros));
        }
        let p50 = histogram.quantile(0.5).as_micros();
        assert!((500..=504).contains(&p50), "{p50}");
        assert_eq!(histogram.quantile(1.0), Duration::from_millis(1));
        assert_eq!((histogram.count(), histogram.worst()), (1000, Duration::from_millis(1)));
    }
}
