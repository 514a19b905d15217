// The driver's functions that cudarc's safe types call.

#include "fake.hpp"
#include "streams.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

using namespace fake;

using Device = int;
using Address = unsigned long long;

/// Begins a function for a device: one at a time, logged, and with the failure that is asked for.
#define CALL_FOR(device_number, details, usual_error)                                   \
    const std::lock_guard<std::recursive_mutex> lock(fake::device());                   \
    if (const int error = fake::enter(__func__, details, usual_error, device_number)) { \
        return error;                                                                   \
    }

/// As CALL_FOR, for functions that are about no device.
#define CALL(details, usual_error) CALL_FOR(NO_DEVICE_YET, details, usual_error)

/// As CALL_FOR, for functions that need a context.
#define CALL_IN_CONTEXT(details, usual_error)                \
    CALL_FOR(fake::current_device(), details, usual_error)   \
    if (current == nullptr) {                                \
        return INVALID_CONTEXT;                              \
    }

namespace {

struct Context {
    int device_number = 0;
    int retained = 0;
    /// The stream of the handle that is null.
    std::shared_ptr<Stream> null_stream;
};

struct Event {
    Mark mark;
};

struct Module {
    std::string ptx;
    std::set<std::string> kernels;
};

bool is_initialised = false;
/// The primary contexts by device.
std::map<Device, Context> primaries;
thread_local Context* current = nullptr;
std::map<void*, std::shared_ptr<Stream>> streams;
std::set<Event*> events;
std::map<char*, size_t> pinned;
std::set<Module*> modules;
/// What runs, for the message of the signal handler.
const char* volatile running = "none";

/// The bytes that a device has in all, and those that nobody has taken.
size_t memory_bytes(int device_number) {
    return static_cast<size_t>(number_for(device_number, "FAKE_CUDA_MEMORY", 1 << 30));
}

size_t free_bytes(int device_number) {
    const auto others = static_cast<size_t>(number_for(device_number, "FAKE_CUDA_TAKEN", 0));
    const size_t taken = others + memory::used(device_number);
    return memory_bytes(device_number) - std::min(memory_bytes(device_number), taken);
}

/// The devices that CUDA_VISIBLE_DEVICES leaves, in its order: up to the first that there is not, as the driver has it.
std::vector<Device> visible_devices() {
    std::vector<Device> devices;
    const int count = static_cast<int>(number_of("FAKE_CUDA_DEVICES", 1));
    const char* text = std::getenv("CUDA_VISIBLE_DEVICES");
    if (text == nullptr) {
        for (Device device = 0; device < count; device++) {
            devices.push_back(device);
        }
        return devices;
    }
    std::istringstream list(text);
    for (std::string item; std::getline(list, item, ',');) {
        char* end = nullptr;
        const long device = std::strtol(item.c_str(), &end, 10);
        if (end == item.c_str() || *end != 0 || device < 0 || device >= count) {
            break;
        }
        devices.push_back(static_cast<Device>(device));
    }
    return devices;
}

/// A stream of the current device.
std::shared_ptr<Stream> stream_of(void* handle) {
    if (handle == nullptr) {
        return current == nullptr ? nullptr : current->null_stream;
    }
    const auto found = streams.find(handle);
    const bool is_ours = found != streams.end() && found->second->device_number == current_device();
    return is_ours ? found->second : nullptr;
}

/// All work of a device, or of all.
void run_all(int device_number = memory::ANY_DEVICE) {
    const auto run = [device_number](Stream& stream) {
        if (device_number == memory::ANY_DEVICE || device_number == stream.device_number) {
            stream.run_to(stream.position());
        }
    };
    for (const auto& [handle, stream] : std::map<void*, std::shared_ptr<Stream>>(streams)) {
        run(*stream);
    }
    for (const auto& [device, context] : primaries) {
        if (context.null_stream) {
            run(*context.null_stream);
        }
    }
}

/// Whether these bytes of the host's are pinned: only then may a copy be done later.
bool is_pinned(const void* address, size_t bytes) {
    auto* start = static_cast<char*>(const_cast<void*>(address));
    auto after = pinned.upper_bound(start);
    if (after == pinned.begin()) {
        return false;
    }
    const auto& [first, size] = *--after;
    return start + bytes <= first + size;
}

/// What the log says of a copy from or to memory of the host's.
std::string copy_details(size_t bytes, const void* host) {
    const std::lock_guard<std::recursive_mutex> lock(device());
    return std::to_string(bytes) + (is_pinned(host, bytes) ? " pinned" : " unpinned");
}

void on_signal(int signal) {
    const char* parts[] = {"fake CUDA: a kernel touched memory that is not its own, or the program did; running: ", running, "\n"};
    for (const char* part : parts) {
        if (write(STDERR_FILENO, part, std::strlen(part)) < 0) {
            break;
        }
    }
    std::signal(signal, SIG_DFL);
    raise(signal);
}

/// On the stack that Rust has set up for the handler of its own.
void handle_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
}

