//! The system calls that may fail, and how they do.
//!
//! What is not in the table cannot fail for want of something or by a disk's fault (signals, identities, memory given back),
//! or its failure says nothing of files.

use nix::errno::Errno::{self, *};

use super::tracer::Call;

/// A system call of the table.
#[derive(Debug)]
pub struct Sort {
    number: libc::c_long,
    pub name: &'static str,
    /// Which argument is a path.
    path: Option<usize>,
    /// What it may answer.
    errors: &'static [Errno],
    /// Whether a signal may interrupt it.
    pub interrupts: bool,
    pub transfer: Option<Transfer>,
    /// Whether it changes something that outlives the process.
    pub changes: bool,
}

/// How much a call is to transfer.
#[derive(Clone, Copy, Debug)]
pub enum Transfer {
    /// The argument counts bytes.
    Bytes(usize),
    /// The argument counts pieces of memory.
    Pieces(usize),
}

const LOOK: &[Errno] = &[EIO, ESTALE, EACCES];
const WHERE: &[Errno] = &[EIO, ENOENT];
const OPEN: &[Errno] = &[EIO, ESTALE, EACCES, EMFILE];
const READ: &[Errno] = &[EIO, ESTALE];
const WRITE: &[Errno] = &[EIO, ENOSPC];
const NAME: &[Errno] = &[EIO, ESTALE, EACCES, ENOSPC];
const REMOVE: &[Errno] = &[EIO, ESTALE, EACCES];
const STATUS: &[Errno] = &[EIO, EPERM];
const LOCK: &[Errno] = &[EIO, ENOLCK];
const DESCRIPTOR: &[Errno] = &[EMFILE];
const MAP: &[Errno] = &[ENOMEM, ENODEV];
const THREAD: &[Errno] = &[EAGAIN];
const NONE: &[Errno] = &[];

/// A row of the table: `path`, `transfer` and `!` for what changes the file system follow the errors where they apply.
macro_rules! sorts {
    ($($number:ident $errors:ident $interrupts:literal $path:expr, $transfer:expr, $changes:literal;)*) => {
        &[$(Sort {
            number: libc::$number,
            name: stringify!($number),
            path: $path,
            errors: $errors,
            interrupts: $interrupts,
            transfer: $transfer,
            changes: $changes,
        }),*]
    };
}

const BYTES: Option<Transfer> = Some(Transfer::Bytes(2));
const PIECES: Option<Transfer> = Some(Transfer::Pieces(2));

