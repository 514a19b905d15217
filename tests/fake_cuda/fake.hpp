// What the parts of the stand-in share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

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

/// The device of a call that is about none.
constexpr int NO_DEVICE_YET = -1;

/// Writes a line to FAKE_CUDA_LOG and counts the call of a function on a device. The error that FAKE_CUDA_FAIL asks for,
/// as what this library's functions return, or 0.
SHARED int enter(const char* function, const std::string& details, int usual_error, int device_number);

/// The numbers of an environment variable, separated by commas; none where it is not set. Anything else ends the process.
SHARED std::vector<double> numbers_of(const char* variable);

/// The first of these numbers; `otherwise` where the variable is not set.
SHARED double number_of(const char* variable, double otherwise);

/// The number for a device: the last one is for all further devices, too.
SHARED double number_for(int device_number, const char* variable, double otherwise);

/// Major times 10 plus minor.
SHARED int capability(int device_number);

/// The device whose context the calling thread has, or NO_DEVICE_YET.
SHARED int current_device();

/// Says what a program did that a GPU would punish with worse, and ends the process.
[[noreturn]] SHARED void die(const std::string& what);

/// Device memory: every allocation has pages of its own between others that nobody may touch.
namespace memory {
constexpr int ANY_DEVICE = -1;
void* allocate(size_t bytes, int device_number);
bool free(void* address);
size_t used(int device_number);
/// Ends the process unless these bytes belong to one allocation, of this device.
SHARED void check(const void* address, size_t bytes, const char* use, int device_number = ANY_DEVICE);
/// Ends the process if anything has been written beside an allocation.
void check_guards(const char* after);
}  // namespace memory

/// Queues work on a stream of the current device, by its handle; false if there is none such.
SHARED bool enqueue(void* stream, std::function<void()> work);

/// A kernel by its name, with the arguments at these places; empty if there is none such.
std::function<void()> bind(const char* name, const unsigned (&grid)[3], const unsigned (&block)[3], void** arguments);

/// Whether there is a kernel of this name.
bool has_kernel(const std::string& name);

}  // namespace fake
