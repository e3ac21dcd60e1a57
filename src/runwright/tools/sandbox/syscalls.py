"""The system calls that guests are refused, by name, with their numbers on x86-64 and arm64.

Numbers are those of Linux 6.1 (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Numbers(Struct, frozen=True):
    """The numbers of one system call; None where the architecture does not have it."""

    x86_64: int | None
    aarch64: int | None


LAST: Final = 450
"""The last number that the table below knows about; what came later is unknown to guests."""


def _table(text: str) -> dict[str, Numbers]:
    words = iter(text.split())
    return {
        name: Numbers(*(None if number == "-" else int(number) for number in (x86, arm)))
        for name, x86, arm in zip(words, words, words, strict=True)
    }


FORKS: Final = _table("fork 57 - vfork 58 -")
"""Told to try again later, as under a limit of processes."""

THREADS: Final = _table("clone 56 220")
"""Allowed for a thread of the same process."""

UNKNOWN: Final = _table("clone3 435 435")
"""Told not to exist, so that the C library takes `clone`, whose flags a filter can see."""

REFUSED: Final = _table("""
    ptrace 101 117  process_vm_readv 310 270  process_vm_writev 311 271  process_madvise 440 440
    process_mrelease 448 448  kcmp 312 272  pidfd_open 434 434  pidfd_getfd 438 438  pidfd_send_signal 424 424
    tkill 200 130  rt_sigqueueinfo 129 138  rt_tgsigqueueinfo 297 240
    unshare 272 97  setns 308 268  mount 165 40  umount2 166 39  pivot_root 155 41  chroot 161 51
    fsopen 430 430  fsmount 432 432  fsconfig 431 431  fspick 433 433  move_mount 429 429  open_tree 428 428
    mount_setattr 442 442  open_by_handle_at 304 265  name_to_handle_at 303 264
    fanotify_init 300 262  fanotify_mark 301 263  inotify_init 253 -  inotify_init1 294 26  inotify_add_watch 254 27
    io_uring_setup 425 425  io_uring_enter 426 426  io_uring_register 427 427
    bpf 321 280  perf_event_open 298 241  userfaultfd 323 282  keyctl 250 219  add_key 248 217  request_key 249 218
    init_module 175 105  finit_module 313 273  delete_module 176 106  kexec_load 246 104  kexec_file_load 320 294
    reboot 169 142  swapon 167 224  swapoff 168 225  acct 163 89  quotactl 179 60  quotactl_fd 443 443
    settimeofday 164 170  clock_settime 227 112  clock_adjtime 305 266  adjtimex 159 171
    sethostname 170 161  setdomainname 171 162  syslog 103 116  iopl 172 -  ioperm 173 -  vhangup 153 58
    modify_ldt 154 -  personality 135 92  uselib 134 -  ustat 136 -  sysfs 139 -  _sysctl 156 -  lookup_dcookie 212 18
    nfsservctl 180 42
    shmget 29 194  shmat 30 196  shmctl 31 195  semget 64 190  semop 65 193  semctl 66 191  semtimedop 220 192
    msgget 68 186  msgsnd 69 189  msgrcv 70 188  msgctl 71 187  mq_open 240 180  mq_unlink 241 181
    mq_timedsend 242 182  mq_timedreceive 243 183  mq_notify 244 184  mq_getsetattr 245 185
    memfd_create 319 279  memfd_secret 447 447
    socket 41 198  connect 42 203  bind 49 200  listen 50 201  accept 43 202  accept4 288 242
    setpriority 141 140  sched_setscheduler 144 119  sched_setparam 142 118  sched_setattr 314 274
    sched_setaffinity 203 122  ioprio_set 251 30  migrate_pages 256 238  move_pages 279 239
""")
"""Refused to every guest."""

ATTRIBUTES: Final = _table("""
    chmod 90 -  fchmod 91 52  fchmodat 268 53  chown 92 -  fchown 93 55  lchown 94 -  fchownat 260 54
    setxattr 188 5  lsetxattr 189 6  fsetxattr 190 7  removexattr 197 14  lremovexattr 198 15  fremovexattr 199 16
    utime 132 -  utimes 235 -  utimensat 280 88  futimesat 261 -  truncate 76 45  mknod 133 -  mknodat 259 33
""")
"""Refused where the guest stands among the host's files: Landlock says nothing about attributes of files."""

SIGNALS: Final = _table("kill 62 129  tgkill 234 131")
"""Allowed for the process itself."""

LIMITS: Final = _table("prlimit64 302 261")
"""Allowed for the caller itself, which is process 0."""

OWNERS: Final = _table("fcntl 72 25")
"""Allowed but for F_SETOWN, F_SETSIG and F_SETOWN_EX, which have the kernel signal any process of the same user."""

DEVICES: Final = _table("ioctl 16 29")
"""Allowed but for FIOSETOWN and SIOCSPGRP, which do the same, and TIOCSTI and TIOCLINUX, which type for others."""

PAIRS: Final = _table("socketpair 53 199")
"""Allowed for streams, which event loops wake themselves with. A pair of datagrams could write to any address."""