int allocate(Address* address, size_t bytes) {
    if (bytes == 0) {
        return INVALID_VALUE;
    }
    const int device_number = current_device();
    if (bytes > free_bytes(device_number)) {
        // What is still to be freed is free once all work is done.
        run_all(device_number);
        if (bytes > free_bytes(device_number)) {
            return OUT_OF_MEMORY;
        }
    }
    void* pointer = memory::allocate(bytes, device_number);
    *address = reinterpret_cast<Address>(pointer);
    return pointer == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

void free_now(void* address) {
    if (!memory::free(address)) {
        die("freed what is not allocated");
    }
}

void* pointer(Address address) {
    return reinterpret_cast<void*>(address);
}

int upload(Address to, const void* from, size_t bytes, void* stream) {
    memory::check(pointer(to), bytes, "upload", current_device());
    if (is_pinned(from, bytes) || number_of("FAKE_CUDA_LATE_UPLOADS", 0) != 0) {
        const auto work = [=] {
            memory::check(pointer(to), bytes, "upload");
            std::memcpy(pointer(to), from, bytes);
        };
        return enqueue(stream, work) ? SUCCESS : INVALID_HANDLE;
    }
    // Other memory of the host's has been read when the call returns.
    auto staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
    const auto work = [=] {
        memory::check(pointer(to), bytes, "upload");
        std::memcpy(pointer(to), staged->data(), bytes);
    };
    return enqueue(stream, work) ? SUCCESS : INVALID_HANDLE;
}

int download(void* to, Address from, size_t bytes, void* stream) {
    memory::check(pointer(from), bytes, "download", current_device());
    const auto work = [=] {
        memory::check(pointer(from), bytes, "download");
        std::memcpy(to, pointer(from), bytes);
    };
    // Whether or not it is pinned: a driver may write it before the call returns, and need not.
    return enqueue(stream, work) ? SUCCESS : INVALID_HANDLE;
}

int fill(Address to, unsigned char byte, size_t bytes, void* stream) {
    memory::check(pointer(to), bytes, "memset", current_device());
    const auto work = [=] {
        memory::check(pointer(to), bytes, "memset");
        std::memset(pointer(to), byte, bytes);
    };
    return enqueue(stream, work) ? SUCCESS : INVALID_HANDLE;
}

int copy_within(Address to, Address from, size_t bytes, void* stream) {
    const auto work = [=] {
        memory::check(pointer(from), bytes, "copy");
        memory::check(pointer(to), bytes, "copy");
        std::memmove(pointer(to), pointer(from), bytes);
    };
    return enqueue(stream, work) ? SUCCESS : INVALID_HANDLE;
}

struct Error {
    int code;
    const char* name;
    const char* text;
};

constexpr Error ERRORS[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

const Error* error_of(int code) {
    for (const Error& error : ERRORS) {
        if (error.code == code) {
            return &error;
        }
    }
    return nullptr;
}

}  // namespace

int fake::current_device() {
    return current == nullptr ? NO_DEVICE_YET : current->device_number;
}

bool fake::enqueue(void* handle, std::function<void()> work) {
    const auto stream = stream_of(handle);
    if (!stream) {
        return false;
    }
    stream->add(std::move(work));
    return true;
}

EXPORT int cuGetErrorName(int code, const char** name) {
    const Error* error = error_of(code);
    *name = error == nullptr ? nullptr : error->name;
    return error == nullptr ? INVALID_VALUE : SUCCESS;
}

EXPORT int cuGetErrorString(int code, const char** text) {
    const Error* error = error_of(code);
    *text = error == nullptr ? nullptr : error->text;
    return error == nullptr ? INVALID_VALUE : SUCCESS;
}

EXPORT int cuDriverGetVersion(int* version) {
    CALL("", INVALID_VALUE)
    *version = static_cast<int>(number_of("FAKE_CUDA_DRIVER", 12080));
    return SUCCESS;
}

EXPORT int cuInit(unsigned) {
    CALL("", NO_DEVICE)
    if (visible_devices().empty()) {
        return NO_DEVICE;
    }
    if (!is_initialised) {
        is_initialised = true;
        handle_signals();
    }
    return SUCCESS;
}

EXPORT int cuDeviceGetCount(int* count) {
    CALL("", NOT_INITIALIZED)
    *count = static_cast<int>(visible_devices().size());
    return is_initialised ? SUCCESS : NOT_INITIALIZED;
}

EXPORT int cuDeviceGet(Device* device, int ordinal) {
    CALL(std::to_string(ordinal), INVALID_DEVICE)
    if (!is_initialised) {
        return NOT_INITIALIZED;
    }
    const std::vector<Device> devices = visible_devices();
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= devices.size()) {
        return INVALID_DEVICE;
    }
    *device = devices[static_cast<size_t>(ordinal)];
    return SUCCESS;
}

