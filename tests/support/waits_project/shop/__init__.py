"""The jobs of docs/build/waits.md: an order waits for its payment, and a refund for a person."""

from pydantic import BaseModel

from job_runners.work import Job, Retry, RunningJob, WaitTimedOut

DAY = 24 * 3600  # seconds


class Services:
    """Stands for your payment, warehouse and e-mail services. Replace each print with a call.

    Pass on `key`, so that a service that gets a request again does nothing again. A mail server
    takes no key, so an e-mail may arrive twice if a worker dies while it sends it.
    """

    def request_payment(self, order: str, job_id: str, key: str) -> None:
        """Ask for the payment. `job_id` comes back with the event of the payment."""
        print(f"Payment of order {order} requested: the job {job_id} waits for it")

    def ship(self, order: str, key: str) -> None:
        """Send the parcel."""
        print(f"Order {order} shipped")

    def pay_back(self, order: str, cents: int, key: str) -> None:
        """Send the money back."""
        print(f"{cents} cents of order {order} paid back")

    def mail(self, to: str, text: str) -> None:
        """Send an e-mail."""
        print(f"E-mail sent to {to}")  # without its text: a link must stay out of the log


services = Services()


class Order(BaseModel):
    """An order of a customer."""

    order: str
    customer: str  # an e-mail address


def fulfill(job: RunningJob, payload: Order) -> str:
    """Ship an order once it is paid. Give up after a day."""
    order = payload.order
    job.step("request", lambda: services.request_payment(order, job.id, f"{job.id}/request"))
    try:
        event, _ = job.wait_for_any(["paid", "canceled"], timeout=DAY, label="payment")
    except WaitTimedOut:
        event = "expired"
    if event == "paid":
        job.step("ship", lambda: services.ship(order, f"{job.id}/ship"))
    outcome = "shipped" if event == "paid" else event
    text = f"Your order {order}: {outcome}."
    job.step("tell", lambda: services.mail(payload.customer, text))
    return outcome


class Refund(BaseModel):
    """Money that a customer wants back. An approver decides."""

    order: str
    cents: int
    customer: str  # an e-mail address
    approver: str  # an e-mail address


def refund(job: RunningJob, payload: Refund) -> str:
    """Refund an order if the approver agrees within a week."""
    order, cents = payload.order, payload.cents
    question = f"Refund {cents} cents for order {order}?"
    url = job.signal_url("approval", text=question, choices=("approve", "reject"), timeout=7 * DAY)
    job.step("ask", lambda: services.mail(payload.approver, f"{question} {url}"))
    try:
        answer = job.wait_for("approval", timeout=7 * DAY)
    except WaitTimedOut:
        answer = "reject"
    if answer == "approve":
        job.step("pay back", lambda: services.pay_back(order, cents, f"{job.id}/pay back"))
    outcome = "refunded" if answer == "approve" else "refused"
    text = f"Your refund for order {order}: {outcome}."
    job.step("tell", lambda: services.mail(payload.customer, text))
    return outcome


JOBS = {
    "fulfill": Job(fulfill, retry=Retry(max_attempts=5)),
    "refund": Job(refund, retry=Retry(max_attempts=5)),
}
