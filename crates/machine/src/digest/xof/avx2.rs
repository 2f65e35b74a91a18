//! Eight blocks of output at a time, for inputs of one chunk. The names are those of the BLAKE3 paper, §2.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set_epi8,
    _mm256_set_epi32, _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use blake3::hazmat::hash_derive_key_context;

use super::OUT_BYTES;

/// The longest input that is not a tree of chunks.
pub(super) const INPUT_BYTES_MAX: usize = blake3::CHUNK_LEN;
/// Bytes of a block.
const BLOCK_BYTES: usize = 64;
/// Blocks that are made at a time.
const LANES: usize = 8;

const _: () = assert!(OUT_BYTES.is_multiple_of(LANES * BLOCK_BYTES));

/// The words of a chaining value, and of a block.
type Chaining = [u32; 8];
type Block = [u32; 16];

const IV: Chaining = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

// Flags of a compression (§2.2).
const CHUNK_START: u32 = 1 << 0;
const CHUNK_END: u32 = 1 << 1;
const ROOT: u32 = 1 << 3;
const DERIVE_KEY_MATERIAL: u32 = 1 << 6;

/// Which word of the block each mixing step of a round takes: the permutation of §2.2, applied again for each round.
const SCHEDULE: [[usize; 16]; 7] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
    [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
    [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
    [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
    [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
    [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
];

/// The seven rounds over a state of sixteen words or vectors of words, each mixing step by `$mix`.
macro_rules! rounds {
    ($mix:ident, $state:expr, $block:expr) => {
        rounds!(@ $mix, $state, $block, 0 1 2 3 4 5 6)
    };
    (@ $mix:ident, $state:expr, $block:expr, $($round:literal)*) => {$({
        const S: [usize; 16] = SCHEDULE[$round];
        $mix($state, [0, 4, 8, 12], $block[S[0]], $block[S[1]]);
        $mix($state, [1, 5, 9, 13], $block[S[2]], $block[S[3]]);
        $mix($state, [2, 6, 10, 14], $block[S[4]], $block[S[5]]);
        $mix($state, [3, 7, 11, 15], $block[S[6]], $block[S[7]]);
        $mix($state, [0, 5, 10, 15], $block[S[8]], $block[S[9]]);
        $mix($state, [1, 6, 11, 12], $block[S[10]], $block[S[11]]);
        $mix($state, [2, 7, 8, 13], $block[S[12]], $block[S[13]]);
        $mix($state, [3, 4, 9, 14], $block[S[14]], $block[S[15]]);
    })*};
}

/// Derives outputs under one context, on a processor that can.
pub(super) struct Xof {
    key: Chaining,
}

impl Xof {
    /// `None` where there is no AVX2, or AVX-512, with which the crate does the same.
    pub(super) fn new(context: &str) -> Option<Self> {
        let wider = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        if wider || !is_x86_feature_detected!("avx2") {
            return None;
        }
        let mut key = [0; 8];
        words(&hash_derive_key_context(context), &mut key);
        Some(Self { key })
    }

    /// The output for an input of at most [`INPUT_BYTES_MAX`] bytes.
    pub(super) fn fill(&self, input: &[u8], out: &mut [u8; OUT_BYTES]) {
        assert!(input.len() <= INPUT_BYTES_MAX, "{} bytes are more than a chunk", input.len());
        let last = Last::of(self.key, input);
        // SAFETY: `new` saw that this processor has AVX2, and the function asks for nothing else.
        unsafe { output(&last, out) }
    }
}

/// The last block of a chunk that is all there is, which is compressed for the output, and what came before it.
struct Last {
    chaining: Chaining,
    block: Block,
    block_bytes: u32,
    flags: u32,
}

impl Last {
    /// Of an input of one chunk at most: compresses all blocks before the last.
    fn of(key: Chaining, input: &[u8]) -> Self {
        let mut chaining = key;
        let mut flags = DERIVE_KEY_MATERIAL | CHUNK_START;
        let mut rest = input;
        while rest.len() > BLOCK_BYTES {
            let (block, behind) = rest.split_at(BLOCK_BYTES);
            compress(&mut chaining, &block_of(block), flags);
            flags = DERIVE_KEY_MATERIAL;
            rest = behind;
        }
        let block_bytes = u32::try_from(rest.len()).expect("at most a block is left");
        Self { chaining, block: block_of(rest), block_bytes, flags: flags | CHUNK_END | ROOT }
    }
}

/// A block of at most [`BLOCK_BYTES`], filled up with zeros.
fn block_of(bytes: &[u8]) -> Block {
    let mut padded = [0; BLOCK_BYTES];
    padded[..bytes.len()].copy_from_slice(bytes);
    let mut block = [0; 16];
    words(&padded, &mut block);
    block
}

fn words(bytes: &[u8], words: &mut [u32]) {
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
}

/// Compresses a whole block that is not the last one of the first chunk.
fn compress(chaining: &mut Chaining, block: &Block, flags: u32) {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = *chaining;
    let counter = 0;
    let mut v = [
        c0, c1, c2, c3, c4, c5, c6, c7, //
        IV[0], IV[1], IV[2], IV[3], counter, counter, 64, flags,
    ];
    rounds!(mix, &mut v, block);
    *chaining = std::array::from_fn(|i| v[i] ^ v[i + 8]);
}

#[inline(always)]
fn mix(v: &mut [u32; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(12);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(8);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(7);
}

/// Eight words, one of each block.
type Words = __m256i;

/// The output of the last block.
#[target_feature(enable = "avx2")]
fn output(last: &Last, out: &mut [u8; OUT_BYTES]) {
    let Last { chaining, block, block_bytes, flags } = last;
    for (n, out) in (0..).step_by(LANES).zip(out.as_chunks_mut::<{ LANES * BLOCK_BYTES }>().0) {
        let counter = _mm256_set_epi32(n + 7, n + 6, n + 5, n + 4, n + 3, n + 2, n + 1, n);
        let mut v = [all(0); 16];
        for i in 0..8 {
            v[i] = all(chaining[i]);
        }
        for i in 0..4 {
            v[8 + i] = all(IV[i]);
        }
        (v[12], v[14], v[15]) = (counter, all(*block_bytes), all(*flags));
        rounds!(mix_all, &mut v, block);
        let (mut low, mut high) = ([all(0); 8], [all(0); 8]);
        for i in 0..8 {
            low[i] = _mm256_xor_si256(v[i], v[8 + i]);
            high[i] = _mm256_xor_si256(v[8 + i], all(chaining[i]));
        }
        let blocks = out.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut();
        for ((out, low), high) in blocks.zip(transposed(low)).zip(transposed(high)) {
            let [first, second] = out.as_chunks_mut::<32>().0 else {
                unreachable!("a block is two halves")
            };
            store(first, low);
            store(second, high);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn all(word: u32) -> Words {
    _mm256_set1_epi32(word.cast_signed())
}

/// Words are little-endian here, as on every x86.
#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [u8; 32], words: Words) {
    // SAFETY: 32 bytes that are ours, and this instruction needs no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), words) }
}

/// As [`mix`], of eight states.
#[inline]
#[target_feature(enable = "avx2")]
fn mix_all(v: &mut [Words; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    // Turning words by whole bytes is one shuffle of them.
    let by_16 = _mm256_set_epi8(
        13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, //
        13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2,
    );
    let by_8 = _mm256_set_epi8(
        12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, //
        12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1,
    );
    v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], all(x)), v[b]);
    v[d] = _mm256_shuffle_epi8(_mm256_xor_si256(v[d], v[a]), by_16);
    v[c] = _mm256_add_epi32(v[c], v[d]);
    v[b] = rotate_right::<12, 20>(_mm256_xor_si256(v[b], v[c]));
    v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], all(y)), v[b]);
    v[d] = _mm256_shuffle_epi8(_mm256_xor_si256(v[d], v[a]), by_8);
    v[c] = _mm256_add_epi32(v[c], v[d]);
    v[b] = rotate_right::<7, 25>(_mm256_xor_si256(v[b], v[c]));
}

/// By `RIGHT` bits, which are `LEFT` to the left.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_right<const RIGHT: i32, const LEFT: i32>(words: Words) -> Words {
    const { assert!(RIGHT + LEFT == 32) }
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(words), _mm256_slli_epi32::<LEFT>(words))
}

/// From word *i* of all blocks in vector *i* to all words of block *i* there.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(v: [Words; 8]) -> [Words; 8] {
    // Pairs of words, of the lower and of the upper blocks of each half; then fours; then the halves.
    let pairs =
        |i: usize| (_mm256_unpacklo_epi32(v[i], v[i + 1]), _mm256_unpackhi_epi32(v[i], v[i + 1]));
    let fours = |i: usize| {
        let ((low, high), (next_low, next_high)) = (pairs(i), pairs(i + 2));
        [
            _mm256_unpacklo_epi64(low, next_low),
            _mm256_unpackhi_epi64(low, next_low),
            _mm256_unpacklo_epi64(high, next_high),
            _mm256_unpackhi_epi64(high, next_high),
        ]
    };
    let (first, second) = (fours(0), fours(4));
    let mut out = [v[0]; 8];
    for i in 0..4 {
        out[i] = _mm256_permute2x128_si256::<0x20>(first[i], second[i]);
        out[i + 4] = _mm256_permute2x128_si256::<0x31>(first[i], second[i]);
    }
    out
}
