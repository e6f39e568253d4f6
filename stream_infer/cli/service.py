"""``run`` and ``validate``: a service from its config file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_infer.cli.shared import config_argument, examples, format_option, load, print_json, problems_of, set_option
from stream_infer.config.options import Check, OutputFormat, RunOptions
from stream_infer.errors import ConfigError, ConfigProblem, StreamInferError

if TYPE_CHECKING:
    from stream_infer.config.load import LoadedConfig
    from stream_infer.config.model import Config

EXIT_FAILED = 1


@click.command(
    epilog=examples(
        "stream-infer run config/fraud.toml",
        "stream-infer run config/fraud.toml --set batching.linger_ms=0 --format json",
        "stream-infer run config/fraud.toml --dry-run --max-events 1000",
    )
)
@config_argument
@set_option
@click.option("--dry-run", is_flag=True, help="Score and report, but publish and commit nothing.")
@click.option("--max-events", type=click.IntRange(min=1), help="Stop after this many events.  [default: no end]")
@click.option("--until-caught-up", is_flag=True, help="Stop after the last event that is there at the start.")
@click.option(
    "--drain-timeout-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Time to finish after SIGTERM.  [default: timeouts.drain_seconds]",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    help="Of the log lines.  [default: observe.log_format]",
)
def run(config: Path, overrides: tuple[str, ...], output_format: OutputFormat | None, **options: Any) -> int:
    """Score the topics of CONFIG until told to stop.

    SIGTERM or Ctrl-C: finish, publish and commit what was read, then end. A second one stops at once.
    """
    if output_format:
        overrides = (*overrides, f"observe.log_format={output_format}")
    loaded = load(config, overrides)

    from stream_infer.app import run as run_service

    with problems_of(config, overrides):
        return run_service(loaded.config, RunOptions(**options))


@click.command(
    short_help="Check a config: every problem at once.",
    epilog=examples(
        "stream-infer validate config/fraud.toml",
        "stream-infer validate config/fraud.toml --connect --format json",
    ),
)
@config_argument
@set_option
@click.option("--connect", is_flag=True, help="Also ask the broker, the topics, the registry and the model.")
@format_option
def validate(config: Path, overrides: tuple[str, ...], connect: bool, output_format: OutputFormat) -> int:
    """Check CONFIG: every problem at once, without touching the network unless --connect is given."""
    from stream_infer.app import check_offline
    from stream_infer.config.load import read_config

    show = _show_validation if output_format == "text" else _show_validation_json
    try:
        with problems_of(config, overrides):
            loaded = read_config(config, overrides)
            check_offline(loaded.config)
            ok = show(str(config), loaded, _connect_checks(loaded.config) if connect else ())
    except StreamInferError as error:
        if output_format == "text":
            raise
        problems = error.problems if isinstance(error, ConfigError) else [ConfigProblem("", str(error))]
        print_json({"ok": False, "problems": _problem_rows(problems), "warnings": [], "checks": []})
        return error.exit_code
    return 0 if ok else EXIT_FAILED


def _connect_checks(config: Config) -> Iterable[Check]:
    from stream_infer.app import connect_checks

    return connect_checks(config)


def _show_validation(source: str, loaded: LoadedConfig, checks: Iterable[Check]) -> bool:
    """Print each finding as it comes. True when nothing is wrong."""
    for warning in loaded.warnings:
        click.echo(f"warning  {warning}")
    verdicts = [_show_check(check) for check in checks]
    failed = verdicts.count(False)
    click.echo(f"{source}: {f'{failed} of {len(verdicts)} checks failed' if failed else 'valid'}")
    return not failed


def _show_check(check: Check) -> bool:
    click.echo(f"{'ok      ' if check.ok else 'FAILED  '} {check.name}: {check.message}")
    return check.ok


def _show_validation_json(_source: str, loaded: LoadedConfig, checks: Iterable[Check]) -> bool:
    from stream_infer.config.describe import effective

    rows = [{"name": check.name, "ok": check.ok, "message": check.message} for check in checks]
    ok = all(row["ok"] for row in rows)
    warnings = _problem_rows(loaded.warnings)
    print_json({"ok": ok, "problems": [], "warnings": warnings, "checks": rows, "config": effective(loaded.config)})
    return ok


def _problem_rows(problems: Iterable[ConfigProblem]) -> list[dict[str, Any]]:
    return [
        {"path": problem.path, "line": problem.line, "message": problem.message, "hint": problem.hint}
        for problem in problems
    ]


__all__ = ["EXIT_FAILED", "run", "validate"]
