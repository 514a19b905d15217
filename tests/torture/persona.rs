//! File systems, as which the tracer answers.

use nix::errno::Errno;

use super::calls::FICLONE;
use super::tracer::Call;

/// How the file system under a run behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persona {
    /// As it is.
    Local,
    /// As NFS does: no nameless files, no exchange of names, no locks on what is open for reading only (open(2), rename(2),
    /// flock(2)), no blocks shared, copied by the system or set aside.
    Nfs,
}

impl Persona {
    pub const ALL: [Self; 2] = [Self::Local, Self::Nfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Nfs => "nfs",
        }
    }

    /// What it refuses a call with, whatever else happens.
    pub fn refusal(self, call: &Call) -> Option<Errno> {
        if self == Self::Local {
            return None;
        }
        let arguments = &call.arguments;
        match call.number as libc::c_long {
            libc::SYS_open | libc::SYS_openat => call
                .open_flags()
                .is_some_and(|flags| flags & libc::O_TMPFILE == libc::O_TMPFILE)
                .then_some(Errno::EOPNOTSUPP),
            libc::SYS_renameat2 => (arguments[4] != 0).then_some(Errno::EINVAL),
            libc::SYS_flock => (arguments[1] as i32 & libc::LOCK_EX != 0
                && !call.is_for_writing(arguments[0]))
            .then_some(Errno::EBADF),
            libc::SYS_ioctl => (arguments[1] == FICLONE).then_some(Errno::EOPNOTSUPP),
            libc::SYS_copy_file_range | libc::SYS_fallocate => Some(Errno::EOPNOTSUPP),
            _ => None,
        }
    }
}
