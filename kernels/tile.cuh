// A tile of screened similarities and the way through it that the tile kernels share.
//
// Block 256, grid (ceil(columns / 256), ceil(rows / 64)): a thread owns a column and goes down up to 64 rows, so
// that neighbouring threads read neighbouring values, and a column's extreme or count stays in a register.
#pragma once

constexpr u32 BLOCK = 256;
/// Rows that a thread goes down.
constexpr u32 STRIP = 64;
/// Values that a thread reads before it looks at the first of them: as many loads are under way at a time.
constexpr u32 BATCH = 4;

/// Row-major similarities `values[rows][columns]` with the error bounds of rows and columns: NaN for a kernel that takes
/// no part. On a diagonal tile the rows' kernels are the columns', and only pairs with column > row count.
struct Tile {
    const float* values;
    u32 rows;
    u32 columns;
    const float* row_errors;
    const float* column_errors;
    u32 diagonal;
};

/// The parameters of a kernel by which a tile is handed to it.
#define TILE_PARAMETERS                                                                                                \
    const float *__restrict__ values, u32 rows, u32 columns, const float *__restrict__ row_errors,                     \
        const float *__restrict__ column_errors, u32 diagonal

/// The tile of a kernel with TILE_PARAMETERS.
#define TILE_OF_PARAMETERS \
    Tile { values, rows, columns, row_errors, column_errors, diagonal }

/// A place of a tile. Where there is no pair (outside, or not above the diagonal), the column's error is NaN, as of
/// kernels that take no part; where it is of kernels of different groups, the value is. Every bound is then NaN, and every
/// comparison with it fails.
struct Pair {
    u32 row;
    u32 column;
    float value;
    float row_error;
    float column_error;

    /// The least that the similarity can be.
    __device__ float at_least() const {
        return __fsub_rn(__fsub_rn(value, column_error), row_error);
    }

    /// The most that the similarity can be.
    __device__ float at_most() const {
        return __fadd_rn(__fadd_rn(value, column_error), row_error);
    }

    /// Whether it is a pair of kernels that are compared.
    __device__ bool counts() const {
        return !is_nan(at_least());
    }

    /// The screened similarity's error bound.
    __device__ float error() const {
        return __fadd_rn(column_error, row_error);
    }
};

/// The column of this thread, which may lie outside the tile.
__device__ inline u32 own_column() {
    return blockIdx.x * BLOCK + threadIdx.x;
}

/// The part of the rows first..end of a tile that is this block's.
struct Strip {
    u32 first;
    u32 end;

    __device__ Strip(const Tile& tile, u32 first_row, u32 end_row) {
        first = first_row + blockIdx.y * STRIP;
        end = end_row < first ? first : min(end_row - first, STRIP) + first;
        // Nothing of the block lies above the diagonal.
        if (tile.diagonal && blockIdx.x * BLOCK + (BLOCK - 1) <= first) {
            end = first;
        }
    }
};

/// Visits the pairs of this thread's column in the strip, in rising order of rows. The block's threads visit a row
/// together, those without a pair there, too, so that a warp may act as one in `visit`.
template <class Visit>
__device__ void each_row(const Tile& tile, const Strip& strip, Visit visit) {
    const u32 column = own_column();
    const bool is_inside = column < tile.columns;
    const float column_error = is_inside ? tile.column_errors[column] : no_part();
    for (u32 first = strip.first; first < strip.end; first += BATCH) {
        float values[BATCH];
        float column_errors[BATCH];
#pragma unroll
        for (u32 i = 0; i < BATCH; i++) {
            const u32 row = first + i;
            const bool is_pair = row < strip.end && is_inside && (!tile.diagonal || column > row);
            values[i] = is_pair ? tile.values[static_cast<u64>(row) * tile.columns + column] : 0.0f;
            column_errors[i] = is_pair ? column_error : no_part();
        }
#pragma unroll
        for (u32 i = 0; i < BATCH; i++) {
            const u32 row = first + i;
            if (row < strip.end) {
                visit(Pair{row, column, values[i], tile.row_errors[row], column_errors[i]});
            }
        }
    }
}
