"""The rule `paths` of tools/tidy: which calls take a path, and which files of ours may use them."""

import re

from cpp_reader import without_comments_and_strings
from tidy_tree import Finding

PATH_ROOMS = ("core/", "ipc/", "workers/", "server/", "tools/cli/")
PATH_USERS = {
    "ipc/directory.h": "the one way to touch a directory",
    "ipc/directory.cc": "the one way to touch a directory",
    "ipc/file.h": "files of the system, at paths that it fixes",
    "ipc/file.cc": "files of the system, at paths that it fixes",
    "ipc/process_end.cc": "/proc, where the kernel alone makes names",
    "ipc/process_stand.cc": "/proc, and a process's control group below /sys/fs/cgroup",
    "ipc/session_end.cc": "/proc, as well",
    "core/base/sqlite.cc": "what SQLite is about to open, at a path that leads through a descriptor",
    "ipc/segment.cc": "the kernel's id of this boot, below /proc",
    "server/sockets.cc": "the rights of a socket, by its name below the descriptor of the engine's directory",
    "workers/spool.cc": "a nameless file in a folder for temporary ones, which the system or the user's TMPDIR names",
    "tools/cli/keeper.cc": "/dev/null, and the root folder to stand in",
    "tools/cli/process_start.cc": "/dev/null, in the place of standard descriptors that are closed",
    "tools/cli/job_source.cc": "a file that the user of the command names, which may be a link or a pipe",
}
# Also names of members, so these count with `::` in front of them or with a path as it is handed to the system.
COMMON_CALLS = "access|link|open|remove|rename|stat|truncate|unlink"
PATH_CALLS = (
    "chdir|chmod|chown|creat|euidaccess|faccessat|fchmodat|fchownat|fopen|freopen|fstatat|lchown|linkat|lstat|mkdir"
    "|mkdirat|mkdtemp|mkfifo|mkfifoat|mknod|mknodat|mkostemp|mkstemp|open64|openat|openat2|opendir|readlink|readlinkat"
    "|realpath|renameat|renameat2|rmdir|scandir|statfs|statvfs|statx|symlink|symlinkat|unlinkat|utime|utimensat|utimes"
)
# Our own, of ipc/file.h, which take a path.
OWN_PATH_CALLS = "open_file|read_file"
FILESYSTEM_CALLS = (
    "canonical|copy|copy_file|copy_symlink|create_directories|create_directory|create_directory_symlink"
    "|create_hard_link|create_symlink|directory_iterator|equivalent|exists|file_size|hard_link_count|is_block_file"
    "|is_character_file|is_directory|is_empty|is_fifo|is_other|is_regular_file|is_socket|is_symlink|last_write_time"
    "|permissions|read_symlink|recursive_directory_iterator|remove|remove_all|rename|resize_file|space|status"
    "|symlink_status|weakly_canonical"
)
PATH_USES = [
    re.compile(rf"(?<![\w>])::({COMMON_CALLS}|{PATH_CALLS})\s*\("),
    re.compile(rf"(?<![\w.>:])({COMMON_CALLS})\s*\([^;]*?\.c_str\(\)"),
    re.compile(rf"(?<![\w.>:])({PATH_CALLS})\s*\((?!\))"),
    re.compile(rf"\bstd::(remove|rename|[io]?fstream|fopen|freopen|tmpfile|tmpnam)\b(?=\s*[\w({{])"),
    re.compile(rf"\b(?:fs|filesystem)::({FILESYSTEM_CALLS})\b"),
    re.compile(rf"(?<![\w.>:])({OWN_PATH_CALLS})\s*\((?!\*|\w*[fF]ile\b)"),
]


def path_uses(code):
    """(offset, call) of each use of a path in code without comments and strings."""
    uses = {match.start(1): match.group(1) for pattern in PATH_USES for match in pattern.finditer(code)}
    return sorted(uses.items())


def rule_paths(tree):
    for path in tree.cpp():
        if not path.startswith(PATH_ROOMS) or path in PATH_USERS:
            continue
        code = without_comments_and_strings(tree.texts[path])
        for at, call in path_uses(code):
            text = f"{call} takes a path: ipc/directory.h reaches files through a descriptor"
            yield Finding(path, code.count("\n", 0, at) + 1, "paths", text)
    for path in PATH_USERS:
        if tree.exists("ipc/directory.h") and not tree.exists(path):
            yield Finding("tools/tidy", 1, "paths", f"{path} is allowed to use paths and does not exist")
