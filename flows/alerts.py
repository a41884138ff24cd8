"""Alerts: automations on Prefect's server, which work when the machine that reads is dead.

    FLOWS_ALERT_WEBHOOK=https://hooks.example.com/... python -m flows.alerts
    python -m flows.alerts --test      # the server sends one now

FLOWS_ALERT_WEBHOOK: gets one POST of JSON for each alert; its "text" is what Slack, Mattermost and the like show.
FLOWS_ALERT_EMAIL: an Apprise URL, such as mailtos://user:password@smtp.example.com:587?from=a@example.com&to=b@example.com
(anything else that Apprise knows does as well: slack://, ntfy://, ...). Both are kept as secrets on the server.
FLOWS_ALERT_LATE_MINUTES (10): how late a nightly run may begin.
FLOWS_ALERT_FAILED_SHARE (0.2): which share of failed pages is worth an alert; the flow itself looks at it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import emit_event
from prefect.events.actions import CallWebhook, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.worker import EventsWorker
from pydantic import SecretStr

from flows.recovery import RECOVERED
from flows.turn import AWAITING_RETRY, GAVE_WAY, INTERRUPTED
from flows.view import MANY_FAILED
from flows.view.names import FLOW
from pipeline.errors import ConfigError

WEBHOOK_VARIABLE = "FLOWS_ALERT_WEBHOOK"
EMAIL_VARIABLE = "FLOWS_ALERT_EMAIL"
LATE_VARIABLE = "FLOWS_ALERT_LATE_MINUTES"
CRASH_STAYS = timedelta(minutes=5)
"""A run that crashed is put back into its queue within seconds when its worker lives."""
NAMES = "pagemill alert: "
"""What the names of all automations here begin with."""
TEST_EVENT = "pagemill.alert.test"
_BLOCKS = {"webhook": "pagemill-alert-webhook", "email": "pagemill-alert-email"}
_EVENT = "prefect.flow-run."
_BACK = ("Scheduled", RECOVERED, AWAITING_RETRY, INTERRUPTED, GAVE_WAY)
_GOES_ON = frozenset(_EVENT + name for name in (*_BACK, "Pending", "Running"))
_ENDED = frozenset(_EVENT + name for name in ("Completed", "Failed", "Cancelled", "Cancelling", MANY_FAILED))

Action = CallWebhook | SendNotification


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told, and when."""

    name: str
    trigger: EventTrigger
    subject: str
    """A template, as the next one: without quotation marks."""
    body: str


def alerts(*, late: timedelta) -> Iterator[Alert]:
    """Yield the alerts there are."""
    run = "{{ flow_run.name }}"
    message = "{{ flow_run.state.message }} {% if flow_run|ui_url %}{{ flow_run|ui_url }}{% endif %}"
    yield Alert("a run failed", _when("Failed"), f"FAILED: {run}", message)
    yield Alert(
        "a run crashed and does not go on",
        _unless(_GOES_ON | _ENDED, after="Crashed", within=CRASH_STAYS),
        f"CRASHED: {run}",
        f"Nothing has taken it up again: is there a worker? {message}",
    )
    yield Alert(
        "the nightly run is late",
        _unless((_GOES_ON | _ENDED) - {_EVENT + "Scheduled"}, after="Late", within=late, deployment="nightly"),
        "LATE: {{ deployment.name }} " + run,
        f"No worker has begun it: is one running, and is the pool paused? {message}",
    )
    yield Alert("many pages failed", _when(MANY_FAILED), f"PAGES FAILED: {run}", message)
    test = EventTrigger(expect={TEST_EVENT}, posture=Posture.Reactive, threshold=1)
    yield Alert("test", test, "TEST", "This is what an alert of Pagemill looks like.")


def ensure() -> list[str]:
    """Make or renew the alerts on the server as the environment configures them; return and print what there is.

    What somebody disabled stays disabled. With nothing configured, nothing changes.

    Raises:
        ConfigError: a FLOWS_ALERT_... variable is wrong; its value is not shown.
    """
    channels = list(_channels())
    if not channels:
        return _said([f"No alerts are sent: set {WEBHOOK_VARIABLE} or {EMAIL_VARIABLE} and run this again."])
    late = timedelta(minutes=_late_minutes())
    to = " and ".join(where for _, where, _ in channels)
    with get_client(sync_client=True) as client:
        made = [(kind, save()) for kind, _, save in channels]
        found = {automation.name: automation for automation in _ours(client)}
        lines = []
        for alert in alerts(late=late):
            wanted = _automation(alert, [_action(kind, block, alert) for kind, block in made])
            lines.append(f"Alert {_ensure(client, wanted, found.get(wanted.name))}: {alert.name}, to {to}")
    return _said(lines)


def remove() -> list[str]:
    """Delete the alerts from the server; return and print what was deleted."""
    with get_client(sync_client=True) as client:
        found = _ours(client)
        for automation in found:
            client.delete_automation(automation.id)
    return _said([f"Alert removed: {automation.name}" for automation in found] or ["There were no alerts."])


def send_test() -> None:
    """Have the server send a test alert to wherever the alerts go."""
    emit_event(event=TEST_EVENT, resource={"prefect.resource.id": f"pagemill.alert-test.{time.time_ns()}"})
    EventsWorker.instance().drain()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked on the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.alerts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test", action="store_true", help="have the server send a test alert")
    parser.add_argument("--remove", action="store_true", help="delete the alerts")
    chosen = parser.parse_args(arguments)
    try:
        remove() if chosen.remove else ensure()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if chosen.test:
        send_test()
        _said(["A test alert is on its way; the server's page Event Feed says what became of it."])
    return 0


