"""Files: HDF5, its locks, and what the current folder lies on."""

from __future__ import annotations

import os
import re
from pathlib import Path

from outcore.budget import format_bytes
from outcore.cli.checks.finding import Finding

LOCKING = "HDF5_USE_FILE_LOCKING"
#: File systems on other machines: locks may be missing, mapped files may be stale.
REMOTE = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "lustre", "gpfs", "beegfs", "ceph", "glusterfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
)
SCARCE_SHARE = 0.02


def hdf5() -> Finding:
    """Tell the versions of h5py and HDF5."""
    import h5py

    figures = {"h5py": h5py.version.version, "hdf5": h5py.version.hdf5_version}
    return Finding("HDF5", f"{figures['hdf5']}, h5py {figures['h5py']}", figures=figures)


def hdf5_locking() -> Finding:
    """Tell whether HDF5 locks the files that it opens, and whether it can here."""
    setting, kind = os.environ.get(LOCKING), file_system_of(os.getcwd())[1]
    figures = {LOCKING: setting, "file_system": kind}
    name, text = "HDF5 locking", f"{LOCKING}={setting}" if setting else f"on ({LOCKING} is not set)"
    if kind in REMOTE and (setting or "").upper() not in ("FALSE", "0", "BEST_EFFORT"):
        advice = f'if files here do not open, "unable to lock file": export {LOCKING}=FALSE'
        return Finding(name, f"{text}, on {kind}", advice, "warn", figures)
    return Finding(name, text, figures=figures)


def current_folder() -> Finding:
    """Tell what kind of file system the current folder is on, and how much room it has."""
    mount, kind = file_system_of(os.getcwd())
    room = os.statvfs(".")
    size, free = room.f_frsize * room.f_blocks, room.f_frsize * room.f_bavail
    figures = {"file_system": kind, "mount": mount, "size_bytes": size, "free_bytes": free}
    name, text = "current folder", f"{kind} at {mount}, {format_bytes(free)} free of {format_bytes(size)}"
    if kind in REMOTE:
        advice = "random reads over the network are slow, and locks may fail: work on a copy on local disk"
    elif kind == "overlay":
        advice = "the layer of a container: slow to write, and gone with it; mount a volume: docker run -v"
    elif kind in ("tmpfs", "ramfs"):
        advice = "files here take memory: write large arrays to a disk"
    elif free < SCARCE_SHARE * size:
        advice = "nearly full: a new array needs its whole size here before it gets its name"
    else:
        return Finding(name, text, figures=figures)
    return Finding(name, text, advice, "warn", figures)


def file_system_of(folder: str, mountinfo: str = "/proc/self/mountinfo") -> tuple[str, str]:
    """Return where the file system of a folder is mounted, and its kind."""
    found = "/", "unknown"
    try:
        lines = Path(mountinfo).read_text(errors="replace").splitlines()
    except FileNotFoundError:  # not Linux
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        mount, kind = _unescape(before.split()[4]), after.split()[0]
        inside = folder == mount or folder.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(found[0]):  # of several on one place the last is the one that is seen
            found = mount, kind
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
