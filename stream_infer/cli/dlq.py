"""``dlq``: what lies in the dead letters of a config, and back to the input with it.

Rule: payload (keys, values, and the values of the event's own headers) is shown only where ``--payload`` asks for it.
Whatever a header says was written by anybody: for people it is printed with its control characters escaped.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_infer.cli.shared import (
    config_argument,
    examples,
    format_option,
    load,
    print_json,
    print_table,
    problems_of,
    set_option,
)
from stream_infer.clock import SystemClock
from stream_infer.config.options import (
    DeadLetterDetails,
    DeadLetterGroup,
    DeadLetterSelection,
    OutputFormat,
    ResendOptions,
    ResendReport,
)
from stream_infer.errors import UsageError

EXIT_FAILED = 1

_AGO = re.compile(r"(?P<count>\d{1,9})(?P<unit>[smhd])")
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PLACE = re.compile(r"(?P<partition>\d{1,9}):(?P<offset>\d{1,18})")
_ORIGIN = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249}):(?P<partition>\d{1,9}):(?P<offset>\d{1,18})")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def moment(text: str, now_ms: int) -> int | None:
    """Milliseconds since the epoch of ``2h`` (so long before ``now_ms``) or of an ISO 8601 time; None for neither.

    A time without a zone is in UTC.
    """
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago["count"]) * _UNIT_MS[ago["unit"]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _moment(text: str) -> int:
    at_ms = moment(text, SystemClock().wall_ms())
    if at_ms is None:
        raise click.BadParameter(f"{text!r} is no time: write 2h (s, m, h, d), or 2026-11-22T20:34:01Z")
    return at_ms


def _place(text: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(text)
    if not found:
        raise click.BadParameter(f"{text!r} is no PARTITION:OFFSET, such as 0:1042")
    return int(found["partition"]), int(found["offset"])


def _origin(text: str) -> tuple[str, int, int]:
    found = _ORIGIN.fullmatch(text)
    if not found:
        raise click.BadParameter(f"{text!r} is no TOPIC:PARTITION:OFFSET, such as payments:3:90210")
    return found["topic"], int(found["partition"]), int(found["offset"])


def selection_options(command: _Command) -> _Command:
    """``--reason``, ``--since`` and ``--until``."""
    for option in (
        click.option("--until", "until_ms", type=_moment, metavar="TIME", help="Rejected before this time."),
        click.option(
            "--since",
            "since_ms",
            type=_moment,
            metavar="TIME",
            help="Rejected at this time or later: 2h, or 2026-11-22T20:34:01Z.",
        ),
        click.option("--reason", "reasons", multiple=True, metavar="REASON", help="With this reason. May be repeated."),
    ):
        command = option(command)
    return command


@click.group(short_help="Dead letters of a config: list, show, resend.")
def dlq() -> None:
    """Look into the dead letters of a config, and send them back."""


# ------------------------------------------------------------------------------------------- list


@dlq.command("list", epilog=examples("stream-infer dlq list config/fraud.toml --since 2h"))
@config_argument
@set_option
@selection_options
@format_option
def dlq_list(
    config: Path,
    overrides: tuple[str, ...],
    reasons: tuple[str, ...],
    since_ms: int | None,
    until_ms: int | None,
    output_format: OutputFormat,
) -> None:
    """Count the dead letters of CONFIG by reason and stage.

    The whole topic is read, as it stands now. Other tools' dead letters count, too.
    """
    loaded = load(config, overrides)

    from stream_infer.app import dead_letters_list

    with problems_of(config, overrides):
        groups = dead_letters_list(loaded.config, DeadLetterSelection(reasons, since_ms, until_ms))
    if output_format == "json":
        print_json([_group_row(group) for group in groups])
        return
    heads = ("count", "reason", "stage", "first", "last", "input topics", "example")
    print_table([heads, *(_group_cells(group) for group in groups)])
    click.echo(f"{sum(group.count for group in groups)} dead letters in {loaded.config.dead_letter.topic}")


def _group_row(group: DeadLetterGroup) -> dict[str, Any]:
    return {
        "reason": group.reason,
        "stage": group.stage,
        "count": group.count,
        "first_failed_at_ms": group.first_failed_at_ms,
        "last_failed_at_ms": group.last_failed_at_ms,
        "topics": group.topics,
        "example": _place_text(group.example),
    }


def _group_cells(group: DeadLetterGroup) -> tuple[str, ...]:
    times = (_time(group.first_failed_at_ms), _time(group.last_failed_at_ms))
    words = (group.reason, group.stage or "-", *times, ", ".join(group.topics) or "-", _place_text(group.example))
    return (str(group.count), *map(_escape, words))


# ------------------------------------------------------------------------------------------- show


@dlq.command(
    "show",
    epilog=examples(
        "stream-infer dlq show config/fraud.toml 0:1042",
        "stream-infer dlq show config/fraud.toml --input payments:3:90210 --payload",
    ),
)
@config_argument
@click.argument("place", type=_place, required=False, metavar="[PARTITION:OFFSET]")
@set_option
@click.option(
    "--input",
    "origin",
    type=_origin,
    metavar="TOPIC:PARTITION:OFFSET",
    help="The event's place in the input, instead of the dead letter's own.",
)
@click.option("--payload", is_flag=True, help="Also show key, value and headers of the event.")
@format_option
def dlq_show(
    config: Path,
    place: tuple[int, int] | None,
    overrides: tuple[str, ...],
    origin: tuple[str, int, int] | None,
    payload: bool,
    output_format: OutputFormat,
) -> int:
    """Show what is known of one dead letter of CONFIG, without its payload.

    PARTITION:OFFSET is its place in the dead-letter topic.
    """
    if (place is None) == (origin is None):
        raise UsageError("name one dead letter: PARTITION:OFFSET, or --input TOPIC:PARTITION:OFFSET")
    loaded = load(config, overrides)

    from stream_infer.app import dead_letters_at, dead_letters_of

    with problems_of(config, overrides):
        found = dead_letters_of(loaded.config, *origin) if origin else dead_letters_at(loaded.config, *(place or ()))
    if output_format == "json":
        print_json([_details_row(details, payload) for details in found])
    for details in found if output_format == "text" else ():
        _show_details(details, payload)
    if not found:
        click.echo(f"Error: there is no such dead letter in {loaded.config.dead_letter.topic}", err=True)
    return 0 if found else EXIT_FAILED


def _details_row(details: DeadLetterDetails, payload: bool) -> dict[str, Any]:
    headers = [{"name": name, "value": _content(value, payload)} for name, value in details.headers]
    return {
        "place": _place_text(details.place),
        **details.facts,
        "headers": headers,
        "key": _content(details.key, payload),
        "value": _content(details.value, payload),
    }


def _content(value: bytes | None, payload: bool) -> dict[str, Any] | None:
    """The size of ``value`` and, where it is asked for, itself: as text if that can be shown, else in base64."""
    if value is None:
        return None
    text = _printable(value)
    shown = {"base64": base64.b64encode(value).decode()} if text is None else {"text": text}
    return {"bytes": len(value), **(shown if payload else {})}


def _printable(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\t" for char in text) else None


def _show_details(details: DeadLetterDetails, payload: bool) -> None:
    rows = [("place", _place_text(details.place))]
    rows += [(name.replace("_", " "), _fact(name, value)) for name, value in details.facts.items()]
    contents = {"key": details.key, "value": details.value}
    contents |= {f"header {name}": value for name, value in details.headers}
    rows += [(name, _content_text(value, payload)) for name, value in contents.items()]
    print_table([(_escape(name), text) for name, text in rows])


def _fact(name: str, value: str | int | None) -> str:
    if value is None:
        return "-"
    return _time(int(value)) if name.endswith("_ms") else _escape(str(value))


def _content_text(value: bytes | None, payload: bool) -> str:
    shown = _content(value, payload)
    if shown is None:
        return "null"
    return str(shown.get("text", shown.get("base64", f"{shown['bytes']} bytes")))


# ------------------------------------------------------------------------------------------- resend


@dlq.command(
    "resend",
    epilog=examples(
        "stream-infer dlq resend config/fraud.toml --dry-run",
        "stream-infer dlq resend config/fraud.toml --reason unknown_schema --since 2h",
        "stream-infer dlq resend config/fraud.toml --only 0:1042 --again --yes",
    ),
)
@config_argument
@set_option
@selection_options
@click.option(
    "--only", type=_place, multiple=True, metavar="PARTITION:OFFSET", help="The dead letter there. May be repeated."
)
@click.option("--max", "max_count", type=click.IntRange(min=1), help="Stop after this many.  [default: no end]")
@click.option(
    "--max-attempts",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Leave out what was tried this often.",
)
@click.option("--again", is_flag=True, help="Also what was sent back before.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@format_option
def dlq_resend(
    config: Path,
    overrides: tuple[str, ...],
    reasons: tuple[str, ...],
    since_ms: int | None,
    until_ms: int | None,
    only: tuple[tuple[int, int], ...],
    dry_run: bool,
    yes: bool,
    output_format: OutputFormat,
    **options: Any,
) -> None:
    """Send dead letters of CONFIG back to the topics they came from, as they were.

    All of them, or those that meet every condition. What was sent back once is not sent back again, whatever was
    selected then, unless --again says so. An event that is rejected again comes back with its attempts counted.
    """
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("resend asks before it sends, and nobody can answer here: add --yes, or --dry-run")
    loaded = load(config, overrides)

    from stream_infer.app import dead_letters_resend

    wanted = ResendOptions(DeadLetterSelection(reasons, since_ms, until_ms, frozenset(only)), **options)
    confirmed = yes

    def confirm(plan: ResendReport) -> bool:
        nonlocal confirmed
        _show_report("would be sent back", plan, err=True)
        confirmed = click.confirm("Send them back?", err=True)
        return confirmed

    with problems_of(config, overrides):
        report = dead_letters_resend(loaded.config, wanted, None if yes else confirm, dry_run=dry_run)
    sent = confirmed and not dry_run
    if output_format == "json":
        print_json(_report_row(report, sent))
    else:
        _show_report("were sent back" if sent or not report.total else "would be sent back", report)


def _report_row(report: ResendReport, sent: bool) -> dict[str, Any]:
    return {
        "sent": report.total if sent else 0,
        "would_send": 0 if sent else report.total,
        "topics": dict(report.sent),
        "left_out": {
            "sent_before": report.sent_before,
            "tried_too_often": report.tried_too_often,
            "no_input": report.no_input,
            "not_selected": report.not_selected,
        },
    }


def _show_report(verb: str, report: ResendReport, *, err: bool = False) -> None:
    topics = ", ".join(f"{count} to {topic}" for topic, count in sorted(report.sent.items()))
    click.echo(f"{report.total} dead letters {verb}{f': {topics}' if topics else ''}", err=err)
    for count, why in (
        (report.sent_before, "sent back before (--again sends them once more)"),
        (report.tried_too_often, "tried too often (--max-attempts)"),
        (report.no_input, "from no topic of source.topics"),
        (report.not_selected, "not selected"),
    ):
        if count:
            click.echo(f"  left out: {count} {why}", err=err)


# ------------------------------------------------------------------------------------------- words


def _place_text(place: Sequence[int]) -> str:
    return f"{place[0]}:{place[1]}"


def _time(at_ms: int) -> str:
    if at_ms < 0:
        return "-"
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # anybody may write any number into a header
        return str(at_ms)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _escape(text: str) -> str:
    from stream_infer.observe.logs import escape

    return escape(text)


__all__ = ["dlq", "moment"]
