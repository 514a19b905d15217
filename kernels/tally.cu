// How the similarities of a tile are spread: how many lie between the thresholds, and what the extremes reach
// (src/similarity/processor/counts.rs does the same).

/// Intervals of a histogram; place INTERVALS of the counts is for pairs that are left open.
constexpr u32 INTERVALS = 256;

/// Histograms side by side: neighbouring lanes count in different ones, as similarities crowd in a few intervals.
constexpr u32 HISTOGRAMS = 8;

/// The least of the most that each row's losses can be, as keys: keys[0][rows] for the similar (loss -value), then the
/// orthogonal (|value|), then the opposite (value).
/// Block and grid of a tile.
extern "C" __global__ void __launch_bounds__(BLOCK) least_losses(TILE_PARAMETERS, u32* keys) {
    typedef Least<u32> Order;
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, 0, tile.rows);
    __shared__ u32 shared[3][STRIP];
    RowBest<Order> similar(shared[0]);
    RowBest<Order> orthogonal(shared[1]);
    RowBest<Order> opposite(shared[2]);
    __syncthreads();
    each_row(tile, strip, [&](const Pair& pair) {
        const u32 row = pair.row - strip.first;
        const auto at_most = [&](float loss) {
            const float bound = __fadd_rn(__fadd_rn(loss, pair.column_error), pair.row_error);
            return is_nan(bound) ? Order::WORST : key(bound);
        };
        similar.offer(row, at_most(-pair.value));
        orthogonal.offer(row, at_most(fabsf(pair.value)));
        opposite.offer(row, at_most(pair.value));
    });
    __syncthreads();
    const u64 height = tile.rows;
    similar.finish(strip, keys);
    orthogonal.finish(strip, keys + height);
    opposite.finish(strip, keys + 2 * height);
}

/// Counts the pairs of the rows first_row..end_row in the interval between two thresholds where they surely lie. Those
/// that may lie in another one too, or may have a loss within one of the three bounds, go to `out` instead (at_most and
/// undecided 0), and counts[256] += how many those are, also where there are more than `capacity`.
/// Block of a tile, grid (ceil(columns / 256), ceil((end_row - first_row) / 64)).
extern "C" __global__ void __launch_bounds__(BLOCK)
    intervals(TILE_PARAMETERS, u32 first_row, u32 end_row, float similar, float orthogonal, float opposite,
              OpenPair* out, u32 capacity, u64* counts) {
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, first_row, end_row);
    const OpenPairs open{out, capacity, counts + INTERVALS};
    __shared__ u32 histograms[INTERVALS][HISTOGRAMS];
    for (u32 i = 0; i < HISTOGRAMS; i++) {
        histograms[threadIdx.x][i] = 0;
    }
    __syncthreads();
    each_row(tile, strip, [&](const Pair& pair) {
        const float error = pair.error();
        const float middle = __fadd_rn(__fmul_rn(pair.value, 100.0f), 101.0f);
        const float reach = __fmul_rn(error, 100.0f);
        const i32 low = __float2int_rz(__fsub_rn(middle, reach));
        const i32 high = __float2int_rz(__fadd_rn(middle, reach));
        const bool is_pair = pair.counts();
        // Where it lies in none, which no similarity does, it is for the host to say so.
        const bool is_open = is_pair && (low != high || low < 0 || low >= static_cast<i32>(INTERVALS) ||
                                         __fsub_rn(-pair.value, error) <= similar ||
                                         __fsub_rn(fabsf(pair.value), error) <= orthogonal ||
                                         __fsub_rn(pair.value, error) <= opposite);
        open.append(is_open, OpenPair{pair.row, pair.column, 0.0f, 0});
        if (is_pair && !is_open) {
            atomicAdd(&histograms[low][lane() % HISTOGRAMS], 1u);
        }
    });
    __syncthreads();
    u64 count = 0;
    for (u32 i = 0; i < HISTOGRAMS; i++) {
        count += histograms[threadIdx.x][i];
    }
    if (count > 0) {
        atomicAdd(counts + threadIdx.x, count);
    }
}

static_assert(INTERVALS == BLOCK, "a thread for each interval");