def _channels() -> Iterator[tuple[str, str, Callable[[], UUID]]]:
    """Yield kind, place without secrets, and what saves it on the server."""
    if url := os.environ.get(WEBHOOK_VARIABLE):
        yield "webhook", f"webhook at {_checked_webhook(url)}", lambda: _save_webhook(url)
    if address := os.environ.get(EMAIL_VARIABLE):
        yield "email", _checked_address(address), lambda: _save_address(address)


def _checked_webhook(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{WEBHOOK_VARIABLE} is no http:// or https:// URL.")
    return parts.hostname


def _checked_address(url: str) -> str:
    from apprise import Apprise

    if "://" not in url or not Apprise().add(url):
        raise ConfigError(
            f"{EMAIL_VARIABLE} is no Apprise URL; write mailtos://user:password@smtp.example.com:587"
            "?from=a@example.com&to=b@example.com, with special characters of the password percent-encoded."
        )
    scheme = urlsplit(url).scheme
    return "e-mail" if scheme.startswith("mailto") else scheme


def _late_minutes() -> float:
    given = os.environ.get(LATE_VARIABLE) or "10"
    try:
        minutes = float(given)
    except ValueError:
        minutes = 0.0
    if not 0.2 <= minutes < 1e6:  # the server's shortest time is 10 s
        raise ConfigError(f"{LATE_VARIABLE} = {given!r}: give a number of minutes, such as 10.")
    return minutes


def _save_webhook(url: str) -> UUID:
    headers: Any = {"Content-Type": "application/json"}
    return _saved(Webhook(url=SecretStr(url), headers=headers), "webhook")


def _save_address(url: str) -> UUID:
    # The one block of the server's own that takes any Apprise URL.
    return _saved(SlackWebhook(url=SecretStr(url), notify_type="warning"), "email")


def _saved(block: Webhook | SlackWebhook, kind: str) -> UUID:
    saved = block.save(_BLOCKS[kind], overwrite=True)
    assert isinstance(saved, UUID)
    return saved


def _action(kind: str, block: UUID, alert: Alert) -> Action:
    if kind == "email":
        return SendNotification(block_document_id=block, subject=f"Pagemill {alert.subject}", body=alert.body)
    fields = {
        "text": _json_template(f"Pagemill {alert.subject}: {alert.body}"),
        "alert": _json_template(alert.name),
        "event": "{{ event.event|tojson }}",
        "occurred": "{{ event.occurred|string|tojson }}",
    }
    if "flow_run" in alert.subject:
        fields |= {
            "run": "{{ flow_run.name|tojson }}",
            "run_id": "{{ flow_run.id|string|tojson }}",
            "state": "{{ flow_run.state.name|tojson }}",
            "message": "{{ flow_run.state.message|tojson }}",
            "url": "{{ flow_run|ui_url|tojson }}",
        }
    payload = ", ".join(f'"{name}": {template}' for name, template in fields.items())
    return CallWebhook(block_document_id=block, payload=f"{{{payload}}}")


def _json_template(template: str) -> str:
    """Return a template whose text comes out as a JSON string, whatever is filled in."""
    return "{% filter tojson %}" + template + "{% endfilter %}"


def _when(state: str) -> EventTrigger:
    return EventTrigger(
        expect={_EVENT + state},
        match={"prefect.resource.id": _EVENT + "*"},
        match_related=_flow(),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )


def _unless(states: frozenset[str], *, after: str, within: timedelta, deployment: str | None = None) -> EventTrigger:
    """Return a trigger for runs that stay in a state for `within`."""
    return EventTrigger(
        after={_EVENT + after},
        expect=set(states),
        match={"prefect.resource.id": _EVENT + "*"},
        match_related=_flow(deployment),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _flow(deployment: str | None = None) -> Any:
    flow = {"prefect.resource.role": "flow", "prefect.resource.name": FLOW}
    named = {"prefect.resource.role": "deployment", "prefect.resource.name": deployment}
    return [flow, named] if deployment else flow


def _automation(alert: Alert, actions: Sequence[Action]) -> AutomationCore:
    return AutomationCore(
        name=NAMES + alert.name,
        description="Made by `python -m flows.alerts`, which also changes and removes it.",
        trigger=alert.trigger,
        actions=list(actions),
    )


def _ensure(client: SyncPrefectClient, wanted: AutomationCore, found: Automation | None) -> str:
    """Return what was done; one that is as it should be is not touched: what it waits for would be forgotten."""
    if found is None:
        client.create_automation(wanted)
        return "made"
    if _content(found) == _content(wanted):
        return "there"
    client.update_automation(found.id, wanted.model_copy(update={"enabled": found.enabled}))
    return "renewed"


def _content(automation: AutomationCore) -> dict[str, Any]:
    content = automation.model_dump(mode="json", include={"description", "trigger", "actions"})
    content["trigger"].pop("id", None)
    for name in ("after", "expect", "for_each"):
        content["trigger"][name] = sorted(content["trigger"][name])
    return content


def _ours(client: SyncPrefectClient) -> list[Automation]:
    return [automation for automation in client.read_automations() if automation.name.startswith(NAMES)]


def _said(lines: list[str]) -> list[str]:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return lines


if __name__ == "__main__":
    sys.exit(main())
