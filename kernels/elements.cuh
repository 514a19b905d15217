// The numbers of a checkpoint, widened to float64. Exact for all four types, subnormals included.
#pragma once

struct F32 {
    static __device__ double widen(const u8* row, u64 place) {
        return static_cast<double>(reinterpret_cast<const float*>(row)[place]);
    }
    static constexpr u64 SIZE = 4;
};

struct F64 {
    static __device__ double widen(const u8* row, u64 place) {
        return reinterpret_cast<const double*>(row)[place];
    }
    static constexpr u64 SIZE = 8;
};

struct F16 {
    static __device__ double widen(const u8* row, u64 place) {
        const u32 bits = reinterpret_cast<const u16*>(row)[place];
        const u32 magnitude = bits & 0x7fffu;
        // As float32 the exponent is short by 112, also of subnormals, which the multiplication makes normal.
        float value = __fmul_rn(__uint_as_float(magnitude << 13), 0x1p112f);
        if (magnitude >= 0x7c00u) {
            value = __uint_as_float(0x7f800000u | magnitude << 13);
        }
        return static_cast<double>(bits & 0x8000u ? -value : value);
    }
    static constexpr u64 SIZE = 2;
};

struct BF16 {
    static __device__ double widen(const u8* row, u64 place) {
        const u32 bits = reinterpret_cast<const u16*>(row)[place];
        return static_cast<double>(__uint_as_float(bits << 16));
    }
    static constexpr u64 SIZE = 2;
};

/// Calls `visit` with the element type of this number, so that it is chosen once and not for every element.
template <class Visit>
__device__ void with_element(u32 type, Visit visit) {
    switch (type) {
    case 0:
        visit(F32{});
        break;
    case 1:
        visit(F64{});
        break;
    case 2:
        visit(F16{});
        break;
    case 3:
        visit(BF16{});
        break;
    }
}