EXPORT int cuDeviceGetName(char* name, int bytes, Device device) {
    CALL_FOR(device, "", INVALID_DEVICE)
    std::snprintf(name, static_cast<size_t>(bytes), "Fake GPU");
    return SUCCESS;
}

EXPORT int cuDeviceGetUuid_v2(unsigned char* uuid, Device device) {
    CALL_FOR(device, "", INVALID_DEVICE)
    std::memset(uuid, device + 1, 16);
    return SUCCESS;
}

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, Device device) {
    CALL_FOR(device, "", INVALID_DEVICE)
    *bytes = memory_bytes(device);
    return SUCCESS;
}

EXPORT int cuDeviceGetAttribute(int* value, int attribute, Device device) {
    CALL_FOR(device, std::to_string(attribute), INVALID_VALUE)
    switch (attribute) {
    case 1:  // MAX_THREADS_PER_BLOCK
        *value = 1024;
        break;
    case 10:  // WARP_SIZE
        *value = 32;
        break;
    case 13:  // CLOCK_RATE, kHz
        *value = 1980000;
        break;
    case 16:  // MULTIPROCESSOR_COUNT
        *value = 132;
        break;
    case 75:  // COMPUTE_CAPABILITY_MAJOR
        *value = capability(device) / 10;
        break;
    case 76:  // COMPUTE_CAPABILITY_MINOR
        *value = capability(device) % 10;
        break;
    case 115:  // MEMORY_POOLS_SUPPORTED
        *value = 1;
        break;
    default:
        *value = 0;
    }
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(Context** context, Device device) {
    CALL_FOR(device, "", OUT_OF_MEMORY)
    const std::vector<double> busy = numbers_of("FAKE_CUDA_BUSY");
    if (std::find(busy.begin(), busy.end(), device) != busy.end()) {
        return OUT_OF_MEMORY;
    }
    Context& primary = primaries[device];
    primary.device_number = device;
    if (primary.retained++ == 0) {
        primary.null_stream = std::make_shared<Stream>(device);
    }
    *context = &primary;
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(Device device) {
    CALL_FOR(device, "", INVALID_CONTEXT)
    run_all(device);
    Context& primary = primaries[device];
    return primary.retained-- > 0 ? SUCCESS : INVALID_CONTEXT;
}

EXPORT int cuCtxGetCurrent(Context** context) {
    const std::lock_guard<std::recursive_mutex> lock(device());
    *context = current;
    return SUCCESS;
}

EXPORT int cuCtxSetCurrent(Context* context) {
    CALL_FOR(context == nullptr ? NO_DEVICE_YET : context->device_number, "", INVALID_CONTEXT)
    current = context;
    return SUCCESS;
}

EXPORT int cuCtxSetFlags(unsigned) {
    CALL_IN_CONTEXT("", INVALID_VALUE)
    return SUCCESS;
}

EXPORT int cuCtxSynchronize() {
    CALL_IN_CONTEXT("", 719)
    run_all(current_device());
    return SUCCESS;
}

EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
    CALL_IN_CONTEXT("", INVALID_CONTEXT)
    *total = memory_bytes(current_device());
    *free = free_bytes(current_device());
    return SUCCESS;
}

EXPORT int cuStreamCreate(void** stream, unsigned) {
    CALL_IN_CONTEXT("", OUT_OF_MEMORY)
    auto made = std::make_shared<Stream>(current_device());
    *stream = made.get();
    streams[made.get()] = made;
    return SUCCESS;
}

EXPORT int cuStreamDestroy_v2(void* handle) {
    CALL_IN_CONTEXT("", INVALID_HANDLE)
    const auto stream = handle == nullptr ? nullptr : stream_of(handle);
    if (!stream) {
        return INVALID_HANDLE;
    }
    stream->run_to(stream->position());
    streams.erase(handle);
    return SUCCESS;
}

EXPORT int cuStreamSynchronize(void* handle) {
    CALL_IN_CONTEXT("", 719)
    const auto stream = stream_of(handle);
    if (!stream) {
        return INVALID_HANDLE;
    }
    stream->run_to(stream->position());
    return SUCCESS;
}

EXPORT int cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    CALL_IN_CONTEXT("", INVALID_HANDLE)
    if (events.count(event) == 0) {
        return INVALID_HANDLE;
    }
    // The work that the event stands for now; it may be recorded again.
    return enqueue(handle, [mark = event->mark] { mark.wait(); }) ? SUCCESS : INVALID_HANDLE;
}

