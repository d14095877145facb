"""Keeps `customers/{c}`, the index from emails and users to customers, and each user's own list of customers."""

from functions import paths
from functions.as_of import Verdict, facts, judge, stamp, whole
from functions.effects import Decision, Json, Reaction, fetch, read
from functions.letters import Letter
from functions.linking import Claim, Source, link_fields, met, settle
from functions.mail import compose
from functions.marketing import consent
from functions.ownership import Change, claims_kept, store, told_of_conflicts
from functions.settings.subscriber import SubscriberSettings
from functions.stripe_events import CheckoutSession, Customer, StripeEvent
from functions.welcome import welcome


def react(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    """React to `customer.*` and to completed or paid Checkout Sessions."""
    if event.type.startswith("customer."):
        return _customer_changed(event, settings)
    return _session_seen(event, settings)


def _customer_changed(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    customer_id = event.subject()
    path = paths.customer(customer_id)
    payload = None if event.is_thin else (yield from facts(event, "customer", Customer.of))
    # Even an event that comes too late to say how the customer is now says who claimed it then.
    claim = _metadata_claim(payload, event.created, settings, exact=not event.is_seen) if payload else None
    # Whoever claims it may have to be compared with others first, and a repetition is not to cost three reads.
    ahead = paths.index_of_email(payload.email) if payload and claim is None else ()
    documents = yield from read(path, *ahead)
    stored = documents[path]
    verdict = judge(event, stored)
    ends = event.type == "customer.deleted" and not (stored or {}).get("deleted")
    if (stored or {}).get("deleted") and verdict in {Verdict.APPLY, Verdict.FETCH}:
        verdict = Verdict.STALE
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
    before = after = (yield from claims_kept(customer_id, stored)) if claim else ()
    if claim or "user_id" not in fields:
        after = settle(before, claim)
        fields |= link_fields(after)
    fields |= _marketing(stored, said)
    if fields == stored and after == before:
        return Decision("duplicate" if verdict is Verdict.DUPLICATE else "stale")
    change = Change(customer=customer_id, stored=stored, fields=fields, before=before, after=after)
    return (yield from store(change, documents, _letters(change, event, settings)))


def _session_seen(event: StripeEvent, settings: SubscriberSettings) -> Reaction:
    event, session = yield from whole(event, "checkout.session", CheckoutSession.of)
    user_id = session.named_user(settings.user_id_key)
    by: Source = "client_reference_id" if session.client_reference_id else "metadata"
    claim = Claim(user_id=user_id, by=by, at=event.created) if user_id else None
    if session.customer is None:
        return (yield from _guest_seen(event, session, claim))
    path = paths.customer(session.customer)
    documents = yield from read(path)
    stored = documents[path]
    fields = dict(stored or {})
    before = yield from claims_kept(session.customer, stored)
    claims = met(before, event.created)
    if (stored or {}).get("as_of") is None:
        # Met for the first time: how it is now, once. Its own events, older or newer, take it from here.
        customer = Customer.of((yield from fetch("customer", session.customer)))
        fields |= _mirror(customer, event) | stamp(event, stored)
        claims = settle(claims, _metadata_claim(customer, event.created, settings, exact=False))
        fields |= _marketing(fields, consent.said_by_customer(event, customer, settings.marketing_key))
    after = settle(claims, claim)
    fields |= link_fields(after) | _marketing(fields, consent.said_by_session(event, session))
    if fields == stored and after == before:
        known = claim in claims or event.identity in fields["as_of_events"]
        return Decision("duplicate") if known else Decision("ignored", reason="nothing new about this customer")
    change = Change(customer=session.customer, stored=stored, fields=fields, before=before, after=after)
    return (yield from store(change, documents, _letters(change, event, settings)))


def _guest_seen(event: StripeEvent, session: CheckoutSession, claim: Claim | None) -> Reaction:
    """A session without a Customer: the person is known by the address typed, and by the user the session names."""
    guest = paths.guest_customer(session.email, claim.user_id if claim else None, session.id)
    path = paths.customer(guest)
    documents = yield from read(path, *(paths.index_of_email(session.email) if claim is None else ()))
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
    before = after = (yield from claims_kept(guest, stored)) if claim else ()
    if claim or "user_id" not in fields:
        after = settle(before, claim)
        fields |= link_fields(after)
    fields |= stamp(event, stored)
    fields |= _marketing(stored, consent.said_by_session(event, session))
    if fields == stored and after == before:
        return Decision("duplicate" if event.identity in fields["as_of_events"] else "stale")
    change = Change(customer=guest, stored=stored, fields=fields, before=before, after=after)
    return (
        yield from store(change, documents, told_of_conflicts(change, compose.origin(event, guest, fields["user_id"])))
    )


def _marketing(stored: Json | None, said: consent.Statement | None) -> Json:
    """The field that says whether they want offers, where anybody has ever said so."""
    marketing = consent.settle((stored or {}).get("marketing"), said)
    return {"marketing": marketing} if marketing else {}


def _letters(change: Change, event: StripeEvent, settings: SubscriberSettings) -> tuple[Letter, ...]:
    origin = compose.origin(event, change.customer, change.fields["user_id"])
    conflicts = told_of_conflicts(change, origin)
    if settings.accounts.create:
        # The welcome says how to get into the account then, and whoever makes that says it.
        return conflicts
    return (*conflicts, *welcome(change.fields, origin, event.created, person=change.fields))


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
