// The project's kernels, and how they are launched by name.

#include "grid.hpp"

namespace kernels {
#include "../../kernels/inmerge.cu"
}  // namespace kernels

#include "fake.hpp"

#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace fake {

namespace {

using Bind = std::function<std::function<void()>(void**)>;

/// Reads the arguments of a kernel from where they lie, by its own parameters' types, as the driver does by those of the
/// PTX.
template <class... Parameters, size_t... PLACES>
std::function<void()> bound(void (*kernel)(Parameters...), void** arguments, std::index_sequence<PLACES...>) {
    std::tuple<Parameters...> values(*static_cast<Parameters*>(arguments[PLACES])...);
    return [kernel, values] { std::apply(kernel, values); };
}

template <class... Parameters>
Bind binder(void (*kernel)(Parameters...)) {
    return [kernel](void** arguments) { return bound(kernel, arguments, std::index_sequence_for<Parameters...>{}); };
}

const std::map<std::string, Bind>& all() {
    static const std::map<std::string, Bind> all{
        {"measure", binder(kernels::measure)},
        {"write_units", binder(kernels::write_units)},
        {"reached", binder(kernels::reached)},
        {"open_pairs", binder(kernels::open_pairs)},
        {"best_ranked", binder(kernels::best_ranked)},
        {"least_losses", binder(kernels::least_losses)},
        {"intervals", binder(kernels::intervals)},
        {"cells", binder(kernels::cells)},
        {"dots", binder(kernels::dots)},
    };
    return all;
}

}  // namespace

bool has_kernel(const std::string& name) {
    return all().count(name) > 0;
}

std::function<void()> bind(const char* name, const unsigned (&grid)[3], const unsigned (&block)[3], void** arguments) {
    const auto& [kernel_name, binder] = *all().find(name);
    const unsigned gx = grid[0], gy = grid[1], gz = grid[2], bx = block[0], by = block[1], bz = block[2];
    const char* kept_name = kernel_name.c_str();
    return [=, thread = binder(arguments)] {
        run_grid({gx, gy, gz}, {bx, by, bz}, kept_name, thread);
        memory::check_guards(kept_name);
    };
}

}  // namespace fake
