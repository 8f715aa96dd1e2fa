"""Settings, all from the environment; what is unset gets the safe or the embedded value.

Which database role a process works under is DATABASE_ROLE (architecture: least privilege): the web, the workers, the
poster and the approver each have their own login, and only migrations use the owner's.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF

from intermediary.config.unfold import UNFOLD as UNFOLD  # the officers' admin

BASE_DIR = Path(__file__).resolve().parent.parent.parent
MODE = os.environ.get("BULKHEAD_MODE", "demo")  # demo | production | test
VAR_DIR = Path(os.environ.get("BULKHEAD_VAR", BASE_DIR / "var"))


def secret(name: str, otherwise: str = "") -> str:
    """A secret from the file that `<name>_FILE` names, or from `<name>` itself: a file shows in no list of processes
    and is inherited by no child."""
    path = os.environ.get(f"{name}_FILE", "")
    return Path(path).read_text().strip() if path else os.environ.get(name, otherwise)


SECRET_KEY = secret("SECRET_KEY", "" if MODE == "production" else "demo-only-key-refused-in-production")
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    "intermediary.config",
    "intermediary",
    "risk",
    "bonds",
    "settlement",
    "unfold.apps.BasicAppConfig",
    "intermediary.config.office.apps.OfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
]
MIDDLEWARE = [
    "intermediary.config.operations.probes.ProbesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # for browsers that do not know frame-ancestors
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "intermediary.config.tenancy.DatabaseRoleMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "intermediary.config.tenancy.TenantMiddleware",
    "intermediary.config.refusals.RefusalMiddleware",
]
ROOT_URLCONF = "intermediary.config.urls"
ASGI_APPLICATION = "intermediary.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "intermediary.portal.context.face",
            ],
            "builtins": ["django.templatetags.static", "intermediary.templatetags.display"],
        },
    }
]

DATABASE_ROLES = {
    "owner": "DATABASE_OWNER_URL",  # migrations only
    "web": "DATABASE_URL",
    "worker": "DATABASE_WORKER_URL",
    "poster": "DATABASE_POSTER_URL",
    "approver": "DATABASE_APPROVER_URL",
}
DATABASE_ROLE = os.environ.get("DATABASE_ROLE", "worker")


def database_from_url(url: str) -> dict[str, object]:
    """Django's database dictionary for a postgresql:// URL; an empty URL gives a server that is never reached."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "bulkhead",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "127.0.0.1",
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "options": (
                # A lock held 5 s means someone is stuck; no statement of ours needs 50 s; an open transaction that
                # does nothing for 30 s blocks others for nothing.
                "-c lock_timeout=5s -c statement_timeout=50s -c idle_in_transaction_session_timeout=30s"
            ),
            "application_name": f"bulkhead-{DATABASE_ROLE}",
        },
    }


DATABASES = {"default": database_from_url(secret(DATABASE_ROLES[DATABASE_ROLE]))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Addresses whose keys sign terms for the house. In a demo or a test the first well-known account of the demo chain.
HOUSE_SIGNERS = [address for address in os.environ.get("HOUSE_SIGNERS", "").split(",") if address]
if not HOUSE_SIGNERS and MODE != "production":
    HOUSE_SIGNERS = ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]

CELERY_BROKER_URL = secret("BROKER_URL")
# Addresses of nodes hold the keys of whoever runs them: secrets, in files of their own where they are.
CHAIN_RPC_URLS = [url for url in secret("CHAIN_RPC_URLS").replace(",", " ").split() if url]
# The chain that clients' own wallets must be on; 0: not stated, and pages then offer plain addresses only, while no
# process of settlement starts. A node of another chain is refused by name.
CHAIN_ID = int(os.environ.get("CHAIN_ID") or (0 if MODE == "production" else 31337))
CHAIN_FINALITY = os.environ.get("CHAIN_FINALITY", "finalized")  # the tag of the last final block, where there is one
CHAIN_CONFIRMATIONS = int(os.environ.get("CHAIN_CONFIRMATIONS") or 0)  # blocks above a final one, at least
CHAIN_TIP_WEI = int(os.environ.get("CHAIN_TIP_WEI") or 10**9)  # what makers of blocks take at once
CHAIN_FEE_CAP_WEI = int(os.environ.get("CHAIN_FEE_CAP_WEI") or 500 * 10**9)  # dearer than any calm hour of mainnet
CHAIN_TOKENS = dict(pair.split("=") for pair in os.environ.get("CHAIN_TOKENS", "").split(",") if pair)  # USDC=0x...
# Several chains: a JSON file of name -> the same settings (docs/chains.md); the first is what is meant unnamed.
CHAINS = json.loads(Path(os.environ["CHAINS_FILE"]).read_text()) if os.environ.get("CHAINS_FILE") else {}
for _chain in CHAINS.values():
    if _chain.get("rpc_urls_file"):
        _chain["rpc_urls"] = Path(_chain["rpc_urls_file"]).read_text().replace(",", " ").split()
