"""Settings of a test session: those of the platform in mode `test`, with what tests alone may weaken.

Addresses are not known yet when settings load: `conftest.py` starts services only for the tests that ask,
and points the database connection at a fresh database then.
"""

import os

os.environ["BULKHEAD_MODE"] = "test"

from intermediary.config.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # real ones cost 0.3 s a user
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},  # no collected manifest
}
