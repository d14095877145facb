"""Settings from the environment that more than one row of the topology is told."""

#: What every function that writes mail may be told; the brand's name and support's address it has to be told.
MAIL_VARIABLES = (
    *("BRAND_NAME", "BRAND_URL", "BRAND_LOGO_URL", "BRAND_COLOR", "MAIL_FOOTER", "UPGRADE_URL", "SUPPORT_EMAIL"),
    *("MAIL_FROM", "MAIL_REPLY_TO", "LOCALE", "TIMEZONE", "MAIL_MAX_AGE", "MAIL_DISABLED", "MAIL_COLLECTION"),
)
#: What every function that reacts to events may be told.
SUBSCRIBER_VARIABLES = (
    *("STRIPE_API_BASE", "USER_ID_KEY", "MARKETING_KEY", "FIRESTORE_DATABASE", "PAST_DUE_GIVES_ACCESS"),
    *("ACCOUNTS", "ACCOUNT_PHONE", "CLAIMS", "IDENTITY"),
    *("UPGRADE_OFFER_AFTER_DAYS", "OFFERS", "OFFER_PAUSE_DAYS"),
    *MAIL_VARIABLES,
)
