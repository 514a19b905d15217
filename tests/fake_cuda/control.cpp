// The environment variables (README.md), and the end of the process.

#include "fake.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>

namespace fake {

namespace {

constexpr int ANY_DEVICE = -1;

struct Failure {
    std::string function;
    long call = 0;
    int code = -1;
    int device_number = ANY_DEVICE;
    /// Calls so far that this counts.
    long calls = 0;
};

std::vector<Failure> wanted_failures() {
    std::vector<Failure> failures;
    const char* text = std::getenv("FAKE_CUDA_FAIL");
    std::istringstream list(text == nullptr ? "" : text);
    for (std::string item; std::getline(list, item, ',');) {
        Failure failure;
        const size_t at = item.find('@');
        if (at != std::string::npos) {
            failure.device_number = std::atoi(item.c_str() + at + 1);
        }
        char function[128];
        if (std::sscanf(item.c_str(), "%127[^:]:%ld:%d", function, &failure.call, &failure.code) < 2) {
            die("FAKE_CUDA_FAIL is function:n[:code][@device], and more of them after commas, not " + item);
        }
        failure.function = function;
        failures.push_back(failure);
    }
    return failures;
}

/// Errors of which the CUDA driver says that the process must be ended to use the device again.
bool is_sticky(int code) {
    return code == 46 || code == 214 || code == 220 || code == 700 || code == 702 || code == 710 ||
           (714 <= code && code <= 719);
}

/// The errors by which devices were lost, after which no call for them succeeds; that of NO_DEVICE_YET is for all.
std::map<int, int> lost_by;

int loss_of(int device_number) {
    for (const int number : {device_number, NO_DEVICE_YET}) {
        if (const auto found = lost_by.find(number); found != lost_by.end()) {
            return found->second;
        }
    }
    return 0;
}

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

int enter(const char* function, const std::string& details, int usual_error, int device_number) {
    static std::vector<Failure> failures = wanted_failures();
    log(function + (details.empty() ? "" : " " + details) + "\n");
    const bool is_driver = std::strncmp(function, "cublas", 6) != 0;
    if (const int loss = loss_of(device_number)) {
        return is_driver ? loss : usual_error;
    }
    int error = 0;
    for (Failure& failure : failures) {
        const bool counts = failure.function == function &&
                            (failure.device_number == ANY_DEVICE || failure.device_number == device_number);
        if (!counts || ++failure.calls != failure.call) {
            continue;
        }
        error = failure.code < 0 ? usual_error : failure.code;
        if (is_driver && is_sticky(error)) {
            lost_by[device_number] = error;
        }
    }
    return error;
}

std::vector<double> numbers_of(const char* variable) {
    std::vector<double> numbers;
    const char* text = std::getenv(variable);
    std::istringstream list(text == nullptr ? "" : text);
    for (std::string item; std::getline(list, item, ',');) {
        char* end = nullptr;
        numbers.push_back(std::strtod(item.c_str(), &end));
        if (end == item.c_str() || *end != 0) {
            die(std::string(variable) + " is no number: " + text);
        }
    }
    return numbers;
}

double number_of(const char* variable, double otherwise) {
    return number_for(0, variable, otherwise);
}

double number_for(int device_number, const char* variable, double otherwise) {
    const std::vector<double> numbers = numbers_of(variable);
    if (numbers.empty()) {
        return otherwise;
    }
    return numbers[std::min(static_cast<size_t>(std::max(device_number, 0)), numbers.size() - 1)];
}

int capability(int device_number) {
    return static_cast<int>(number_for(device_number, "FAKE_CUDA_CAPABILITY", 9.0) * 10 + 0.5);
}

void die(const std::string& what) {
    std::fprintf(stderr, "fake CUDA: %s\n", what.c_str());
    std::abort();
}

}  // namespace fake