EXPORT int cuEventCreate(Event** event, unsigned) {
    CALL_IN_CONTEXT("", OUT_OF_MEMORY)
    *event = new Event;
    events.insert(*event);
    return SUCCESS;
}

EXPORT int cuEventDestroy_v2(Event* event) {
    CALL_IN_CONTEXT("", INVALID_HANDLE)
    if (events.erase(event) == 0) {
        return INVALID_HANDLE;
    }
    delete event;
    return SUCCESS;
}

EXPORT int cuEventRecord(Event* event, void* handle) {
    CALL_IN_CONTEXT("", INVALID_HANDLE)
    const auto stream = stream_of(handle);
    if (!stream || events.count(event) == 0) {
        return INVALID_HANDLE;
    }
    event->mark = Mark{stream, stream->position()};
    return SUCCESS;
}

EXPORT int cuEventSynchronize(Event* event) {
    CALL_IN_CONTEXT("", 719)
    if (events.count(event) == 0) {
        return INVALID_HANDLE;
    }
    event->mark.wait();
    return SUCCESS;
}

EXPORT int cuEventQuery(Event* event) {
    CALL_IN_CONTEXT("", 719)
    if (events.count(event) == 0) {
        return INVALID_HANDLE;
    }
    return event->mark.is_past() ? SUCCESS : 600;
}

EXPORT int cuMemAlloc_v2(Address* address, size_t bytes) {
    CALL_IN_CONTEXT(std::to_string(bytes), OUT_OF_MEMORY)
    return allocate(address, bytes);
}

EXPORT int cuDeviceGetDefaultMemPool(void** pool, Device device) {
    CALL_FOR(device, "", INVALID_DEVICE)
    static char default_pool;
    *pool = &default_pool;
    return SUCCESS;
}

EXPORT int cuMemPoolSetAttribute(void* pool, int, void* value) {
    CALL("", INVALID_VALUE)
    return pool != nullptr && value != nullptr ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuMemAllocAsync(Address* address, size_t bytes, void*) {
    CALL_IN_CONTEXT(std::to_string(bytes), OUT_OF_MEMORY)
    return allocate(address, bytes);
}

EXPORT int cuMemFree_v2(Address address) {
    CALL_IN_CONTEXT("", INVALID_VALUE)
    run_all(current_device());
    free_now(pointer(address));
    return SUCCESS;
}

EXPORT int cuMemFreeAsync(Address address, void* stream) {
    CALL_IN_CONTEXT("", INVALID_VALUE)
    return enqueue(stream, [=] { free_now(pointer(address)); }) ? SUCCESS : INVALID_HANDLE;
}

EXPORT int cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    CALL_IN_CONTEXT(std::to_string(bytes), OUT_OF_MEMORY)
    if (bytes == 0) {
        return INVALID_VALUE;
    }
    if (posix_memalign(address, 4096, bytes) != 0) {
        return OUT_OF_MEMORY;
    }
    std::memset(*address, 0xab, bytes);
    pinned[static_cast<char*>(*address)] = bytes;
    return SUCCESS;
}

