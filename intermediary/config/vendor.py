"""The front-end parts that pages really use, out of the npm packages, and how their names are hashed.

The packages hold hundreds of files (maps, locales, source maps of megabytes) that no page asks for. Only what is
listed here is found, collected and served; a new part is one line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage, Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage

PARTS = {
    "vendor/tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "vendor/htmx.min.js": "htmx.org/dist/htmx.min.js",
    "vendor/sse.min.js": "htmx-ext-sse/dist/sse.min.js",
    "vendor/idiomorph-ext.min.js": "idiomorph/dist/idiomorph-ext.min.js",
    "vendor/echarts.min.js": "echarts/dist/echarts.min.js",
    "vendor/sha3.min.js": "js-sha3/build/sha3.min.js",
}


class VendorStorage(FileSystemStorage):
    """Reads each part from its place in `node_modules` under the short name that pages use."""

    def path(self, name: str) -> str:
        """The file behind a part's name; KeyError for anything that is not listed."""
        return str(Path(settings.BASE_DIR) / "node_modules" / PARTS[name])


class VendorFinder(BaseFinder):
    """Finds the listed parts and nothing else."""

    def check(self, **_kwargs: Any) -> list[Any]:
        """Nothing to check: a missing package shows when a part is collected."""
        return []

    def find(self, path: str, find_all: bool = False, **_kwargs: Any) -> Any:
        """Where a part lies; None (or an empty list) when it is not one of ours."""
        if path not in PARTS:
            return [] if find_all else None
        found = VendorStorage().path(path)
        return [found] if find_all else found

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, Storage]]:
        """Every part, for collectstatic."""
        storage = VendorStorage()
        for name in PARTS:
            yield name, storage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashed names, compressed files. Comments that point to source maps stay as they are: maps are not served."""

    patterns = (("*.css", (r"""(?P<matched>url\((?P<quote>['"]{0,1})\s*(?P<url>.*?)(?P=quote)\))""",)),)
