"""The build backend: scikit-build-core; a source distribution also gets the engine's sources, in the folder engine/."""

import shutil
from pathlib import Path

from scikit_build_core import build as _build
from scikit_build_core.build import (  # noqa: F401  (the backend's other hooks)
    build_editable,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_wheel,
)

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
NEEDED = ["CMakeLists.txt", "LICENSE", "cmake", "include", "ipc", "core", "workers", "clients/c"]


def build_sdist(sdist_directory, config_settings=None):
    engine = HERE / "engine"
    if engine.exists() or not (ROOT / "core").is_dir():  # unpacked from a source distribution
        return _build.build_sdist(sdist_directory, config_settings)
    try:
        for name in NEEDED:
            source, target = ROOT / name, engine / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        return _build.build_sdist(sdist_directory, config_settings)
    finally:
        shutil.rmtree(engine, ignore_errors=True)
