// Blocks of fibers.

#include "grid.hpp"

#include "fake.hpp"

#include <csetjmp>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <ucontext.h>

namespace fake {

Index thread_index, block_index, block_size;

namespace {

constexpr unsigned WARP = 32;
constexpr size_t STACK = 128 << 10;

/// What 32 threads exchange. Two places in turn: a thread that reads one has not come to the next exchange, so nobody has
/// come to the one after that.
struct Warp {
    uint64_t numbers[2][WARP];
    unsigned come[2] = {0, 0};
    uint64_t exchanges = 0;
};

struct Fiber {
    ucontext_t start;
    std::jmp_buf at;
    std::unique_ptr<char[]> stack;
    bool has_started = false;
    bool is_done = false;
    uint64_t exchanges = 0;
    unsigned number = 0;
};

/// The block that runs.
struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Warp> warps;
    unsigned threads = 0;
    unsigned done = 0;
    unsigned at_barrier = 0;
    uint64_t barriers = 0;
    /// Since the threads' turns began anew.
    bool has_moved = false;
    const std::function<void()>* thread = nullptr;
    std::jmp_buf scheduler;
    ucontext_t scheduler_context;
    Fiber* running = nullptr;
    const char* name = "";
};

Block block;

/// Hands over to the scheduler, until it is this fiber's turn again.
void yield() {
    Fiber* self = block.running;
    if (_setjmp(self->at) == 0) {
        _longjmp(block.scheduler, 1);
    }
}

void fiber_main() {
    for (;;) {
        (*block.thread)();
        block.running->is_done = true;
        block.done++;
        block.has_moved = true;
        yield();
    }
}

/// Lets a fiber run until it yields.
void resume(Fiber& fiber) {
    block.running = &fiber;
    thread_index = Index{fiber.number, 0, 0};
    if (_setjmp(block.scheduler) == 0) {
        if (fiber.has_started) {
            _longjmp(fiber.at, 1);
        }
        fiber.has_started = true;
        setcontext(&fiber.start);
    }
}

void add_fiber() {
    auto fiber = std::make_unique<Fiber>();
    fiber->number = static_cast<unsigned>(block.fibers.size());
    fiber->stack = std::make_unique<char[]>(STACK);
    getcontext(&fiber->start);
    fiber->start.uc_stack.ss_sp = fiber->stack.get();
    fiber->start.uc_stack.ss_size = STACK;
    fiber->start.uc_link = nullptr;
    makecontext(&fiber->start, fiber_main, 0);
    block.fibers.push_back(std::move(fiber));
}

void run_block() {
    block.done = block.at_barrier = 0;
    block.warps.assign(block.threads / WARP, Warp{});
    for (unsigned thread = 0; thread < block.threads; thread++) {
        block.fibers[thread]->is_done = false;
        block.fibers[thread]->exchanges = 0;
    }
    while (block.done < block.threads) {
        block.has_moved = false;
        for (unsigned thread = 0; thread < block.threads; thread++) {
            if (!block.fibers[thread]->is_done) {
                resume(*block.fibers[thread]);
            }
        }
        if (!block.has_moved) {
            die(std::string("kernel ") + block.name + ": threads wait for others that never come");
        }
    }
}

}  // namespace

unsigned lane_index() {
    return thread_index.x % WARP;
}

void block_barrier() {
    const uint64_t barrier = block.barriers;
    block.has_moved = true;
    if (++block.at_barrier == block.threads) {
        block.at_barrier = 0;
        block.barriers++;
    }
    while (block.barriers == barrier) {
        yield();
    }
}

const uint64_t* exchange(unsigned mask, uint64_t number) {
    if (mask != 0xffffffffu) {
        die(std::string("kernel ") + block.name + ": a warp without some of its lanes");
    }
    Warp& warp = block.warps[thread_index.x / WARP];
    const uint64_t exchange = block.running->exchanges++;
    const unsigned place = exchange % 2;
    warp.numbers[place][lane_index()] = number;
    block.has_moved = true;
    if (++warp.come[place] == WARP) {
        warp.come[place] = 0;
        warp.exchanges++;
    }
    while (warp.exchanges == exchange) {
        yield();
    }
    return warp.numbers[place];
}

void run_grid(const unsigned (&grid)[3], const unsigned (&size)[3], const char* name,
              const std::function<void()>& thread) {
    if (size[1] != 1 || size[2] != 1 || size[0] % WARP != 0) {
        die(std::string("kernel ") + name + ": blocks are whole warps along x");
    }
    block.threads = size[0];
    block.thread = &thread;
    block.name = name;
    block_size = Index{size[0], 1, 1};
    while (block.fibers.size() < block.threads) {
        add_fiber();
    }
    const uint64_t blocks = uint64_t{grid[0]} * grid[1] * grid[2];
    // Through all of them, in steps that have no factor in common with their number.
    uint64_t step = blocks / 3 * 2 + 1;
    while (std::gcd(step, blocks) != 1) {
        step++;
    }
    uint64_t place = blocks / 2;
    for (uint64_t done = 0; done < blocks; done++) {
        block_index.x = static_cast<unsigned>(place % grid[0]);
        block_index.y = static_cast<unsigned>(place / grid[0] % grid[1]);
        block_index.z = static_cast<unsigned>(place / grid[0] / grid[1]);
        run_block();
        place = (place + step) % blocks;
    }
}

}  // namespace fake
