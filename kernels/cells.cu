// The similarity map of a layer: sums and maxima over the pairs of each cell (src/similarity/processor/cells.rs does the same).

/// 1 in the fixed point in which similarities are summed, so that the order of the sum does not show.
constexpr float ONE = 1 << 30;

/// Some pairs of one cell.
struct CellSum {
    i64 sum;
    u32 pairs;
    i32 maximum;

    __device__ void add(const CellSum& other) {
        sum += other.sum;
        pairs += other.pairs;
        maximum = max(maximum, other.maximum);
    }

    static __device__ CellSum empty() {
        return CellSum{0, 0, static_cast<i32>(0x80000000u)};
    }
};

/// The sum over the lanes from this one to `end`, which is not among them and the same for all of them, right in the first
/// of them. All of the warp's threads must come here.
__device__ inline CellSum sum_to(CellSum own, u32 end) {
    for (u32 distance = 1; distance < WARP; distance *= 2) {
        CellSum other;
        other.sum = __shfl_down_sync(ALL_LANES, own.sum, distance);
        other.pairs = __shfl_down_sync(ALL_LANES, own.pairs, distance);
        other.maximum = __shfl_down_sync(ALL_LANES, own.maximum, distance);
        if (lane() + distance < end) {
            own.add(other);
        }
    }
    return own;
}

/// sums (two's complement), pairs and maxima of the cells, cell row_cells[row] * width + column_cells[column] for each
/// pair; similarities in fixed point with 30 bits after the point.
/// Block and grid of a tile.
extern "C" __global__ void __launch_bounds__(BLOCK)
    cells(TILE_PARAMETERS, const u32* row_cells, const u32* column_cells, u32 width, u64* sums, u32* pairs,
          i32* maxima) {
    const Tile tile = TILE_OF_PARAMETERS;
    const Strip strip(tile, 0, tile.rows);
    const u32 column_cell = own_column() < tile.columns ? column_cells[own_column()] : 0;
    // Lanes with neighbouring columns of one cell add up what they have; the first of them writes it.
    const u32 cell_before = __shfl_up_sync(ALL_LANES, column_cell, 1);
    const bool is_first = lane() == 0 || cell_before != column_cell;
    const u32 firsts_after = __ballot_sync(ALL_LANES, is_first) & ~(ALL_LANES >> (WARP - 1 - lane()));
    const u32 end = firsts_after == 0 ? WARP : __ffs(static_cast<i32>(firsts_after)) - 1;
    CellSum run = CellSum::empty();
    u32 row_cell = 0;
    const auto write = [&]() {
        const CellSum sum = sum_to(run, end);
        run = CellSum::empty();
        if (is_first && sum.pairs > 0) {
            const u64 cell = static_cast<u64>(row_cell) * width + column_cell;
            atomicAdd(sums + cell, static_cast<u64>(sum.sum));
            atomicAdd(pairs + cell, sum.pairs);
            atomicMax(maxima + cell, sum.maximum);
        }
    };
    each_row(tile, strip, [&](const Pair& pair) {
        const u32 cell = row_cells[pair.row];
        // The same for all of the block's threads, as they are in the same row.
        if (cell != row_cell) {
            write();
            row_cell = cell;
        }
        if (pair.counts()) {
            const float within = pair.value < -1.0f ? -1.0f : pair.value > 1.0f ? 1.0f : pair.value;
            const i32 fixed = __float2int_rz(__fmul_rn(within, ONE));
            run.add(CellSum{fixed, 1, fixed});
        }
    });
    write();
}