#[rustfmt::skip]
const SORTS: &[Sort] = sorts! {
    SYS_stat              LOOK       true  Some(0), None, false;
    SYS_lstat             LOOK       true  Some(0), None, false;
    SYS_fstat             LOOK       true  None,    None, false;
    SYS_newfstatat        LOOK       true  Some(1), None, false;
    SYS_statx             LOOK       true  Some(1), None, false;
    SYS_access            LOOK       true  Some(0), None, false;
    SYS_faccessat         LOOK       true  Some(1), None, false;
    SYS_faccessat2        LOOK       true  Some(1), None, false;
    SYS_readlink          LOOK       true  Some(0), None, false;
    SYS_readlinkat        LOOK       true  Some(1), None, false;
    SYS_statfs            LOOK       true  Some(0), None, false;
    SYS_fstatfs           LOOK       true  None,    None, false;
    SYS_getcwd            WHERE      false None,    None, false;
    SYS_open              OPEN       true  Some(0), None, true;
    SYS_openat            OPEN       true  Some(1), None, true;
    SYS_openat2           OPEN       true  Some(1), None, true;
    SYS_creat             OPEN       true  Some(0), None, true;
    SYS_read              READ       true  None,    BYTES, false;
    SYS_pread64           READ       true  None,    BYTES, false;
    SYS_readv             READ       true  None,    PIECES, false;
    SYS_getdents64        READ       true  None,    None, false;
    SYS_lseek             READ       false None,    None, false;
    SYS_write             WRITE      true  None,    BYTES, true;
    SYS_pwrite64          WRITE      true  None,    BYTES, true;
    SYS_writev            WRITE      true  None,    PIECES, true;
    SYS_pwritev           WRITE      true  None,    PIECES, true;
    SYS_copy_file_range   WRITE      true  None,    Some(Transfer::Bytes(4)), true;
    SYS_sendfile          WRITE      true  None,    Some(Transfer::Bytes(3)), true;
    SYS_ftruncate         WRITE      true  None,    None, true;
    SYS_truncate          WRITE      true  Some(0), None, true;
    SYS_fallocate         WRITE      true  None,    None, true;
    SYS_ioctl             WRITE      true  None,    None, true;
    SYS_fsync             WRITE      true  None,    None, true;
    SYS_fdatasync         WRITE      true  None,    None, true;
    SYS_sync_file_range   WRITE      true  None,    None, true;
    SYS_syncfs            WRITE      true  None,    None, true;
    SYS_close             WRITE      false None,    None, true;
    SYS_link              NAME       true  Some(1), None, true;
    SYS_linkat            NAME       true  Some(3), None, true;
    SYS_symlink           NAME       true  Some(1), None, true;
    SYS_symlinkat         NAME       true  Some(2), None, true;
    SYS_mkdir             NAME       true  Some(0), None, true;
    SYS_mkdirat           NAME       true  Some(1), None, true;
    SYS_rename            NAME       true  Some(0), None, true;
    SYS_renameat          NAME       true  Some(1), None, true;
    SYS_renameat2         NAME       true  Some(1), None, true;
    SYS_unlink            REMOVE     true  Some(0), None, true;
    SYS_unlinkat          REMOVE     true  Some(1), None, true;
    SYS_rmdir             REMOVE     true  Some(0), None, true;
    SYS_chmod             STATUS     true  Some(0), None, true;
    SYS_fchmod            STATUS     true  None,    None, true;
    SYS_fchmodat          STATUS     true  Some(1), None, true;
    SYS_fchown            STATUS     true  None,    None, true;
    SYS_fchownat          STATUS     true  Some(1), None, true;
    SYS_utimensat         STATUS     true  Some(1), None, true;
    SYS_flock             LOCK       true  None,    None, false;
    SYS_fcntl             DESCRIPTOR false None,    None, false;
    SYS_dup               DESCRIPTOR false None,    None, false;
    SYS_dup2              DESCRIPTOR false None,    None, false;
    SYS_pipe2             DESCRIPTOR false None,    None, false;
    SYS_socketpair        DESCRIPTOR false None,    None, false;
    SYS_eventfd2          DESCRIPTOR false None,    None, false;
    SYS_epoll_create1     DESCRIPTOR false None,    None, false;
    SYS_memfd_create      DESCRIPTOR false None,    None, false;
    SYS_pidfd_open        DESCRIPTOR false None,    None, false;
    SYS_mmap              MAP        false None,    None, false;
    SYS_clone             THREAD     false None,    None, false;
    SYS_clone3            THREAD     false None,    None, false;
    SYS_fork              THREAD     false None,    None, false;
    SYS_vfork             THREAD     false None,    None, false;
    SYS_poll              NONE       true  None,    None, false;
    SYS_ppoll             NONE       true  None,    None, false;
    SYS_epoll_wait        NONE       true  None,    None, false;
    SYS_wait4             NONE       true  None,    None, false;
    SYS_waitid            NONE       true  None,    None, false;
    SYS_nanosleep         NONE       true  None,    None, false;
    SYS_clock_nanosleep   NONE       true  None,    None, false;
};

/// `ioctl(2)` that has two files share their blocks.
pub const FICLONE: u64 = 0x4004_9409;

impl Sort {
    /// The row for a call, if it is one that is counted.
    ///
    /// Closing counts where the file is open for writing: network file systems tell there that a write failed, and no system
    /// fails to close another. Of `ioctl` and `fcntl` only those count that take blocks or descriptors.
    pub fn of(call: &Call) -> Option<&'static Self> {
        let number = call.number as libc::c_long;
        let sort = SORTS.iter().find(|sort| sort.number == number)?;
        let counts = match number {
            libc::SYS_close => call.is_for_writing(call.arguments[0]),
            libc::SYS_ioctl => call.arguments[1] == FICLONE,
            libc::SYS_fcntl => {
                let duplicates = [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC];
                duplicates.contains(&(call.arguments[1] as i32))
            }
            _ => true,
        };
        counts.then_some(sort)
    }

    /// The row of this name, without `SYS_`.
    pub fn name(&self) -> &'static str {
        &self.name["SYS_".len()..]
    }

    /// The path that a call is about, as it stands in the program's memory.
    pub fn path(&self, call: &Call) -> Option<String> {
        self.path.and_then(|argument| call.text(argument))
    }

    /// What this call may answer.
    pub fn errors(&self, call: &Call) -> Vec<Errno> {
        let mut errors = self.errors.to_vec();
        if call.number as libc::c_long == libc::SYS_mmap && call.arguments[4] as i32 == -1 {
            // Only of a file can it be said that it cannot be mapped.
            errors.retain(|error| *error != ENODEV);
        }
        let creates = libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY;
        if call.open_flags().is_some_and(|flags| flags & creates != 0) {
            errors.push(ENOSPC);
        }
        errors
    }

    /// Whether a failure takes place after the call: what a failed close closes is closed all the same.
    pub fn fails_afterwards(&self) -> bool {
        self.number == libc::SYS_close
    }
}