EXPORT int cuMemFreeHost(void* address) {
    CALL_IN_CONTEXT("", INVALID_VALUE)
    run_all();
    if (pinned.erase(static_cast<char*>(address)) == 0) {
        return INVALID_VALUE;
    }
    std::free(address);
    return SUCCESS;
}

EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    CALL_IN_CONTEXT(copy_details(bytes, from), INVALID_VALUE)
    return upload(to, from, bytes, stream);
}

EXPORT int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    CALL_IN_CONTEXT(copy_details(bytes, to), INVALID_VALUE)
    memory::check(pointer(from), bytes, "download");
    return download(to, from, bytes, stream);
}

EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    CALL_IN_CONTEXT(std::to_string(bytes), INVALID_VALUE)
    memory::check(pointer(to), bytes, "copy");
    memory::check(pointer(from), bytes, "copy");
    return copy_within(to, from, bytes, stream);
}

EXPORT int cuMemsetD8Async(Address to, unsigned char byte, size_t bytes, void* stream) {
    CALL_IN_CONTEXT(std::to_string(bytes), INVALID_VALUE)
    return fill(to, byte, bytes, stream);
}

EXPORT int cuModuleLoadData(Module** module, const void* image) {
    CALL_IN_CONTEXT("", 218)
    const std::string ptx = static_cast<const char*>(image);
    const size_t target = ptx.find("\n.target sm_");
    if (ptx.find("\n.version ") == std::string::npos || target == std::string::npos) {
        return INVALID_IMAGE;
    }
    // PTX is compiled for later architectures, not for earlier ones.
    if (std::atoi(ptx.c_str() + target + std::strlen("\n.target sm_")) > capability(current_device())) {
        return 222;
    }
    *module = new Module{ptx, {}};
    modules.insert(*module);
    return SUCCESS;
}

EXPORT int cuModuleUnload(Module* module) {
    CALL_IN_CONTEXT("", INVALID_HANDLE)
    run_all();
    if (modules.erase(module) == 0) {
        return INVALID_HANDLE;
    }
    delete module;
    return SUCCESS;
}

EXPORT int cuModuleGetFunction(const std::string** function, Module* module, const char* name) {
    CALL_IN_CONTEXT(name, NOT_FOUND)
    if (modules.count(module) == 0) {
        return INVALID_HANDLE;
    }
    const bool is_there = module->ptx.find(".entry " + std::string(name) + "(") != std::string::npos;
    if (!is_there || !has_kernel(name)) {
        return NOT_FOUND;
    }
    *function = &*module->kernels.insert(name).first;
    return SUCCESS;
}

EXPORT int cuLaunchKernel(const std::string* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned, void* stream, void** arguments, void**) {
    const auto size = [](unsigned x, unsigned y, unsigned z) {
        return " " + std::to_string(x) + " " + std::to_string(y) + " " + std::to_string(z);
    };
    CALL_IN_CONTEXT(*function + size(grid_x, grid_y, grid_z) + size(block_x, block_y, block_z), 719)
    const bool is_valid = grid_x > 0 && grid_y > 0 && grid_z > 0 && grid_x <= 0x7fffffffu && grid_y <= 65535 &&
                          grid_z <= 65535 && block_x > 0 && block_y > 0 && block_z > 0 &&
                          uint64_t{block_x} * block_y * block_z <= 1024;
    if (!is_valid) {
        return INVALID_VALUE;
    }
    const auto work = bind(function->c_str(), {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, arguments);
    const auto named = [work, name = function->c_str()] {
        running = name;
        work();
        running = "none";
    };
    return enqueue(stream, named) ? SUCCESS : INVALID_HANDLE;
}

// For tests of single kernels, without a driver's ado.

/// Device memory; the process ends where there is none.
EXPORT void* fake_allocate(size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(device());
    void* address = memory::allocate(bytes, 0);
    if (address == nullptr) {
        die("no memory");
    }
    return address;
}

EXPORT void fake_free(void* address) {
    const std::lock_guard<std::recursive_mutex> lock(device());
    free_now(address);
}

/// Runs a kernel to its end; false if there is none of this name.
EXPORT bool fake_launch(const char* name, unsigned grid_x, unsigned grid_y, unsigned block, void** arguments) {
    const std::lock_guard<std::recursive_mutex> lock(device());
    if (!has_kernel(name)) {
        return false;
    }
    handle_signals();
    running = name;
    bind(name, {grid_x, grid_y, 1}, {block, 1, 1}, arguments)();
    running = "none";
    return true;
}
