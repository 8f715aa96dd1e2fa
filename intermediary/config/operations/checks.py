"""What `manage.py check --deploy` asks beside Django's own questions: that the environment of this process is whole, by
its database role, and that secrets lie in files that nobody else reads. Chains and keys: `settlement/checks.py`.

Every process of the role worker is asked for what the most demanding of them needs; they share one environment.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from intermediary.config.operations.notices import LOOPBACK

SERVING = ("web", "worker")  # roles whose processes answer people, or write to them
STATED = ("METRICS_TOKEN_FILE", "ALARM_WEBHOOK_SECRET_FILE")
SECRETS = ("SECRET_KEY", "BROKER_URL", "CHAIN_RPC_URLS", "EMAIL_HOST_PASSWORD")  # each with _FILE behind its name


@register(Tags.security, deploy=True)
def production_is_whole(app_configs: object, **_: object) -> list[CheckMessage]:
    """Everything of ours that a deployment must have."""
    return [*_environment(), *_alarms(), *_files()]


def _environment() -> Iterator[CheckMessage]:
    if settings.MODE != "production":
        yield Warning(f"BULKHEAD_MODE is {settings.MODE}: demo keys and a demo clock.", id="bulkhead.W001")
        return
    database = settings.DATABASES["default"]
    if not database["USER"]:
        yield Error(f"{settings.DATABASE_ROLES[settings.DATABASE_ROLE]} is not set.", id="bulkhead.E001")
    if settings.DATABASE_ROLE == "worker" and not settings.CELERY_BROKER_URL:
        yield Error("BROKER_URL is not set.", id="bulkhead.E002")
    if settings.DATABASE_ROLE not in SERVING:
        return
    if not settings.HOUSE_SIGNERS:
        yield Error("HOUSE_SIGNERS is empty: no terms could be signed for the house.", id="bulkhead.E003")
    if set(settings.ALLOWED_HOSTS) & {"*", "localhost", "127.0.0.1"}:
        yield Error("ALLOWED_HOSTS names this machine or everything, not the public name.", id="bulkhead.E004")
    if not settings.PUBLIC_URL.startswith("https://"):
        yield Error("PUBLIC_URL is not an https address: links in notices lead nowhere.", id="bulkhead.E005")


def _alarms() -> Iterator[CheckMessage]:
    if settings.MODE != "production":
        return
    if settings.DATABASE_ROLE == "web" and not settings.METRICS_TOKEN_FILE:
        yield Warning("METRICS_TOKEN_FILE is not set: /metrics answers nobody.", id="bulkhead.W002")
    if settings.DATABASE_ROLE != "worker":
        return
    if not settings.ALARM_WEBHOOK_URL and not settings.ALARM_EMAIL_TO:
        yield Warning("Alarms go nowhere but into the log (ALARM_WEBHOOK_URL, ALARM_EMAIL_TO).", id="bulkhead.W003")
    if settings.ALARM_WEBHOOK_URL:
        parts = urlsplit(settings.ALARM_WEBHOOK_URL)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            yield Error("ALARM_WEBHOOK_URL is not https.", id="bulkhead.E006")
        if not settings.ALARM_WEBHOOK_SECRET_FILE:
            yield Error("ALARM_WEBHOOK_SECRET_FILE is not set: nobody could tell our notices.", id="bulkhead.E007")


def _named() -> Iterator[tuple[str, str]]:
    """Every file with a secret that this environment names: addresses, tokens, keystores and their passwords."""
    found = {name: str(getattr(settings, name)) for name in STATED}
    ours = {f"{name}_FILE" for name in (*SECRETS, *settings.DATABASE_ROLES.values())} | {"CHAINS_FILE"}
    for name, path in os.environ.items():
        if name in ours or (name.startswith("SETTLEMENT_") and name.endswith(("_FILE", "_KEYSTORE"))):
            found[name] = path
    for name, chain in settings.CHAINS.items():
        found[f"rpc_urls_file of chain {name}"] = chain.get("rpc_urls_file", "")
    return ((name, path) for name, path in sorted(found.items()) if path)


def _files() -> Iterator[CheckMessage]:
    for name, path in _named():
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            yield Error(f"{name}: {error.strerror} ({path}).", id="bulkhead.E008")
            continue
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            yield Error(f"{name}: everybody on this machine may read {path}.", id="bulkhead.E009")
