// The names of the types that cross the border between host and device.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;

/// A pair of kernels that the screen leaves open, by its places in the tile.
struct OpenPair {
    u32 row;
    u32 column;
    /// The most that its similarity can be.
    float at_most;
    /// 1 if the similarity may lie on either side of the threshold.
    u32 undecided;
};

static_assert(sizeof(OpenPair) == 16, "as the host reads it");

/// What stands for the error bound of a kernel that takes no part, so that every comparison with it fails.
__device__ inline float no_part() {
    return __uint_as_float(0x7fc00000u);
}

__device__ inline bool is_nan(float x) {
    return x != x;
}