CHAIN_ID = int(next(iter(CHAINS.values()))["id"]) if CHAINS else CHAIN_ID
# Where the demo's wallet process answers the portal's pages; nothing else answers there, and nowhere but in the demo.
DEMO_WALLET_URL = os.environ.get("DEMO_WALLET_URL", "") if MODE == "demo" else ""
# Where the market comes from: "replay" of recorded days, or "live" from the exchanges. A replay moves the platform's
# clock, so a demo's world, whose clock is one, has no other market.
MARKET_FEED = os.environ.get("MARKET_FEED") or ("live" if MODE == "production" else "replay")
MARKET_FEED_SECONDS = float(os.environ.get("MARKET_FEED_SECONDS") or 10)  # between two looks at the exchanges
# How often everybody pays or is paid variation margin. In a replay at every bar; the market of today moves every few
# seconds, and a payment is a transaction on chain.
VARIATION_CYCLE = timedelta(
    minutes=float(os.environ.get("VARIATION_CYCLE_MINUTES") or (240 if MARKET_FEED == "live" else 0))
)
MARKET_MIRROR = os.environ.get("MARKET_MIRROR", "")  # base URL asked in place of the exchanges
MARKET_HISTORY_DIR = Path(os.environ.get("MARKET_HISTORY_DIR", BASE_DIR / "var" / "history"))

# Operations (docs/operations.md). Processes that must say that they live; in a test none runs but those it starts.
_PROCESSES = "feed,watcher,poster,approver,worker-risk,worker-settlement" + (",miner" if MODE == "demo" else "")
OPERATIONS_PROCESSES = os.environ.get("OPERATIONS_PROCESSES", "" if MODE == "test" else _PROCESSES).split(",")
OPERATIONS_PROCESSES = [name for name in OPERATIONS_PROCESSES if name]
OPERATIONS_LIMITS = json.loads(os.environ.get("OPERATIONS_LIMITS") or "{}")  # limits of alarms that are not the usual
METRICS_TOKEN_FILE = os.environ.get("METRICS_TOKEN_FILE", "")  # whoever has the token in it may read /metrics
# Where alarms go beside the log: a URL that takes signed messages, and people. Links in them begin with PUBLIC_URL.
ALARM_WEBHOOK_URL = os.environ.get("ALARM_WEBHOOK_URL", "")
ALARM_WEBHOOK_SECRET_FILE = os.environ.get("ALARM_WEBHOOK_SECRET_FILE", "")
ALARM_EMAIL_TO = [address for address in os.environ.get("ALARM_EMAIL_TO", "").split(",") if address]
PUBLIC_URL = os.environ.get("PUBLIC_URL", "").rstrip("/")
EMAIL_HOST, EMAIL_PORT = os.environ.get("EMAIL_HOST", "localhost"), int(os.environ.get("EMAIL_PORT") or 25)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_USER", ""), secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS", "") == "1"
EMAIL_TIMEOUT = 10  # seconds; a mail server that takes longer is tried again later
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("EMAIL_FROM", "bulkhead@localhost")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "intermediary.config.vendor.VendorFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "intermediary.config.vendor.StaticStorage"},
}

AUTHENTICATION_BACKENDS = ["intermediary.config.tenancy.Backend"]
SESSION_ENGINE = "intermediary.config.sessions"
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/after-sign-in/"
LOGOUT_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 12 * 3600  # absolute life of a session
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if MODE == "production":
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
}

# The API for programs.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["intermediary.config.api.letting_in.Bearer"],
    "DEFAULT_PERMISSION_CLASSES": ["intermediary.config.api.letting_in.MayDo"],
    "DEFAULT_THROTTLE_CLASSES": [f"intermediary.config.api.pace.{name}" for name in ("Anonymous", "Reads", "Writes")],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["intermediary.config.api.reading.BoundedJson"],
    "DEFAULT_SCHEMA_CLASS": "intermediary.config.api.described.Described",
    "EXCEPTION_HANDLER": "intermediary.config.api.problems.told",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Bulkhead",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_URLCONF": "intermediary.config.urls",
}
