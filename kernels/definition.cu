// The float64 definition of similarity (src/similarity/exact.rs), bit for bit.
//
// The product of the elements at place t goes to lane t mod 16, in rising order of t, each product and sum rounded once;
// the lanes are then added in halves. Sixteen threads are the lanes of one sum.

constexpr u32 LANES = 16;

/// Sums a thread's lane of the dot product of two rows; the whole sum, right in lane 0 only.
template <class Element>
__device__ double lane_sum(const u8* x, const u8* y, u64 d) {
    const u32 place = threadIdx.x % LANES;
    double sum = 0.0;
#pragma unroll 4
    for (u64 t = place; t < d; t += LANES) {
        sum = __dadd_rn(sum, __dmul_rn(Element::widen(x, t), Element::widen(y, t)));
    }
    return sum;
}

/// Adds the lanes in halves. The warp's two sums are added side by side, so all its threads must come here.
__device__ inline double in_halves(double sum) {
    for (u32 width = LANES / 2; width > 0; width /= 2) {
        sum = __dadd_rn(sum, __shfl_down_sync(ALL_LANES, sum, width, LANES));
    }
    return sum;
}

/// squares[row]: the dot product of each of `count` rows of `d` numbers with itself.
/// Block 256, grid ceil(count / 16): 16 threads a row.
extern "C" __global__ void __launch_bounds__(256)
    measure(const u8* rows, u32 type, u64 count, u64 d, double* squares) {
    const u64 row = static_cast<u64>(blockIdx.x) * (blockDim.x / LANES) + threadIdx.x / LANES;
    double sum = 0.0;
    if (row < count) {
        with_element(type, [&](auto element) {
            typedef decltype(element) Element;
            const u8* x = rows + row * d * Element::SIZE;
            sum = lane_sum<Element>(x, x, d);
        });
    }
    sum = in_halves(sum);
    if (row < count && threadIdx.x % LANES == 0) {
        squares[row] = sum;
    }
}

/// dots[k]: the dot product of row pairs[k].row of `rows_a` with row pairs[k].column of `rows_b`.
/// Block 256, grid ceil(count / 16): 16 threads a pair.
extern "C" __global__ void __launch_bounds__(256)
    dots(const u8* rows_a, const u8* rows_b, u32 type, u64 d, const OpenPair* pairs, u32 count, double* dots) {
    const u64 place = static_cast<u64>(blockIdx.x) * (blockDim.x / LANES) + threadIdx.x / LANES;
    double sum = 0.0;
    if (place < count) {
        const u64 row = pairs[place].row;
        const u64 column = pairs[place].column;
        with_element(type, [&](auto element) {
            typedef decltype(element) Element;
            sum = lane_sum<Element>(rows_a + row * d * Element::SIZE, rows_b + column * d * Element::SIZE, d);
        });
    }
    sum = in_halves(sum);
    if (place < count && threadIdx.x % LANES == 0) {
        dots[place] = sum;
    }
}
