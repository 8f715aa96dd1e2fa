"""Every URL of the platform."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from intermediary.config import live, live_market, status, vault_page
from intermediary.config.api import description, keys
from intermediary.portal import urls as portal
from intermediary.public import signing_in
from intermediary.public import views as public

urlpatterns: list[URLPattern | URLResolver] = [
    path("", public.home, name="home"),
    path("register/", public.register, name="register"),
    path("rulebook/", public.rulebook, {"on_chain": status.rulebook_on_chain}, name="rulebook"),
    path("glossary/", public.glossary, name="glossary"),
    path(
        "status/",
        public.status,
        {
            "chain_facts": status.chain_facts,
            "contracts": status.contracts,
            "doubtful_marks": status.doubtful_marks,
            "unmarked": status.unmarked,
            "scenario_source": status.scenario_source,
            "live_market": live_market.health,
        },
        name="status",
    ),
    path("sign-in/", signing_in.SignIn.as_view(), name="sign_in"),
    path("sign-in/demo/", signing_in.demo_sign_in, name="demo_sign_in"),
    path("sign-out/", signing_in.sign_out, name="sign_out"),
    path("after-sign-in/", signing_in.after_sign_in, name="after_sign_in"),
    path("live/", live.live, name="live"),
    path("verify/", public.verify, name="verify"),
    path("portal/<slug:code>/vault/", vault_page.vault, name="vault"),
    path("portal/<slug:code>/vault/<slug:asset>.json", vault_page.statement, name="vault_statement"),
    path("portal/", include(portal)),
    path("investor/", include("bonds.portal.urls")),
    path("api/", description.page, name="api"),
    path("api/v1/", include("intermediary.config.api.urls")),
    path("account/keys/", keys.keys, name="api_keys"),
    path("account/keys/<uuid:token_id>/revoke/", keys.revoke, name="revoke_api_key"),
    path("admin/", admin.site.urls),
]
handler404 = "intermediary.public.views.not_found"
handler500 = "intermediary.public.views.server_error"
