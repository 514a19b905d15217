// The environment variables (README.md), and the end of the process.

#include "fake.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace fake {

namespace {

struct Failure {
    std::string function;
    long call = 0;
    int code = -1;
};

Failure wanted_failure() {
    Failure failure;
    const char* text = std::getenv("FAKE_CUDA_FAIL");
    if (text == nullptr) {
        return failure;
    }
    char function[128];
    const int fields = std::sscanf(text, "%127[^:]:%ld:%d", function, &failure.call, &failure.code);
    if (fields < 2) {
        die(std::string("FAKE_CUDA_FAIL is function:n[:code], not ") + text);
    }
    failure.function = function;
    return failure;
}

/// Errors of which the CUDA driver says that the process must be ended to use the device again.
bool is_sticky(int code) {
    return code == 46 || code == 214 || code == 220 || code == 700 || code == 702 || code == 710 ||
           (714 <= code && code <= 719);
}

/// The error after which no call succeeds.
int lost_by = 0;

void log(const std::string& line) {
    static const char* path = std::getenv("FAKE_CUDA_LOG");
    static const int file = path == nullptr ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0 && write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        die("the log cannot be written");
    }
}

}  // namespace

std::recursive_mutex& device() {
    static std::recursive_mutex mutex;
    return mutex;
}

int enter(const char* function, const std::string& details, int usual_error) {
    static const Failure failure = wanted_failure();
    static std::map<std::string, long> calls;
    log(function + (details.empty() ? "" : " " + details) + "\n");
    const bool is_driver = std::strncmp(function, "cublas", 6) != 0;
    if (lost_by != 0) {
        return is_driver ? lost_by : usual_error;
    }
    if (++calls[function] == failure.call && failure.function == function) {
        const int code = failure.code < 0 ? usual_error : failure.code;
        if (is_driver && is_sticky(code)) {
            lost_by = code;
        }
        return code;
    }
    return 0;
}

double number_of(const char* variable, double otherwise) {
    const char* text = std::getenv(variable);
    if (text == nullptr) {
        return otherwise;
    }
    char* end = nullptr;
    const double number = std::strtod(text, &end);
    if (end == text || *end != 0) {
        die(std::string(variable) + " is no number: " + text);
    }
    return number;
}

int capability() {
    return static_cast<int>(number_of("FAKE_CUDA_CAPABILITY", 9.0) * 10 + 0.5);
}

void die(const std::string& what) {
    std::fprintf(stderr, "fake CUDA: %s\n", what.c_str());
    std::abort();
}

}  // namespace fake
