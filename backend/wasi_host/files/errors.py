"""The errors of the system, as guests get them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from wasi_bindings.types import ErrorCode, ErrorCodeException

#: The codes of `wasi:filesystem/types` by the numbers of the system; not every system has all of them.
_NAMES = {
    "EACCES": ErrorCode.ACCESS,
    "EAGAIN": ErrorCode.WOULD_BLOCK,
    "EALREADY": ErrorCode.ALREADY,
    "EBADF": ErrorCode.BAD_DESCRIPTOR,
    "EBUSY": ErrorCode.BUSY,
    "EDEADLK": ErrorCode.DEADLOCK,
    "EDQUOT": ErrorCode.QUOTA,
    "EEXIST": ErrorCode.EXIST,
    "EFBIG": ErrorCode.FILE_TOO_LARGE,
    "EILSEQ": ErrorCode.ILLEGAL_BYTE_SEQUENCE,
    "EINPROGRESS": ErrorCode.IN_PROGRESS,
    "EINTR": ErrorCode.INTERRUPTED,
    "EINVAL": ErrorCode.INVALID,
    "EIO": ErrorCode.IO,
    "EISDIR": ErrorCode.IS_DIRECTORY,
    "ELOOP": ErrorCode.LOOP,
    "EMFILE": ErrorCode.INSUFFICIENT_MEMORY,
    "EMLINK": ErrorCode.TOO_MANY_LINKS,
    "EMSGSIZE": ErrorCode.MESSAGE_SIZE,
    "ENAMETOOLONG": ErrorCode.NAME_TOO_LONG,
    "ENFILE": ErrorCode.INSUFFICIENT_MEMORY,
    "ENODEV": ErrorCode.NO_DEVICE,
    "ENOENT": ErrorCode.NO_ENTRY,
    "ENOLCK": ErrorCode.NO_LOCK,
    "ENOMEM": ErrorCode.INSUFFICIENT_MEMORY,
    "ENOSPC": ErrorCode.INSUFFICIENT_SPACE,
    "ENOTDIR": ErrorCode.NOT_DIRECTORY,
    "ENOTEMPTY": ErrorCode.NOT_EMPTY,
    "ENOTRECOVERABLE": ErrorCode.NOT_RECOVERABLE,
    "ENOTSUP": ErrorCode.UNSUPPORTED,
    "ENOSYS": ErrorCode.UNSUPPORTED,
    "ENOTTY": ErrorCode.NO_TTY,
    "ENXIO": ErrorCode.NO_SUCH_DEVICE,
    "EOVERFLOW": ErrorCode.OVERFLOW,
    "EPERM": ErrorCode.NOT_PERMITTED,
    "EPIPE": ErrorCode.PIPE,
    "EROFS": ErrorCode.READ_ONLY,
    "ESPIPE": ErrorCode.INVALID_SEEK,
    "ETXTBSY": ErrorCode.TEXT_FILE_BUSY,
    "EXDEV": ErrorCode.CROSS_DEVICE,
}
_CODES = {getattr(errno, name): code for name, code in _NAMES.items() if hasattr(errno, name)}


def code(error: OSError) -> ErrorCode:
    """Return the code for an error of the system; one that WASI does not have is `io`."""
    return _CODES.get(error.errno or 0, ErrorCode.IO)


@contextmanager
def answering() -> Iterator[None]:
    """Answer with the code of an OSError that is raised in the block."""
    try:
        yield
    except OSError as error:
        raise ErrorCodeException(code(error)) from None
