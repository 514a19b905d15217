// The few functions of cuBLAS that the program calls, and those with which one looks at it.

#include "fake.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace fake;

namespace {

// Numbers of cublasStatus_t.
constexpr int INVALID = 7;
constexpr int ARCH_MISMATCH = 8;
constexpr int EXECUTION_FAILED = 13;
constexpr int NOT_SUPPORTED = 15;

// Numbers of cudaDataType_t and of cublasComputeType_t.
constexpr int FLOAT32 = 0;
constexpr int BFLOAT16 = 14;
constexpr int COMPUTE_FLOAT32 = 68;
constexpr int COMPUTE_FLOAT32_PEDANTIC = 69;
constexpr int COMPUTE_FAST_TF32 = 77;

/// Of cublasMath_t.
constexpr int TF32_MATH = 3;

struct Handle {
    void* stream = nullptr;
    int math = 0;
    int device_number = current_device();
    /// How many products were asked for.
    long products = 0;
};

#define BEGIN(details)                                                                          \
    const std::lock_guard<std::recursive_mutex> lock(device());                                 \
    if (const int error = fake::enter(__func__, details, EXECUTION_FAILED, current_device())) { \
        return error;                                                                           \
    }

typedef float Lanes __attribute__((vector_size(32), aligned(4)));
constexpr int LANES = 8;

/// Bytes of vectors that are multiplied before the next are: about half of a core's L2 cache.
constexpr size_t CACHED = 256 << 10;

/// How a number is read.
enum class Reading { Float32, Tf32, Bfloat16 };

float number(const void* matrix, size_t place, Reading reading) {
    uint32_t bits;
    if (reading == Reading::Bfloat16) {
        bits = uint32_t{static_cast<const uint16_t*>(matrix)[place]} << 16;
    } else {
        std::memcpy(&bits, static_cast<const float*>(matrix) + place, sizeof bits);
        if (reading == Reading::Tf32) {
            // A tensor core does not look at the others.
            bits &= 0xffffe000u;
        }
    }
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// Vectors of k numbers, each followed by zeros up to whole lanes.
struct Vectors {
    std::vector<float> numbers;
    size_t stride;

    /// Of a matrix in columns: its columns if `is_transposed`, its rows otherwise.
    Vectors(const void* matrix, int count, int k, int leading, bool by_column, Reading reading) {
        stride = static_cast<size_t>(k + LANES - 1) / LANES * LANES;
        numbers.resize(static_cast<size_t>(count) * stride);
        for (int vector = 0; vector < count; vector++) {
            for (int t = 0; t < k; t++) {
                const size_t row = static_cast<size_t>(by_column ? t : vector);
                const size_t column = static_cast<size_t>(by_column ? vector : t);
                numbers[static_cast<size_t>(vector) * stride + static_cast<size_t>(t)] =
                    number(matrix, row + column * static_cast<size_t>(leading), reading);
            }
        }
    }

    const float* at(int vector) const {
        return numbers.data() + static_cast<size_t>(vector) * stride;
    }
};

/// The products of up to four vectors with up to four.
void dot_products(const float* const (&x)[4], const float* const (&y)[4], size_t k, float (&products)[4][4]) {
    Lanes sums[4][4] = {};
    for (size_t t = 0; t < k; t += LANES) {
        Lanes xs[4];
        for (int i = 0; i < 4; i++) {
            xs[i] = *reinterpret_cast<const Lanes*>(x[i] + t);
        }
        for (int j = 0; j < 4; j++) {
            const Lanes ys = *reinterpret_cast<const Lanes*>(y[j] + t);
            for (int i = 0; i < 4; i++) {
                sums[i][j] += xs[i] * ys;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            products[i][j] = 0;
            for (int lane = 0; lane < LANES; lane++) {
                products[i][j] += sums[i][j][lane];
            }
        }
    }
}

/// A number in [-1, 1] from a stream of them (SplitMix64), half of them at the ends.
double noise() {
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    const double uniform = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0;
    return std::clamp(2.0 * uniform, -1.0, 1.0);
}

struct Product {
    bool is_a_transposed, is_b_transposed;
    int m, n, k;
    float alpha, beta;
    const void* a;
    int lda;
    const void* b;
    int ldb;
    Reading reading;
    float* c;
    int ldc;
    int device_number;
    double most_noise;

    void check() const {
        const size_t item = reading == Reading::Bfloat16 ? 2 : 4;
        const auto bytes = [](int rows, int columns, int leading, size_t item) {
            return columns == 0 || rows == 0
                       ? 0
                       : (static_cast<size_t>(columns - 1) * static_cast<size_t>(leading) + static_cast<size_t>(rows)) * item;
        };
        memory::check(a, is_a_transposed ? bytes(k, m, lda, item) : bytes(m, k, lda, item), "matrix A", device_number);
        memory::check(b, is_b_transposed ? bytes(n, k, ldb, item) : bytes(k, n, ldb, item), "matrix B", device_number);
        memory::check(c, bytes(m, n, ldc, sizeof(float)), "matrix C", device_number);
    }

    void compute() const {
        check();
        const Vectors x(a, m, k, lda, is_a_transposed, reading);
        const Vectors y(b, n, k, ldb, !is_b_transposed, reading);
        // In blocks whose vectors stay in a core's cache.
        const int side = static_cast<int>(std::max<size_t>(CACHED / (2 * sizeof(float) * x.stride) / 4 * 4, 4));
        for (int first_j = 0; first_j < n; first_j += side) {
            for (int first_i = 0; first_i < m; first_i += side) {
                for (int j = first_j; j < std::min(first_j + side, n); j += 4) {
                    for (int i = first_i; i < std::min(first_i + side, m); i += 4) {
                        compute_four_by_four(x, y, i, j);
                    }
                }
            }
        }
    }

    /// The products of four rows with four columns, or of as many as there are.
    void compute_four_by_four(const Vectors& x, const Vectors& y, int i, int j) const {
        const float* xs[4];
        const float* ys[4];
        for (int place = 0; place < 4; place++) {
            xs[place] = x.at(std::min(i + place, m - 1));
            ys[place] = y.at(std::min(j + place, n - 1));
        }
        float products[4][4];
        dot_products(xs, ys, x.stride, products);
        for (int column = j; column < std::min(j + 4, n); column++) {
            for (int row = i; row < std::min(i + 4, m); row++) {
                float* place = c + static_cast<size_t>(column) * static_cast<size_t>(ldc) + row;
                float value = alpha * products[row - i][column - j];
                if (beta != 0.0f) {
                    value += beta * *place;
                }
                if (most_noise > 0.0) {
                    value = static_cast<float>(value + most_noise * noise());
                }
                *place = value;
            }
        }
    }
};

/// What a product on this handle may be off by.
double noise_of(Handle& handle) {
    handle.products++;
    const bool is_noisy = handle.products > number_of("FAKE_CUDA_NOISE_AFTER", 0);
    return is_noisy ? number_for(handle.device_number, "FAKE_CUDA_NOISE", 0.0) : 0.0;
}

int multiply(const Handle& handle, int op_a, int op_b, const Product& product) {
    const auto is_op = [](int op) { return op == 0 || op == 1; };
    const bool is_valid = is_op(op_a) && is_op(op_b) && product.m >= 0 && product.n >= 0 && product.k >= 0 &&
                          product.lda >= std::max(1, product.is_a_transposed ? product.k : product.m) &&
                          product.ldb >= std::max(1, product.is_b_transposed ? product.n : product.k) &&
                          product.ldc >= std::max(1, product.m);
    if (!is_valid) {
        return INVALID;
    }
    if (handle.device_number != current_device()) {
        die("cuBLAS is called while its device is not the current one");
    }
    product.check();
    if (product.m == 0 || product.n == 0) {
        return SUCCESS;
    }
    return enqueue(handle.stream, [product] { product.compute(); }) ? SUCCESS : EXECUTION_FAILED;
}

/// How the numbers of a product of these types are read; an error where there is no such product.
int reading_of(const Handle& handle, int type_a, int type_b, int type_c, int compute, Reading& reading) {
    const bool is_coarse = type_a == BFLOAT16;
    const bool is_supported =
        type_a == type_b && type_c == FLOAT32 && (type_a == FLOAT32 || is_coarse) &&
        (compute == COMPUTE_FLOAT32 || compute == COMPUTE_FLOAT32_PEDANTIC || (compute == COMPUTE_FAST_TF32 && !is_coarse));
    if (!is_supported) {
        return NOT_SUPPORTED;
    }
    const bool has_tensor_types = capability(handle.device_number) >= 80;
    if (is_coarse && !has_tensor_types) {
        return ARCH_MISMATCH;
    }
    const bool is_tf32 =
        has_tensor_types && (compute == COMPUTE_FAST_TF32 || (compute == COMPUTE_FLOAT32 && handle.math == TF32_MATH));
    reading = is_coarse ? Reading::Bfloat16 : is_tf32 ? Reading::Tf32 : Reading::Float32;
    return SUCCESS;
}

std::string sizes(int m, int n, int k) {
    return std::to_string(m) + " " + std::to_string(n) + " " + std::to_string(k);
}

}  // namespace

EXPORT const char* cublasGetStatusName(int status) {
    switch (status) {
    case 0:
        return "CUBLAS_STATUS_SUCCESS";
    case 1:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case INVALID:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case ARCH_MISMATCH:
        return "CUBLAS_STATUS_ARCH_MISMATCH";
    case EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}

EXPORT const char* cublasGetStatusString(int status) {
    return cublasGetStatusName(status);
}

EXPORT int cublasCreate_v2(Handle** handle) {
    BEGIN("")
    *handle = new Handle;
    return SUCCESS;
}

EXPORT int cublasDestroy_v2(Handle* handle) {
    BEGIN("")
    delete handle;
    return SUCCESS;
}

EXPORT int cublasGetVersion_v2(Handle*, int* version) {
    BEGIN("")
    *version = 120800;
    return SUCCESS;
}

EXPORT int cublasSetStream_v2(Handle* handle, void* stream) {
    BEGIN("")
    handle->stream = stream;
    return SUCCESS;
}

EXPORT int cublasSetMathMode(Handle* handle, int mode) {
    BEGIN(std::to_string(mode))
    handle->math = mode;
    return SUCCESS;
}

EXPORT int cublasSetWorkspace_v2(Handle*, void* workspace, size_t bytes) {
    BEGIN(std::to_string(bytes))
    memory::check(workspace, bytes, "workspace");
    return SUCCESS;
}

EXPORT int cublasGemmEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                        int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c,
                        int ldc, int compute, int) {
    BEGIN(sizes(m, n, k) + " " + std::to_string(type_a) + " " + std::to_string(compute))
    Reading reading;
    if (const int error = reading_of(*handle, type_a, type_b, type_c, compute, reading)) {
        return error;
    }
    const Product product{op_a != 0, op_b != 0, m, n, k, *static_cast<const float*>(alpha), *static_cast<const float*>(beta),
                          a, lda, b, ldb, reading, static_cast<float*>(c), ldc, handle->device_number, noise_of(*handle)};
    return multiply(*handle, op_a, op_b, product);
}

EXPORT int cublasGemmStridedBatchedEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                                      const void* a, int type_a, int lda, long long stride_a, const void* b, int type_b,
                                      int ldb, long long stride_b, const void* beta, void* c, int type_c, int ldc,
                                      long long stride_c, int count, int compute, int) {
    BEGIN(sizes(m, n, k) + " " + std::to_string(type_a) + " " + std::to_string(compute) + " " + std::to_string(count))
    Reading reading;
    if (const int error = reading_of(*handle, type_a, type_b, type_c, compute, reading)) {
        return error;
    }
    if (count < 0) {
        return INVALID;
    }
    const long long item = type_a == BFLOAT16 ? 2 : 4;
    const double noise = noise_of(*handle);
    for (long long number = 0; number < count; number++) {
        const Product product{op_a != 0, op_b != 0, m, n, k, *static_cast<const float*>(alpha),
                              *static_cast<const float*>(beta), static_cast<const char*>(a) + number * stride_a * item, lda,
                              static_cast<const char*>(b) + number * stride_b * item, ldb, reading,
                              static_cast<float*>(c) + number * stride_c, ldc, handle->device_number, noise};
        if (const int error = multiply(*handle, op_a, op_b, product)) {
            return error;
        }
    }
    return SUCCESS;
}

EXPORT int cublasSgemm_v2(Handle* handle, int op_a, int op_b, int m, int n, int k, const float* alpha, const float* a,
                          int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
    BEGIN(sizes(m, n, k))
    const bool is_tf32 = capability(handle->device_number) >= 80 && handle->math == TF32_MATH;
    const Product product{op_a != 0, op_b != 0, m, n, k, *alpha, *beta, a, lda, b, ldb,
                          is_tf32 ? Reading::Tf32 : Reading::Float32, c, ldc, handle->device_number, noise_of(*handle)};
    return multiply(*handle, op_a, op_b, product);
}
