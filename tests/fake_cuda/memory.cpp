// Device memory on the host.
//
// An allocation ends, as nearly as its alignment allows, where a page ends, after which comes one that cannot be touched,
// and so before its first page; what is left of its own pages is filled with a pattern that is looked at after
// every kernel. New memory is filled with bytes that are no plausible value, and freed memory is gone.

#include "fake.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>

namespace fake::memory {

namespace {

constexpr size_t ALIGNMENT = 256;
constexpr unsigned char GUARD = 0xfd;
constexpr unsigned char FRESH = 0xab;

struct Allocation {
    int device_number;
    size_t bytes;
    unsigned char* pages;
    size_t page_bytes;
};

std::map<unsigned char*, Allocation>& allocations() {
    static std::map<unsigned char*, Allocation> all;
    return all;
}

std::map<int, size_t> totals;

size_t page() {
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

size_t rounded_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

bool is_guarded(const unsigned char* start, const unsigned char* end) {
    for (; start < end; start++) {
        if (*start != GUARD) {
            return false;
        }
    }
    return true;
}

void check_guards(unsigned char* address, const Allocation& allocation, const char* after) {
    const unsigned char* end = allocation.pages + allocation.page_bytes;
    if (!is_guarded(allocation.pages, address) || !is_guarded(address + allocation.bytes, end)) {
        die(std::string("written out of bounds beside ") + std::to_string(allocation.bytes) +
            " bytes of device memory, noticed after " + after);
    }
}

}  // namespace

void* allocate(size_t bytes, int device_number) {
    const size_t page_bytes = rounded_up(rounded_up(bytes, ALIGNMENT), page());
    void* mapped = mmap(nullptr, page_bytes + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    auto* pages = static_cast<unsigned char*>(mapped) + page();
    if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapped, page_bytes + 2 * page());
        return nullptr;
    }
    unsigned char* address = pages + page_bytes - rounded_up(bytes, ALIGNMENT);
    std::memset(pages, GUARD, static_cast<size_t>(address - pages));
    std::memset(address, FRESH, bytes);
    std::memset(address + bytes, GUARD, static_cast<size_t>(pages + page_bytes - address) - bytes);
    allocations()[address] = Allocation{device_number, bytes, pages, page_bytes};
    totals[device_number] += bytes;
    return address;
}

bool free(void* address) {
    const auto found = allocations().find(static_cast<unsigned char*>(address));
    if (found == allocations().end()) {
        return false;
    }
    const Allocation allocation = found->second;
    check_guards(found->first, allocation, "its last use");
    allocations().erase(found);
    totals[allocation.device_number] -= allocation.bytes;
    munmap(allocation.pages - page(), allocation.page_bytes + 2 * page());
    return true;
}

size_t used(int device_number) {
    return totals[device_number];
}

void check(const void* address, size_t bytes, const char* use, int device_number) {
    if (bytes == 0) {
        return;
    }
    auto* start = static_cast<unsigned char*>(const_cast<void*>(address));
    auto after = allocations().upper_bound(start);
    if (after != allocations().begin()) {
        const auto& [first, allocation] = *--after;
        if (start + bytes <= first + allocation.bytes) {
            if (device_number != ANY_DEVICE && device_number != allocation.device_number) {
                die(std::string(use) + " of memory of another device");
            }
            return;
        }
    }
    die(std::string(use) + " of " + std::to_string(bytes) + " bytes that are not of one allocation");
}

void check_guards(const char* after) {
    for (const auto& [address, allocation] : allocations()) {
        check_guards(address, allocation, after);
    }
}

}  // namespace fake::memory
