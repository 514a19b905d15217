// What the threads of a warp do together. All 32 must come here.
#pragma once

constexpr u32 WARP = 32;
constexpr u32 ALL_LANES = 0xffffffffu;

__device__ inline u32 lane() {
    return threadIdx.x % WARP;
}

/// The sum over a warp, in every lane.
template <class Number>
__device__ Number warp_sum(Number number) {
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
        number += __shfl_xor_sync(ALL_LANES, number, distance);
    }
    return number;
}
