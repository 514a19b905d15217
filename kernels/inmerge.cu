// The one translation unit of the kernels: what kernels/build.py compiles to inmerge.ptx.
//
// Every kernel is launched with blocks along x as its comment says. Pointers are to device memory and aligned to their
// type; nothing here allocates, and outputs that are extremes or counts are added to what the host has put there.

#include "types.cuh"
#include "elements.cuh"
#include "warp.cuh"
#include "tile.cuh"
#include "row_best.cuh"
#include "open_pairs.cuh"

#include "definition.cu"
#include "units.cu"
#include "scan.cu"
#include "tally.cu"
#include "cells.cu"
