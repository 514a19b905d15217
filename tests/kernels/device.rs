//! Kernels launched directly, and memory for them.

use std::ffi::{CString, c_char, c_void};
use std::marker::PhantomData;
use std::sync::OnceLock;

use bytemuck::{AnyBitPattern, NoUninit};
use libloading::Library;

use crate::fake_cuda;

type Allocate = unsafe extern "C" fn(usize) -> *mut u8;
type Free = unsafe extern "C" fn(*mut u8);
type Launch = unsafe extern "C" fn(*const c_char, u32, u32, u32, *const *const c_void) -> bool;

/// The stand-in's device.
pub struct Device {
    allocate: Allocate,
    free: Free,
    launch: Launch,
}

impl Device {
    /// The device; `None` where it cannot be built.
    pub fn get() -> Option<&'static Self> {
        static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
        let open = || {
            let path = fake_cuda::folder()?.join("libcuda.so.1");
            // SAFETY: the library's initialisers set up its own state and nothing else; it stays loaded.
            let library = Box::leak(Box::new(unsafe { Library::new(path) }.expect("it loads")));
            // SAFETY: these are the functions' types in driver.cpp.
            unsafe {
                Some(Device {
                    allocate: *library.get::<Allocate>(b"fake_allocate").expect("exported"),
                    free: *library.get::<Free>(b"fake_free").expect("exported"),
                    launch: *library.get::<Launch>(b"fake_launch").expect("exported"),
                })
            }
        };
        DEVICE.get_or_init(open).as_ref()
    }

    /// Memory with these numbers.
    pub fn upload<T: NoUninit>(&self, numbers: &[T]) -> Buffer<'_, T> {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        let buffer = self.fresh(numbers.len());
        // SAFETY: it has room for them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.address, bytes.len()) };
        buffer
    }

    /// Memory for so many numbers, of bytes 0xab.
    pub fn fresh<T>(&self, len: usize) -> Buffer<'_, T> {
        // SAFETY: any size will do.
        let address = unsafe { (self.allocate)(len * size_of::<T>()) };
        Buffer {
            device: self,
            address,
            len,
            of: PhantomData,
        }
    }

    /// Runs a kernel to its end. The arguments must be those of the kernel.
    pub fn launch(&self, name: &str, grid: [usize; 2], block: u32, arguments: &[&dyn Argument]) {
        let name = CString::new(name).expect("no zero byte");
        let places: Vec<_> = arguments.iter().map(|argument| argument.place()).collect();
        let [x, y] = grid.map(|blocks| u32::try_from(blocks).expect("a grid"));
        // SAFETY: there is an argument of the right type for each of the kernel's parameters (the tests see to that), and
        // the stand-in's memory outlives the call.
        let is_known = unsafe { (self.launch)(name.as_ptr(), x, y, block, places.as_ptr()) };
        assert!(is_known, "no kernel {name:?}");
    }
}

/// Device memory; freed, and its surroundings looked at, when dropped.
pub struct Buffer<'d, T> {
    device: &'d Device,
    address: *mut u8,
    len: usize,
    of: PhantomData<T>,
}

impl<T: AnyBitPattern> Buffer<'_, T> {
    /// What it holds.
    pub fn read(&self) -> Vec<T> {
        // SAFETY: it has so many numbers, which may be any bits and have been initialised when they were allocated.
        unsafe { std::slice::from_raw_parts(self.address.cast::<T>(), self.len) }.to_vec()
    }
}

impl<T> Drop for Buffer<'_, T> {
    fn drop(&mut self) {
        // SAFETY: allocated by this device and freed once.
        unsafe { (self.device.free)(self.address) };
    }
}

/// An argument of a kernel.
pub trait Argument {
    /// Where its value lies.
    fn place(&self) -> *const c_void;
}

impl<T> Argument for Buffer<'_, T> {
    fn place(&self) -> *const c_void {
        (&raw const self.address).cast()
    }
}

macro_rules! arguments {
    ($($number:ty),*) => {
        $(impl Argument for $number {
            fn place(&self) -> *const c_void {
                std::ptr::from_ref(self).cast()
            }
        })*
    };
}

arguments!(u32, u64, f32, f64);

/// As the kernels write it.
#[derive(Clone, Copy, Debug, bytemuck::NoUninit, bytemuck::AnyBitPattern)]
#[repr(C)]
pub struct OpenPair {
    pub row: u32,
    pub column: u32,
    pub at_most: f32,
    pub undecided: u32,
}
