"""Keeps `customers/{c}`, the index from emails and users to customers, and each user's own list of customers."""

from functions import paths
from functions.as_of import Verdict, facts, judge, stamp, whole
from functions.customer_index import keys_to_change, membership, move
from functions.effects import Decision, Documents, Json, Merge, Reaction, fetch, read
from functions.letters import Letter
from functions.linking import Claim, Source, claims_of, link_fields, met, settle
from functions.mail import compose
from functions.mail.facts import Welcome
from functions.marketing import consent
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import CheckoutSession, Customer, StripeEvent


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to `customer.*` and to completed or paid Checkout Sessions."""
    if event.type.startswith("customer."):
        return _customer_changed(event, settings)
    return _session_seen(event, settings)


def _customer_changed(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    customer_id = event.subject()
    path = paths.customer(customer_id)
    payload = None if event.is_thin else (yield from facts(event, "customer", Customer.of))
    documents = yield from read(path, *paths.index_of_email(payload.email if payload else None))
    stored = documents[path]
    verdict = judge(event, stored)
    ends = event.type == "customer.deleted" and not (stored or {}).get("deleted")
    if (stored or {}).get("deleted") and verdict in {Verdict.APPLY, Verdict.FETCH}:
        verdict = Verdict.STALE
    # Even an event that comes too late to say how the customer is now says who claimed it then.
    claim = _metadata_claim(payload, event.created, settings) if payload else None
    said = consent.said_by_customer(event, payload, settings.marketing_key) if payload else None

    if ends or verdict is Verdict.APPLY:
        customer = payload
    elif verdict is Verdict.FETCH:
        customer = Customer.of((yield from fetch("customer", customer_id)))
        if event.is_thin:
            claim = _metadata_claim(customer, event.created, settings, exact=False)
            said = consent.said_by_customer(event, customer, settings.marketing_key)
    else:
        customer = None
    fields = dict(stored or {})
    if customer is not None or ends:
        fields |= _mirror(None if ends else customer, event) | stamp(event, stored)
    fields |= link_fields(settle(claims_of(stored), claim)) | _marketing(stored, said)
    if fields == stored:
        return Decision("duplicate" if verdict is Verdict.DUPLICATE else "stale")
    letters = _welcome(customer_id, event, fields)
    return (yield from _store(customer_id, stored, fields, documents, letters))


def _session_seen(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    event, session = yield from whole(event, "checkout.session", CheckoutSession.of)
    user_id = session.named_user(settings.user_id_key)
    by: Source = "client_reference_id" if session.client_reference_id else "metadata"
    claim = Claim(user_id=user_id, by=by, at=event.created) if user_id else None
    if session.customer is None:
        return (yield from _guest_seen(event, session, claim))
    path = paths.customer(session.customer)
    documents = yield from read(path, *paths.index_of_user(user_id))
    stored = documents[path]
    fields = dict(stored or {})
    claims = met(claims_of(stored), event.created)
    if (stored or {}).get("as_of") is None:
        # Met for the first time: how it is now, once. Its own events, older or newer, take it from here.
        customer = Customer.of((yield from fetch("customer", session.customer)))
        fields |= _mirror(customer, event) | stamp(event, stored)
        claims = settle(claims, _metadata_claim(customer, event.created, settings, exact=False))
        fields |= _marketing(fields, consent.said_by_customer(event, customer, settings.marketing_key))
    fields |= link_fields(settle(claims, claim)) | _marketing(fields, consent.said_by_session(event, session))
    if fields == stored:
        known = claim in claims or event.identity in fields["as_of_events"]
        return Decision("duplicate") if known else Decision("ignored", reason="nothing new about this customer")
    letters = _welcome(session.customer, event, fields)
    return (yield from _store(session.customer, stored, fields, documents, letters))


def _guest_seen(event: StripeEvent, session: CheckoutSession, claim: Claim | None) -> Reaction:
    """A session without a Customer: the person is known by the address typed, and by the user the session names."""
    guest = paths.guest_customer(session.email, claim.user_id if claim else None, session.id)
    path = paths.customer(guest)
    documents = yield from read(path, *paths.index_of_email(session.email))
    stored = documents[path]
    fields = dict(stored or {})
    # Nothing at Stripe could be fetched to settle a tie between two sessions of one second: the larger id counts.
    newest = (event.created, event.identity) > (fields.get("as_of", 0), max(fields.get("as_of_events", [""])))
    if newest:
        fields |= {
            "email": session.email,
            "name": session.name,
            "phone": session.phone,
            "locale": session.locale,
            "metadata": {},
            "livemode": event.livemode,
            "deleted": False,
        }
    born = session.created or event.created
    fields["created"] = min(fields.get("created") or born, born)
    fields |= stamp(event, stored) | link_fields(settle(claims_of(stored), claim))
    fields |= _marketing(stored, consent.said_by_session(event, session))
    if fields == stored:
        return Decision("duplicate" if event.identity in fields["as_of_events"] else "stale")
    return (yield from _store(guest, stored, fields, documents))


def _marketing(stored: Json | None, said: consent.Statement | None) -> Json:
    """The field that says whether they want offers, where anybody has ever said so."""
    marketing = consent.settle((stored or {}).get("marketing"), said)
    return {"marketing": marketing} if marketing else {}


def _welcome(customer_id: str, event: StripeEvent, fields: Json) -> tuple[Letter, ...]:
    """Said once, as soon as a customer has an address, whichever event brings it; remembered in the fields.

    A customer we merely had not met is not new: the mail is as old as they are.
    """
    facts = Welcome(customer=customer_id, password_url=None)
    if facts.id in fields.get("mails", ()) or not fields.get("email"):
        return ()
    fields["mails"] = sorted([*fields.get("mails", ()), facts.id])
    return (
        Letter(
            facts=facts,
            reader=compose.customer_reader(fields),
            origin=compose.origin(event, customer_id, fields["user_id"]),
            since=fields["created"] or event.created,
        ),
    )


def _store(
    customer_id: str, stored: Json | None, fields: Json, documents: Documents, letters: tuple[Letter, ...] = ()
) -> Reaction:
    """Commit the customer together with every index entry it moves."""
    before, after = membership(stored), membership(fields)
    missing = keys_to_change(before, after) - documents.keys()
    index = {**documents, **((yield from read(*sorted(missing))) if missing else {})}
    changed = {key: value for key, value in fields.items() if stored is None or stored.get(key, _ABSENT) != value}
    effects = (Merge(paths.customer(customer_id), changed), *move(customer_id, before, after, index))
    return Decision("applied", effects, letters=letters)


_ABSENT = object()


def _metadata_claim(customer: Customer, at: int, settings: SubscriberSettings, *, exact: bool = True) -> Claim | None:
    user_id = customer.metadata.get(settings.user_id_key)
    return Claim(user_id=user_id, by="metadata", at=at, exact=exact) if user_id else None


def _mirror(customer: Customer | None, event: StripeEvent) -> Json:
    """The Customer's own fields. A deleted one (or None) keeps its orders and its user, and nothing personal."""
    known = customer if customer and not customer.deleted else None
    return {
        "email": known and known.email,
        "name": known and known.name,
        "phone": known and known.phone,
        "locale": known and known.locale,
        "default_payment_method": known and known.default_payment_method,
        "metadata": paths.as_map(known.metadata) if known else {},
        "created": known and known.created,
        "deleted": known is None,
        "livemode": event.livemode,
    }
