// Unit vectors in the number type in which similarities are screened, with what their rounding adds to the error bound.

/// Norms below it take no part: ε of src/similarity/exact.rs.
constexpr double EPSILON = 1e-8;

/// Rounds to the nearest number, to even on a tie, with `BITS` explicit bits of mantissa and the exponents of float32.
template <u32 BITS>
__device__ double rounded_to(double x) {
    constexpr u32 DROPPED = 52 - BITS;
    if (fabs(x) < 0x1p-126) {
        // Below the normal numbers all have the same distance, 2^(-126 - BITS): that to which adding 1.5 * 2^52 of it
        // rounds.
        constexpr double SHIFT = BITS == 10 ? 0x1.8p-84 : 0x1.8p-81;
        static_assert(BITS == 10 || BITS == 7, "2^(-126 - BITS + 52)");
        return copysign(__dsub_rn(__dadd_rn(fabs(x), SHIFT), SHIFT), x);
    }
    u64 bits = static_cast<u64>(__double_as_longlong(x));
    const u64 is_odd = bits >> DROPPED & 1;
    bits += (1ull << (DROPPED - 1)) - 1 + is_odd;
    bits &= ~((1ull << DROPPED) - 1);
    return __longlong_as_double(static_cast<i64>(bits));
}

/// How a number of a unit vector is stored.
struct Single {
    typedef float Stored;
    static constexpr bool IS_COARSE = false;
    static __device__ float stored(double x) {
        return __double2float_rn(x);
    }
    static __device__ double widened(float x) {
        return static_cast<double>(x);
    }
};

struct Tf32 {
    typedef float Stored;
    static constexpr bool IS_COARSE = true;
    static __device__ float stored(double x) {
        return __double2float_rn(rounded_to<10>(x));
    }
    static __device__ double widened(float x) {
        return static_cast<double>(x);
    }
};

struct Bf16 {
    typedef u16 Stored;
    static constexpr bool IS_COARSE = true;
    static __device__ u16 stored(double x) {
        return static_cast<u16>(__float_as_uint(__double2float_rn(rounded_to<7>(x))) >> 16);
    }
    static __device__ double widened(u16 x) {
        return static_cast<double>(__uint_as_float(static_cast<u32>(x) << 16));
    }
};

/// The sum over a block of 128 threads, in every thread.
__device__ inline double block_sum(double number) {
    __shared__ double sums[4];
    number = warp_sum(number);
    if (lane() == 0) {
        sums[threadIdx.x / WARP] = number;
    }
    __syncthreads();
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Writes the unit vector of one row, and its error bound.
template <class Element, class Type>
__device__ void write_unit(const u8* x, u64 d, u64 stride, double square, double share,
                           typename Type::Stored* unit, float* error) {
    const double norm = __dsqrt_rn(square);
    // False for a NaN, too.
    const bool takes_part = norm >= EPSILON && norm <= 0x1.fffffffffffffp1023;
    if (!takes_part) {
        for (u64 t = threadIdx.x; t < stride; t += blockDim.x) {
            unit[t] = 0;
        }
        if (threadIdx.x == 0) {
            *error = no_part();
        }
        return;
    }
    const double inverse = __ddiv_rn(1.0, norm);
    double squares = 0.0;
#pragma unroll 4
    for (u64 t = threadIdx.x; t < d; t += blockDim.x) {
        const double exact = __dmul_rn(Element::widen(x, t), inverse);
        const typename Type::Stored stored = Type::stored(exact);
        unit[t] = stored;
        if (Type::IS_COARSE) {
            const double difference = Type::widened(stored) - exact;
            squares += difference * difference;
        }
    }
    for (u64 t = d + threadIdx.x; t < stride; t += blockDim.x) {
        unit[t] = 0;
    }
    if (!Type::IS_COARSE) {
        if (threadIdx.x == 0) {
            *error = __double2float_rn(share);
        }
        return;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        // The factor covers what was rounded on the way to the norm itself.
        const double e = __dsqrt_rn(squares) * (1.0 + 0x1p-10);
        *error = __double2float_ru(e + e * e / 2.0 + share);
    }
}

/// The unit vectors of `count` rows of `d` numbers, each followed by zeros up to `stride`, in float32 (`precision` 0), in
/// float32 rounded to TF32's 10 bits of mantissa (1) or in bfloat16 (2); and errors[row], a row's part of the error
/// bound of a product: `share`, and the length of what rounding took where that is coarse. A row whose norm (the root
/// of its square) is not finite or below ε takes no part: zeros, and NaN for its error.
/// Block 128, grid count.
extern "C" __global__ void __launch_bounds__(128)
    write_units(const u8* rows, u32 type, u64 count, u64 d, u64 stride, const double* squares, u32 precision,
                double share, void* units, float* errors) {
    const u64 row = blockIdx.x;
    if (row >= count) {
        return;
    }
    with_element(type, [&](auto element) {
        typedef decltype(element) Element;
        const u8* x = rows + row * d * Element::SIZE;
        const double square = squares[row];
        if (precision == 0) {
            write_unit<Element, Single>(x, d, stride, square, share, static_cast<float*>(units) + row * stride,
                                        errors + row);
        } else if (precision == 1) {
            write_unit<Element, Tf32>(x, d, stride, square, share, static_cast<float*>(units) + row * stride,
                                      errors + row);
        } else {
            write_unit<Element, Bf16>(x, d, stride, square, share, static_cast<u16*>(units) + row * stride,
                                      errors + row);
        }
    });
}
