"""Files of a repository, changed whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gitops.errors import GitOpsError


def write(path: Path, content: str | bytes, *, mode: int | None = None) -> None:
    """Write a file whole or not at all. ``mode``: as it is, and 0644 for a new one, unless it is given."""
    write_all({path: content}, mode=mode)


def write_all(contents: Mapping[Path, str | bytes], *, mode: int | None = None) -> None:
    """Write files, each whole or not at all, and the first put in place once the last is written. A symlink stays one."""
    ready: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            target = path.resolve()
            if not target.parent.is_dir():
                raise GitOpsError(f"{path}: there is no folder {path.parent}; make it first")
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            ready.append((Path(temporary), target))
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            existing = target.stat().st_mode & 0o777 if target.exists() else 0o644
            Path(temporary).chmod(existing if mode is None else mode)
        for temporary_path, target in ready:
            temporary_path.replace(target)
    except BaseException:
        for temporary_path, _ in ready:
            temporary_path.unlink(missing_ok=True)
        raise
