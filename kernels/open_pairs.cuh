// Lists of the pairs that the screen leaves open.
#pragma once

/// Where open pairs go, in any order: the first `capacity` of them to `pairs`, while `count` counts them all.
struct OpenPairs {
    OpenPair* pairs;
    u32 capacity;
    u64* count;

    /// Appends the pairs of a warp's threads for which `is_open`, with one atomic operation. All of the warp's threads
    /// must come here.
    __device__ void append(bool is_open, const OpenPair& pair) const {
        const u32 open = __ballot_sync(ALL_LANES, is_open);
        if (open == 0) {
            return;
        }
        u64 first = 0;
        if (lane() == 0) {
            first = atomicAdd(count, static_cast<u64>(__popc(open)));
        }
        first = __shfl_sync(ALL_LANES, first, 0);
        const u64 place = first + __popc(open & ((1u << lane()) - 1));
        if (is_open && place < capacity) {
            pairs[place] = pair;
        }
    }
};
