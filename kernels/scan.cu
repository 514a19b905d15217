// What a plan needs of a tile: row and column maxima, the pairs around and above the threshold, and the random choice
// among those above (src/similarity/processor/pairs.rs does the same).

/// The greatest that each row's and each column's similarities surely reach, as keys.
/// Block and grid of a tile.
extern "C" __global__ void __launch_bounds__(BLOCK)
    reached(TILE_PARAMETERS, u32* row_keys, u32* column_keys) {
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, 0, tile.rows);
    __shared__ u32 shared[STRIP];
    RowBest<Greatest> row_best(shared);
    __syncthreads();
    u32 column_best = Greatest::WORST;
    each_row(tile, strip, [&](const Pair& pair) {
        const u32 at_least = key(pair.at_least());
        column_best = max(column_best, at_least);
        row_best.offer(pair.row - strip.first, at_least);
    });
    __syncthreads();
    row_best.finish(strip, row_keys);
    if (column_best != Greatest::WORST) {
        better<Greatest>(column_keys + own_column(), column_best);
    }
}

/// Of the rows first_row..end_row: counts[0] += the pairs that are surely above `tau`, and to `out` all that may lie on
/// either side of it, or may reach the bound of their row, of their column or of all pairs; counts[1] += how many those
/// are, also where there are more than `capacity`.
/// Block of a tile, grid (ceil(columns / 256), ceil((end_row - first_row) / 64)).
extern "C" __global__ void __launch_bounds__(BLOCK)
    open_pairs(TILE_PARAMETERS, u32 first_row, u32 end_row, const float* row_bounds, const float* column_bounds,
               float pair_bound, float tau, OpenPair* out, u32 capacity, u64* counts) {
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, first_row, end_row);
    const OpenPairs open{out, capacity, counts + 1};
    const float column_bound = own_column() < tile.columns ? column_bounds[own_column()] : no_part();
    u32 above = 0;
    each_row(tile, strip, [&](const Pair& pair) {
        const float at_most = pair.at_most();
        const bool is_above = pair.at_least() > tau;
        const bool is_undecided = at_most >= tau && !is_above;
        const bool is_rival = at_most >= row_bounds[pair.row] || at_most >= column_bound || at_most >= pair_bound;
        above += is_above;
        open.append(is_undecided || is_rival, OpenPair{pair.row, pair.column, at_most, is_undecided});
    });
    above = warp_sum(above);
    if (lane() == 0 && above > 0) {
        atomicAdd(counts, static_cast<u64>(above));
    }
}

/// A candidate's rank in the order of a draw: SplitMix64 as in src/splitmix.rs.
__device__ inline u64 rank(u64 state, u64 candidate) {
    u64 z = state + (candidate + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/// The least rank, for each row and each column, of the kernels with which it makes a pair that is surely above `tau`.
/// A row's candidates are the columns' kernels, numbered from first_column_kernel, and the reverse.
/// Block and grid of a tile.
extern "C" __global__ void __launch_bounds__(BLOCK)
    best_ranked(TILE_PARAMETERS, float tau, const u64* row_states, const u64* column_states, u64 first_row_kernel,
                u64 first_column_kernel, u64* row_best, u64* column_best) {
    typedef Least<u64> Order;
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, 0, tile.rows);
    __shared__ u64 shared[STRIP];
    RowBest<Order> best(shared);
    __syncthreads();
    const u64 column_state = own_column() < tile.columns ? column_states[own_column()] : 0;
    u64 best_of_column = Order::WORST;
    each_row(tile, strip, [&](const Pair& pair) {
        u64 rank_of_column = Order::WORST;
        if (pair.at_least() > tau) {
            rank_of_column = rank(row_states[pair.row], first_column_kernel + pair.column);
            best_of_column = min(best_of_column, rank(column_state, first_row_kernel + pair.row));
        }
        best.offer(pair.row - strip.first, rank_of_column);
    });
    __syncthreads();
    best.finish(strip, row_best);
    if (best_of_column != Order::WORST) {
        better<Order>(column_best + own_column(), best_of_column);
    }
}
