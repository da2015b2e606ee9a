"""`PUT /v1/customers/{id}`: the facts of a customer, checked against the vocabulary before they are stored."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from engine.ports import EventLog, NewRecord, PortError
from engine.values import Millis
from engine.vocabulary import LONGEST_ID
from service.api.call import IDEMPOTENCY_KEY, Answer, Call, Endpoint, Parameter
from service.api.problems import ProblemError
from service.api.schema import LARGEST_PROFILE, CustomerAnswer, CustomerRequest, Warned
from service.api.services import Services
from service.keys import Scope

TELL_MS: Millis = 5_000

_request = msgspec.json.Decoder(CustomerRequest)
_encode = msgspec.json.Encoder(order="deterministic").encode


async def put_customer(services: Services, call: Call) -> Answer:
    """Replace a customer's facts; sessions see them at their next event or decision."""
    rules = services.live()
    customer_id = call.parameters["customer_id"]
    if not 0 < len(customer_id) <= LONGEST_ID or not customer_id.isprintable():
        detail = f"No customer has this id: it would have 1 to {LONGEST_ID} printable characters."
        raise ProblemError("not-found", detail, field="customer_id")
    raw = call.read(_request).facts
    if len(raw) > LARGEST_PROFILE:
        raise ProblemError("invalid-field", f"{len(raw)} facts, at most {LARGEST_PROFILE} are taken.", field="/facts")
    known, refused = rules.profile.read(raw)
    wrong = [each for each in refused if each.code != "unknown-fact"]
    if wrong:
        raise ProblemError("invalid-field", f"{wrong[0].message}.", field=f"/facts/{wrong[0].field}")
    call.timing.mark("check")
    # As sent, facts that the vocabulary does not declare included: a later revision may declare them.
    await services.in_thread(services.profiles.put, {customer_id: _encode(raw)})
    call.timing.mark("store")
    warnings = tuple(Warned(f"/facts/{each.field}", each.code, f"{each.message}.") for each in refused)
    return Answer(CustomerAnswer(customer_id, len(known), warnings))


async def delete_customer(services: Services, call: Call) -> Answer:
    """Forget a customer's facts, and what signing in brought along; logged decisions stay until they are old enough.

    What a topic or a CRM says of them is left out for a while; where there is a topic, it is told.
    """
    customer_id = call.parameters["customer_id"]
    await services.in_thread(services.profiles.forget, [customer_id])
    if services.profile_log is not None:
        await services.in_thread(tell, services.profile_log, customer_id)
    try:
        await services.state.forget_identity(customer_id)
    except PortError as error:
        raise ProblemError("store-unavailable", f"{error}.", retry_after=1) from error
    # Other processes compare what they kept with what is stored before they use it.
    services.evaluations.forget_customer(customer_id)
    services.lately.forget(
        lambda named, found: customer_id in {named, None if found.state is None else found.state.customer_id}
    )
    return Answer(b"", 204)


def tell(connect: Callable[[], EventLog], customer_id: str) -> None:
    """An empty record: the compacted topic lets go of what it knew of the customer, too. Raises `PortError`."""
    log = connect()
    answers: list[PortError | None] = []
    log.append([NewRecord(customer_id, b"")], answers.append)
    log.flush(TELL_MS)
    if not answers:
        raise PortError("the topic of profiles did not answer, so that it still has the customer: delete them again")
    if answers[0] is not None:
        raise answers[0]


_CUSTOMER = (Parameter("customer_id", "path", "The shop's id of the customer.", required=True),)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "PUT",
        "/v1/customers/{customer_id}",
        "putCustomer",
        "Replace the facts of a customer.",
        put_customer,
        {200: (CustomerAnswer, "Stored. A fact that no vocabulary declares yet is kept and named in `warnings`.")},
        scope=Scope.CUSTOMERS,
        request=(CustomerRequest,),
        parameters=(*_CUSTOMER, IDEMPOTENCY_KEY),
        problems=("no-ruleset", "store-unavailable", "not-found"),
    ),
    Endpoint(
        "DELETE",
        "/v1/customers/{customer_id}",
        "deleteCustomer",
        "Forget the facts of a customer, and the sessions that signing in brought along; other systems do not bring them back.",
        delete_customer,
        {204: (None, "They are gone from the profiles.")},
        scope=Scope.CUSTOMERS,
        parameters=_CUSTOMER,
        problems=("store-unavailable",),
    ),
)
