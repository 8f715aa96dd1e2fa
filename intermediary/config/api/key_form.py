"""What a person says to get an API key; the password again, since a key outlives the session it was made in."""

import ipaddress
from typing import Any

from django import forms
from django.contrib.auth.models import User

from intermediary.api.tokens import DAYS_MAX, SCOPES


class KeyForm(forms.Form):
    """Checked here for a sentence beside the field; `tokens.issue` checks again."""

    name = forms.CharField(max_length=60, help_text="What uses it, so that you know which one to end.")
    scopes = forms.MultipleChoiceField(
        label="It may", choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple, initial=["read"]
    )
    days = forms.IntegerField(label="Days it lives", min_value=1, max_value=DAYS_MAX, initial=90)
    networks = forms.CharField(
        label="Networks",
        required=False,
        help_text="Where it may be used from, like 203.0.113.0/24, 198.51.100.7. Empty: anywhere.",
    )
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data)
        self.user = user

    def clean_networks(self) -> list[str]:
        """The networks, each as it is written."""
        found = [one.strip() for one in self.cleaned_data["networks"].split(",") if one.strip()]
        for one in found:
            try:
                ipaddress.ip_network(one)
            except ValueError as problem:
                raise forms.ValidationError(f"“{one}” is not a network. Write 203.0.113.0/24.") from problem
        return found

    def clean_password(self) -> str:
        """The password itself is not kept."""
        if not self.user.check_password(self.cleaned_data["password"]):
            raise forms.ValidationError("This is not your password.")
        return ""
