"""What a child process creates is for this user alone: files, sockets, shared memory."""

import ctypes
import os

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317  # x86-64, as everything here
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2  # older kernels slow a filtered process down without it
_AUDIT_ARCH_X86_64 = 0xC000003E
_SYS_FCHMOD = 91
_SECCOMP_RET_ALLOW = 0x7FFF0000
_SECCOMP_RET_ERRNO = 0x00050000  # plus the errno; 0 is "done"

UMASK = 0o077
OTHERS = 0o077
"""the mode bits of everybody but the owner"""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
# of `struct seccomp_data`
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24

_libc = ctypes.CDLL(None, use_errno=True)


class _Instruction(ctypes.Structure):
    """`struct sock_filter`: what to do, how many instructions to skip if true or false, and its operand."""

    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


_INSTRUCTIONS = (_Instruction * 8)(
    _Instruction(_LOAD, 0, 0, _ARCHITECTURE),
    _Instruction(_EQUAL, 0, 5, _AUDIT_ARCH_X86_64),
    _Instruction(_LOAD, 0, 0, _NUMBER),
    _Instruction(_EQUAL, 0, 3, _SYS_FCHMOD),
    _Instruction(_LOAD, 0, 0, _SECOND_ARGUMENT),
    _Instruction(_ANY_BIT, 0, 1, OTHERS),
    _Instruction(_RETURN, 0, 0, _SECCOMP_RET_ERRNO),
    _Instruction(_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
)
_PROGRAM = _Program(len(_INSTRUCTIONS), _INSTRUCTIONS)


def keep_files_private() -> None:
    """For a child between fork and exec: nothing that it and its children create is open to other users.

    A umask is not enough. The library with which tritonserver makes its shared memory, which holds prompts and images,
    opens it to everybody by fchmod right after making it, and who opens it then keeps it open; so an fchmod that
    would open a file to others does nothing, and says that it was done.
    """
    os.umask(UMASK)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.syscall(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW, ctypes.byref(_PROGRAM))
