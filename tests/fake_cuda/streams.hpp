// Streams whose work is done as late as CUDA may do it: when somebody waits for it.
//
// So a program that forgets to wait reads what it should not, every time, and not only where a GPU is slow enough.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

namespace fake {

class Stream {
public:
    explicit Stream(int device_number) : device_number(device_number) {}

    const int device_number;

    void add(std::function<void()> work) {
        queue.push_back(std::move(work));
        added++;
    }

    /// How much work it has been given so far.
    uint64_t position() const {
        return added;
    }

    /// Does its work up to a position.
    void run_to(uint64_t position) {
        while (done < position && !queue.empty()) {
            const std::function<void()> work = std::move(queue.front());
            queue.pop_front();
            done++;
            work();
        }
    }

    bool has_reached(uint64_t position) const {
        return done >= position;
    }

private:
    std::deque<std::function<void()>> queue;
    uint64_t added = 0;
    uint64_t done = 0;
};

/// The work of a stream at some time.
struct Mark {
    std::shared_ptr<Stream> stream;
    uint64_t position = 0;

    void wait() const {
        if (stream) {
            stream->run_to(position);
        }
    }

    bool is_past() const {
        return !stream || stream->has_reached(position);
    }
};

}  // namespace fake
