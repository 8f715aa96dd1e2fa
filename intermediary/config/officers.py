"""Who is an officer: active staff in one group that may look at every table of the platform, and nothing more.

What an officer may decide is not a permission of a table: commands ask `access.require_officer`, and the database
refuses a maker as checker. Nobody needs to be a superuser.
"""

from django.contrib.auth.models import Group, Permission, User

GROUP = "Risk officers"
APPS = ("intermediary", "risk", "bonds", "settlement", "config")


def ensure_officer_group() -> Group:
    """The group with the view permission of every table of ours, and of users; harmless when repeated."""
    group, _ = Group.objects.get_or_create(name=GROUP)
    ours = Permission.objects.filter(content_type__app_label__in=APPS, codename__startswith="view_")
    people = Permission.objects.filter(content_type__app_label="auth", codename__in=["view_user", "view_group"])
    group.permissions.add(*ours, *people)
    return group


def make_officer(user: User) -> User:
    """Turn a person into an officer."""
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.groups.add(ensure_officer_group())
    return user
