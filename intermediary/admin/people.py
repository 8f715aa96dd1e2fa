"""People: parties, who acts for them, their proved wallets, and the officers themselves."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User

from intermediary.admin.read_only import ReadOnlyAdmin, ReadOnlyInline
from intermediary.models import Affiliation, Cell, Membership, OwnToken, Party, Wallet

# Importing Django's own pages has registered them, before ours can take their place.
assert (type(admin.site._registry[User]), type(admin.site._registry[Group])) == (DjangoUserAdmin, DjangoGroupAdmin)
admin.site.unregister([User, Group])


class MembershipInline(ReadOnlyInline):
    model = Membership
    columns = ("user", "at")
    verbose_name_plural = "people who act for it"


class WalletInline(ReadOnlyInline):
    model = Wallet
    columns = ("address", "proof", "at")


class CellInline(ReadOnlyInline):
    model = Cell
    columns = ("code", "state", "at")
    verbose_name_plural = "relationships"


@admin.register(Party)
class PartyAdmin(ReadOnlyAdmin):
    columns = ("legal_name", "code", "kind", "jurisdiction", "netting_opinion", "recourse", "at")
    search_fields = ("legal_name", "code")
    list_filter = ("kind", "netting_opinion", "recourse")
    ordering = ("code",)
    inlines = (CellInline, MembershipInline, WalletInline)


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    columns = ("address", "party", "at")
    search_fields = ("address", "party__legal_name", "party__code")


@admin.register(Affiliation)
class AffiliationAdmin(ReadOnlyAdmin):
    columns = ("party", "affiliate", "at")
    search_fields = ("party__legal_name", "affiliate__legal_name")


@admin.register(OwnToken)
class OwnTokenAdmin(ReadOnlyAdmin):
    columns = ("party", "underlying", "at")
    search_fields = ("party__legal_name", "underlying")


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    columns = ("username", "first_name", "last_name", "is_staff", "is_active", "last_login")
    search_fields = ("username", "first_name", "last_name")
    list_filter = ("is_staff", "is_active")
    ordering = ("username",)

    def __init__(self, model: type[User], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        seen = ("username", "first_name", "last_name", "is_staff", "is_active", "date_joined", "last_login")
        self._detail = self.shown(seen)  # never the password's hash


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    columns = ("name",)
