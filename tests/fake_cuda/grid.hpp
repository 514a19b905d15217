// What the kernels take from CUDA, on the processor.
//
// The threads of a block are fibers, which run in turn and change over only where they wait for each other; blocks run one
// after another, not in their order. So there is one thread at a time, and plain statics do for shared memory and indices.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __restrict__

namespace fake {

struct Index {
    unsigned x, y, z;
};

extern Index thread_index, block_index, block_size;

/// Runs a kernel: `thread` for every thread of every block.
void run_grid(const unsigned (&grid)[3], const unsigned (&block)[3], const char* name,
              const std::function<void()>& thread);

/// Waits for all threads of the block.
void block_barrier();

/// The numbers that the 32 lanes of the warp come here with.
const uint64_t* exchange(unsigned mask, uint64_t number);

unsigned lane_index();

template <class To, class From>
To bits(From from) {
    To to{};
    std::memcpy(&to, &from, sizeof(From) < sizeof(To) ? sizeof(From) : sizeof(To));
    return to;
}

/// The value of another lane, or the own one where there is none.
template <class T>
T value_of(unsigned mask, T value, unsigned lane, bool is_there) {
    const uint64_t* values = exchange(mask, bits<uint64_t>(value));
    return is_there ? bits<T>(values[lane]) : value;
}

}  // namespace fake

#define threadIdx (::fake::thread_index)
#define blockIdx (::fake::block_index)
#define blockDim (::fake::block_size)

inline void __syncthreads() {
    fake::block_barrier();
}

template <class T>
T __shfl_sync(unsigned mask, T value, unsigned lane) {
    return fake::value_of(mask, value, lane % 32, true);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned bits) {
    return fake::value_of(mask, value, (fake::lane_index() ^ bits) % 32, true);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, unsigned width = 32) {
    const unsigned lane = fake::lane_index();
    return fake::value_of(mask, value, lane + distance, lane % width + distance < width);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, unsigned width = 32) {
    const unsigned lane = fake::lane_index();
    return fake::value_of(mask, value, lane - distance, lane % width >= distance);
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
    const uint64_t* votes = fake::exchange(mask, vote);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        ballot |= static_cast<unsigned>(votes[lane]) << lane;
    }
    return ballot;
}

inline bool __any_sync(unsigned mask, bool vote) {
    return __ballot_sync(mask, vote) != 0;
}

inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}

inline int __ffs(int bits) {
    return __builtin_ffs(bits);
}

template <class T>
T min(T x, T y) {
    return y < x ? y : x;
}

template <class T>
T max(T x, T y) {
    return x < y ? y : x;
}

template <class T>
T atomicAdd(T* place, T number) {
    const T before = *place;
    *place = before + number;
    return before;
}

template <class T>
T atomicMax(T* place, T number) {
    const T before = *place;
    *place = max(before, number);
    return before;
}

template <class T>
T atomicMin(T* place, T number) {
    const T before = *place;
    *place = min(before, number);
    return before;
}

// Compiled with -ffp-contract=off, so every operation is rounded, to the nearest.
inline float __fadd_rn(float x, float y) {
    return x + y;
}
inline float __fsub_rn(float x, float y) {
    return x - y;
}
inline float __fmul_rn(float x, float y) {
    return x * y;
}
inline double __dadd_rn(double x, double y) {
    return x + y;
}
inline double __dsub_rn(double x, double y) {
    return x - y;
}
inline double __dmul_rn(double x, double y) {
    return x * y;
}
inline double __ddiv_rn(double x, double y) {
    return x / y;
}
inline double __dsqrt_rn(double x) {
    return std::sqrt(x);
}
inline float __double2float_rn(double x) {
    return static_cast<float>(x);
}
inline float __double2float_ru(double x) {
    const float nearest = static_cast<float>(x);
    return nearest < x ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}
inline int __float2int_rz(float x) {
    if (x != x) {
        return 0;
    }
    if (x >= 0x1p31f) {
        return std::numeric_limits<int>::max();
    }
    return x <= -0x1p31f ? std::numeric_limits<int>::min() : static_cast<int>(x);
}
inline float __uint_as_float(unsigned bits) {
    return fake::bits<float>(bits);
}
inline unsigned __float_as_uint(float x) {
    return fake::bits<unsigned>(x);
}
inline double __longlong_as_double(long long bits) {
    return fake::bits<double>(bits);
}
inline long long __double_as_longlong(double x) {
    return fake::bits<long long>(x);
}
