"""Whoever keeps the accounts, as the settings say. Another provider: a file beside this one, and a line here."""

from functions.accounts.settings import IdentitySettings
from functions.identity import IdentityProvider


def identity_provider(settings: IdentitySettings) -> IdentityProvider | None:
    """The provider, with its client loaded. None where nobody keeps accounts that could be asked."""
    if settings.provider == "firebase":
        from functions.adapters.identity_firebase import FirebaseIdentity

        return FirebaseIdentity(settings.project, continue_url=settings.continue_url)
    if settings.provider == "http" and settings.url and settings.token:
        from functions.adapters.identity_http import HttpIdentity

        return HttpIdentity(settings.url, settings.token, continue_url=settings.continue_url)
    return None
