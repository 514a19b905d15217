//! The stand-in for NVIDIA's driver and cuBLAS, built from `tests/fake_cuda` by the system's C++ compiler. The kernels' tests include this file too.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::skip::skipped;

/// The sources of the driver, beside `kernels/`.
const DRIVER: [&str; 5] = [
    "driver.cpp",
    "memory.cpp",
    "control.cpp",
    "grid.cpp",
    "kernels.cpp",
];

/// As the kernels are compiled for a GPU: no product is fused with a sum. `longjmp` from stack to stack is not what
/// `_FORTIFY_SOURCE` takes it for.
const DRIVER_FLAGS: [&str; 4] = [
    "-O2",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
    "-Wno-unknown-pragmas",
];

/// The folder with `libcuda.so.1` and `libcublas.so.12`, as it goes into `LD_LIBRARY_PATH`; `None`, said once, where they
/// cannot be built. With `INMERGE_REQUIRE_CXX` set that is a failure.
///
/// They are built by the first test that asks, and again only when something has changed of which they are made.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<Option<PathBuf>, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match compiler() {
        Ok(compiler) => build(&compiler).map(Some),
        Err(why) if env::var_os("INMERGE_REQUIRE_CXX").is_some() => Err(why),
        Err(why) => {
            skipped(&why);
            Ok(None)
        }
    });
    let folder = folder.as_ref().unwrap_or_else(|why| panic!("{why}"));
    folder.as_deref()
}

/// The C++ compiler, or why there is none.
struct Compiler {
    program: OsString,
    /// What it says of itself and of this processor.
    description: Vec<u8>,
}

fn compiler() -> Result<Compiler, String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Err("the stand-in for CUDA is for Linux with glibc".to_owned());
    }
    let program = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let output = Command::new(&program)
        .args(["-march=native", "-dM", "-E", "-x", "c++", "-std=c++17"])
        .args(["-include", "cmath", "/dev/null"])
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(Compiler {
            program,
            description: output.stdout,
        }),
        _ => Err(format!(
            "no C++ compiler, which the stand-in for CUDA needs: {} -march=native fails (CXX names another)",
            program.display()
        )),
    }
}

/// The folder with the libraries, or why they do not compile.
fn build(compiler: &Compiler) -> Result<PathBuf, String> {
    let desk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Several test programs run at once; the first builds, the others wait.
    let lock = File::create(desk.join("fake_cuda.lock")).expect("the target folder is writable");
    lock.lock().expect("the file can be locked");
    let folder = desk.join(format!("fake_cuda-{}", digest(compiler)));
    if !folder.exists() {
        let unfinished = TempDir::new_in(desk).expect("the target folder is writable");
        let driver = unfinished.path().join("libcuda.so.1");
        compile(compiler, &driver, &DRIVER, &DRIVER_FLAGS, &[])?;
        let cublas = unfinished.path().join("libcublas.so.12");
        // No product is fused with a sum, so that results do not depend on what the processor can do.
        let flags = [
            "-O3",
            "-march=native",
            "-ffp-contract=off",
            "-Wl,-rpath,$ORIGIN",
        ];
        compile(compiler, &cublas, &["cublas.cpp"], &flags, &[&driver])?;
        // The names that are tried first, so that no real library is found before these.
        for (library, name) in [(&driver, "libcuda.so"), (&cublas, "libcublas.so")] {
            let link = unfinished.path().join(name);
            symlink(library.file_name().expect("a file"), link).expect("a link can be made");
        }
        fs::rename(unfinished.keep(), &folder).expect("both are in the target folder");
    }
    Ok(folder)
}

fn sources() -> [PathBuf; 2] {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    [project.join("tests/fake_cuda"), project.join("kernels")]
}

/// The SHA-256 of all that the libraries are made of.
fn digest(compiler: &Compiler) -> String {
    let mut files: Vec<PathBuf> = sources()
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("the sources are there"))
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/common/fake_cuda.rs"));
    files.sort();
    let mut sha = Sha256::new_with_prefix(&compiler.description);
    for file in files {
        sha.update(file.as_os_str().as_encoded_bytes());
        sha.update(fs::read(&file).expect("the sources can be read"));
    }
    let digest = sha.finalize();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn compile(
    compiler: &Compiler,
    library: &Path,
    sources_of_it: &[&str],
    flags: &[&str],
    libraries: &[&Path],
) -> Result<(), String> {
    let [folder, _] = sources();
    let name = library.file_name().expect("a file").display();
    let mut command = Command::new(&compiler.program);
    command
        .args(["-std=c++17", "-fPIC", "-shared", "-pthread"])
        .args(["-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .arg(format!("-Wl,-soname,{name}"))
        .arg("-o")
        .arg(library)
        .args(sources_of_it.iter().map(|source| folder.join(source)))
        .args(libraries);
    let output = command.output().expect("the compiler starts");
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}\n{messages}"))
}
