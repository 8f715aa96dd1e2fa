"""Who we face: counterparties and investors, the people who act for them, the wallets they proved."""

from django.conf import settings
from django.db import models

from intermediary.models.base import BaseUnitsField, Row


class Party(Row):
    """A legal person. Its kind changes the document pack, never a formula."""

    class Kind(models.TextChoices):
        FUND = "FUND", "Fund"
        CORPORATE = "CORPORATE", "Corporate"
        MARKET_MAKER = "MARKET_MAKER", "Market maker"
        DAO_WRAPPED = "DAO_WRAPPED", "DAO (wrapped)"
        DAO_UNWRAPPED = "DAO_UNWRAPPED", "DAO (unwrapped)"
        FOUNDATION = "FOUNDATION", "Foundation"
        TRUST = "TRUST", "Trust"
        FAMILY_OFFICE = "FAMILY_OFFICE", "Family office"
        INVESTOR = "INVESTOR", "Bond investor"

    class NettingOpinion(models.TextChoices):
        CLEAN = "CLEAN", "Clean"
        REASONED = "REASONED", "Reasoned"
        NONE = "NONE", "None: exposures are gross"

    class Recourse(models.TextChoices):
        FULL = "FULL", "Full"
        CAPPED = "CAPPED", "Capped"
        NONE = "NONE", "None: no threshold, no extension"

    legal_name = models.CharField(max_length=200, unique=True)
    code = models.CharField(max_length=12, unique=True, help_text="anonymous code shown to others")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    jurisdiction = models.CharField(max_length=2, help_text="ISO 3166 country code")
    netting_opinion = models.CharField(max_length=8, choices=NettingOpinion.choices, default=NettingOpinion.CLEAN)
    recourse = models.CharField(max_length=8, choices=Recourse.choices, default=Recourse.FULL)
    recourse_cap_base_units = BaseUnitsField(null=True)  # type: ignore[misc]  # the plugin wants a generic field

    class Meta:
        verbose_name_plural = "parties"

    def __str__(self) -> str:
        return self.legal_name


class Membership(Row):
    """A person who acts for a party."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="memberships")
    party = models.ForeignKey(Party, models.PROTECT, related_name="members")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "party"], name="membership_once")]


class Wallet(Row):
    """An address whose control the party proved by signing the platform's challenge (EIP-712)."""

    party = models.ForeignKey(Party, models.PROTECT, related_name="wallets")
    address = models.CharField(max_length=42, unique=True, help_text="checksummed EVM address")
    proof = models.CharField(max_length=132, help_text="signature of the control challenge")

    def __str__(self) -> str:
        return self.address


class Affiliation(Row):
    """Two parties under common control: an affiliate may not hold the relationship's notes (B3)."""

    party = models.ForeignKey(Party, models.PROTECT, related_name="affiliations")
    affiliate = models.ForeignKey(Party, models.PROTECT, related_name="affiliated_with")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["party", "affiliate"], name="affiliation_once")]


class OwnToken(Row):
    """A coin whose fate is the party's own: it issued the coin, or lives off it. Such a token is worth nothing as its
    margin, nor as that of an affiliate: it falls just when it is needed."""

    party = models.ForeignKey(Party, models.PROTECT, related_name="own_tokens")
    underlying = models.CharField(max_length=12, help_text="as prices and instruments name it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["party", "underlying"], name="own_token_once")]

    def __str__(self) -> str:
        return f"{self.underlying} of {self.party}"
