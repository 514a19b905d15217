//! The driver's library.

use std::ffi::{CStr, c_int};

use cudarc::driver;

use super::candidates::Source;
use super::fault::Fault;
use super::open::{open_by_name, requires};
use super::search::{Library, LibrarySearch};
use super::shared::{self, Shared};
use super::version::{KNOWN, Version};

/// The functions of the driver that cudarc calls for us; it panics if one is missing.
const FUNCTIONS: [&CStr; 35] = [
    c"cuInit",
    c"cuDriverGetVersion",
    c"cuGetErrorName",
    c"cuGetErrorString",
    c"cuDeviceGet",
    c"cuDeviceGetCount",
    c"cuDeviceGetName",
    c"cuDeviceGetAttribute",
    c"cuDeviceTotalMem_v2",
    c"cuDevicePrimaryCtxRetain",
    c"cuDevicePrimaryCtxRelease_v2",
    c"cuCtxSetCurrent",
    c"cuCtxGetCurrent",
    c"cuMemGetInfo_v2",
    c"cuCtxSynchronize",
    c"cuDeviceGetDefaultMemPool",
    c"cuMemPoolSetAttribute",
    c"cuModuleLoadData",
    c"cuModuleUnload",
    c"cuModuleGetFunction",
    c"cuStreamCreate",
    c"cuStreamDestroy_v2",
    c"cuStreamSynchronize",
    c"cuStreamWaitEvent",
    c"cuEventCreate",
    c"cuEventDestroy_v2",
    c"cuEventRecord",
    c"cuMemAlloc_v2",
    c"cuMemAllocAsync",
    c"cuMemFree_v2",
    c"cuMemFreeAsync",
    c"cuMemcpyHtoDAsync_v2",
    c"cuMemcpyDtoHAsync_v2",
    c"cuMemsetD8Async",
    c"cuLaunchKernel",
];

/// Looks for the driver's library as cudarc will, and keeps it open.
pub(super) fn find() -> LibrarySearch {
    let mut search = LibrarySearch::default();
    let (source, name) = (Source::SystemLoader, "libcuda.so.1");
    let check = |library: &Shared| {
        requires(library, &FUNCTIONS)?;
        let mut number: c_int = 0;
        // SAFETY: the library has the function, and needs no initialisation to run it.
        let result = unsafe { driver::sys::cuDriverGetVersion(&mut number) };
        if result != driver::sys::CUresult::CUDA_SUCCESS {
            return Err(Fault::Mute(result as u32));
        }
        let version = Version::of_driver(number.unsigned_abs());
        if version.major < KNOWN[0] {
            Err(Fault::TooOld(version))
        } else {
            Ok(version)
        }
    };
    match open_by_name("cuda") {
        Err(fault) => search.add(source, name, fault),
        Ok(library) => match check(&library) {
            Err(fault) => search.add(source, name, fault),
            Ok(version) => {
                let function = library.function(FUNCTIONS[0]);
                search.found = Some(Library {
                    source,
                    path: function
                        .and_then(shared::file_of)
                        .unwrap_or_else(|| name.into()),
                    version,
                    chosen: None,
                });
                library.keep();
            }
        },
    }
    search
}
