// The best of each row of a strip: the greatest or least of some value over its columns.
//
// A warp looks first whether any of its threads betters what its block has found so far, which is rare after the first
// few, and only then finds its best one for a single atomic operation.
#pragma once

/// A float as a number whose order is that of the floats; 0 for NaN, which is less than all.
__device__ inline u32 key(float x) {
    const u32 bits = __float_as_uint(x);
    if (is_nan(x)) {
        return 0;
    }
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// The greatest number is best.
struct Greatest {
    typedef u32 Number;
    static constexpr u32 WORST = 0;
    static __device__ bool beats(u32 x, u32 y) {
        return x > y;
    }
    static __device__ void improve(u32* place, u32 number) {
        atomicMax(place, number);
    }
};

/// The least number is best.
template <class Unsigned>
struct Least {
    typedef Unsigned Number;
    static constexpr Unsigned WORST = ~static_cast<Unsigned>(0);
    static __device__ bool beats(Unsigned x, Unsigned y) {
        return x < y;
    }
    static __device__ void improve(Unsigned* place, Unsigned number) {
        atomicMin(place, number);
    }
};

/// Betters a number that other threads better, too. The plain read spares most atomic operations: as the number only
/// ever gets better, one that does not beat an old value of it does not beat the present one.
template <class Order>
__device__ void better(typename Order::Number* place, typename Order::Number number) {
    const volatile typename Order::Number* now = place;
    if (Order::beats(number, *now)) {
        Order::improve(place, number);
    }
}

/// The best number of each row of a strip, in shared memory.
template <class Order>
struct RowBest {
    typedef typename Order::Number Number;

    /// As many as a strip has rows.
    Number* numbers;

    /// `shared` are STRIP numbers of shared memory. A barrier must follow.
    __device__ explicit RowBest(Number* shared) : numbers(shared) {
        if (threadIdx.x < STRIP) {
            numbers[threadIdx.x] = Order::WORST;
        }
    }

    /// Offers a number for a row of the strip. All threads of a warp must come here, those without one with WORST.
    __device__ void offer(u32 row_of_strip, Number number) {
        const volatile Number* now = numbers + row_of_strip;
        if (!__any_sync(ALL_LANES, Order::beats(number, *now))) {
            return;
        }
#pragma unroll 1
        for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
            const Number other = __shfl_xor_sync(ALL_LANES, number, distance);
            number = Order::beats(other, number) ? other : number;
        }
        if (lane() == 0) {
            better<Order>(numbers + row_of_strip, number);
        }
    }

    /// Betters the rows' numbers in global memory, from the strip's first row on. A barrier must have gone before.
    __device__ void finish(const Strip& strip, Number* rows) const {
        const u32 row = strip.first + threadIdx.x;
        if (row < strip.end) {
            better<Order>(rows + row, numbers[threadIdx.x]);
        }
    }
};
