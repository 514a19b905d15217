// What the parts of the stand-in share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))
#define SHARED __attribute__((visibility("default")))

namespace fake {

// Numbers of CUresult that are given or looked for.
constexpr int SUCCESS = 0;
constexpr int INVALID_VALUE = 1;
constexpr int OUT_OF_MEMORY = 2;
constexpr int NOT_INITIALIZED = 3;
constexpr int NO_DEVICE = 100;
constexpr int INVALID_DEVICE = 101;
constexpr int INVALID_IMAGE = 200;
constexpr int INVALID_CONTEXT = 201;
constexpr int INVALID_HANDLE = 400;
constexpr int NOT_FOUND = 500;

/// Held throughout every call: the device does one thing at a time.
SHARED std::recursive_mutex& device();

/// Writes a line to FAKE_CUDA_LOG and counts the call of a function. The error that FAKE_CUDA_FAIL asks for, as what this
/// library's functions return, or 0.
SHARED int enter(const char* function, const std::string& details, int usual_error);

/// The number of an environment variable; `otherwise` where it is not set. Anything else ends the process.
SHARED double number_of(const char* variable, double otherwise);

/// Major times 10 plus minor.
SHARED int capability();

/// Says what a program did that a GPU would punish with worse, and ends the process.
[[noreturn]] SHARED void die(const std::string& what);

/// Device memory: every allocation has pages of its own between others that nobody may touch.
namespace memory {
void* allocate(size_t bytes);
bool free(void* address);
size_t used();
/// Ends the process unless these bytes belong to one allocation.
SHARED void check(const void* address, size_t bytes, const char* use);
/// Ends the process if anything has been written beside an allocation.
void check_guards(const char* after);
}  // namespace memory

/// Queues work on a stream, by its handle; false if there is none such.
SHARED bool enqueue(void* stream, std::function<void()> work);

/// A kernel by its name, with the arguments at these places; empty if there is none such.
std::function<void()> bind(const char* name, const unsigned (&grid)[3], const unsigned (&block)[3], void** arguments);

/// Whether there is a kernel of this name.
bool has_kernel(const std::string& name);

}  // namespace fake
