"""Where every document lives. The only place that builds Firestore paths from what people typed."""

import hashlib
import unicodedata
from collections.abc import Mapping

#: Firestore refuses longer document ids (1,500 bytes of UTF-8); what is longer keeps its start and gets a digest.
_MAX_ID_BYTES = 1_500
#: Control characters and line ends: an id is always one readable line.
_UNREADABLE = {"Cc", "Zl", "Zp"}
_ESCAPED = {"/": "%2F", "%": "%25"}

#: The collections at the root that are ours, beside the one for mail, whose name is a setting.
COLLECTIONS = frozenset(
    {
        *("customers", "customer_index", "users", "payments", "parked_events", "prices", "addresses", "deliveries"),
        *("sweeps", "budgets", "operations", "notices"),
    }
)


def document_id(text: str) -> str:
    """A document id that equals `text` wherever Firestore allows it, and is unique for each text.

    Firestore forbids `/`, `.`, `..`, ids of the form `__.*__` and more than 1,500 bytes
    (https://cloud.google.com/firestore/quotas#collections_documents_and_fields).
    """
    escaped = "".join(
        _ESCAPED.get(c) or ("".join(f"%{b:02X}" for b in c.encode()) if unicodedata.category(c) in _UNREADABLE else c)
        for c in text.encode("utf-8", "replace").decode()
    )
    if not escaped.strip("."):
        escaped = escaped.replace(".", "%2E")
    if escaped and _is_reserved(escaped):
        escaped = "%5F" + escaped[1:]
    if len(encoded := escaped.encode()) > _MAX_ID_BYTES:
        start = encoded[: _MAX_ID_BYTES - 70].decode("utf-8", "ignore")
        escaped = f"{start}%~{hashlib.sha256(encoded).hexdigest()}"
    return escaped or "%"


def as_map(texts: Mapping[str, str]) -> dict[str, str]:
    """What people named, as a Firestore map: the few names it reserves are escaped, as are those that look so."""
    return {
        document_id(name) if _is_reserved(name) or name.startswith("%") else name: text for name, text in texts.items()
    }


def _is_reserved(name: str) -> bool:
    return not name or (name.startswith("__") and name.endswith("__"))


def normalise_email(email: str | None) -> str | None:
    """The form under which an address is indexed: NFKC, lower case, trimmed. None where nothing is left."""
    return unicodedata.normalize("NFKC", email or "").strip().lower().strip() or None


def guest_customer(email: str | None, user_id: str | None, session: str) -> str:
    """The pseudo customer of a Checkout Session without a Customer.

    One per address, and one per address and user where the session names a user: an address typed at a guest
    checkout is not verified, so a stranger who types mine and names their own user id must not come to own my orders
    (docs/decisions/0004-guests.md). A session without any address is its own guest.
    """
    address = normalise_email(email)
    if address and "\0" in address:
        # No address has one. Where it ends must not be left to what follows: that may be a user who is somebody else.
        address = f"\0{len(address)}\0{address}"
    identity = f"email\0{address}\0{user_id or ''}" if address else f"session\0{session}"
    return f"guest_{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:24]}"


def is_guest(customer_id: str) -> bool:
    """Whether it is a pseudo customer, of whom Stripe knows nothing."""
    return customer_id.startswith("guest_")


def customer(customer_id: str) -> str:
    """`customers/{customer}`: one Stripe Customer, or one guest."""
    return f"customers/{document_id(customer_id)}"


def order(customer_id: str, session: str) -> str:
    """`customers/{customer}/orders/{cs_…}`: one Checkout Session."""
    return f"{customer(customer_id)}/orders/{document_id(session)}"


def subscription(customer_id: str, stripe_subscription: str) -> str:
    """`customers/{customer}/subscriptions/{sub_…}`."""
    return f"{customer(customer_id)}/subscriptions/{document_id(stripe_subscription)}"


def invoice(customer_id: str, invoice_id: str) -> str:
    """`customers/{customer}/invoices/{in_…}`."""
    return f"{customer(customer_id)}/invoices/{document_id(invoice_id)}"


def payment_method(customer_id: str, payment_method_id: str) -> str:
    """`customers/{customer}/payment_methods/{pm_…}`."""
    return f"{customer(customer_id)}/payment_methods/{document_id(payment_method_id)}"


def claims(customer_id: str) -> str:
    """`customers/{customer}/private/claims`: every user who claims the customer, where there is more than one."""
    return f"{customer(customer_id)}/private/claims"


def index_of_email(email: str | None) -> tuple[str, ...]:
    """`customer_index/email:{normalised}`: from an address to its customers. Empty where there is no address."""
    address = normalise_email(email)
    return (f"customer_index/{document_id(f'email:{address}')}",) if address else ()


def index_of_user(user_id: str | None) -> tuple[str, ...]:
    """`customer_index/user:{id}`: from a user to their customers. Empty where there is no user."""
    return (f"customer_index/{document_id(f'user:{user_id}')}",) if user_id else ()


def index_of_customer(customer_id: str) -> str:
    """`customer_index/customer:{id}`: that Stripe was asked for a customer and has none. Others are `customers/{c}`."""
    return f"customer_index/{document_id(f'customer:{customer_id}')}"


def user(user_id: str) -> str:
    """`users/{user}`: the same for the user's own eyes."""
    return f"users/{document_id(user_id)}"


def payment(payment_intent: str) -> str:
    """`payments/{pi_…}`: joins refunds and disputes to orders, whichever arrives first."""
    return f"payments/{document_id(payment_intent)}"


def prices(product: str) -> str:
    """`prices/{prod_…}`: the prices of a product, as Stripe had them within the last day."""
    return f"prices/{document_id(product)}"


def address(email: str | None) -> tuple[str, ...]:
    """`addresses/{hash}`: what holds for an address, whoever's customer it is. Empty where there is no address."""
    return (address_by(address_hash(email)),) if email and normalise_email(email) else ()


def address_by(hashed: str) -> str:
    """`addresses/{hash}`, for whoever knows only the hash."""
    return f"addresses/{hashed}"


def address_hash(email: str) -> str:
    """A name for an address that does not show it, the same for ever."""
    text = f"address\0{normalise_email(email) or ''}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def budget(name: str) -> str:
    """`budgets/{name}`: until when the calls of all instances to somebody who limits their rate are given out."""
    return f"budgets/{document_id(name)}"


def parked_event(event_id: str, function: str) -> str:
    """`parked_events/{event}_{function}`: an event that could not be processed there."""
    return f"parked_events/{document_id(f'{event_id}_{function}')}"


def parked_document(text: str) -> str | None:
    """`parked_events/{id}` for whoever knows only its id, as a message says it. None where the text is no such id."""
    is_id = 0 < len(text.encode("utf-8", "replace")) <= _MAX_ID_BYTES and "/" not in text and text.strip(".")
    return f"parked_events/{text}" if is_id and not _is_reserved(text) else None


def notice(name: str) -> str:
    """`notices/{name}`: what support was last told of, where not each case has a mail of its own."""
    return f"notices/{document_id(name)}"


def operation(name: str) -> str:
    """`operations/{name}`: how far something is that an operator runs."""
    return f"operations/{document_id(name)}"


def mail(collection: str, mail_id: str) -> str:
    """`mail/{id}`: one document of the Trigger Email extension; the id is the fact it reports."""
    return f"{collection}/{document_id(mail_id)}"
