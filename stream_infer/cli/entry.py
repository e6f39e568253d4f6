"""Where a command starts and ends: the program, its sub-commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from stream_infer import __version__
from stream_infer.cli.bench import bench
from stream_infer.cli.bundles import bundle, export
from stream_infer.cli.demo import demo
from stream_infer.cli.dlq import dlq
from stream_infer.cli.service import run, validate
from stream_infer.cli.topics import topics
from stream_infer.cli.warm import warm
from stream_infer.errors import StreamInferError
from stream_infer.kernels import processor

# Read when numba is first imported, by a command.
processor.choose(os.environ)

_PACKAGE = Path(__file__).parents[1]

EXIT_FAILED = 1
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


@dataclass
class _Session:
    """What the options before the command say."""

    debug: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Words after the program's name; default: those of this process.
    """
    session = _Session(debug=os.environ.get("STREAM_INFER_DEBUG", "") not in ("", "0"))
    try:
        result = cli.main(args=arguments, prog_name="stream-infer", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()
        return EXIT_FAILED  # as click does for a pipe that breaks inside a command
    except StreamInferError as error:
        return _report(error, session)
    except Exception as error:  # the one place where a bug ends, so that no user meets a traceback
        return _report_bug(error, session)
    return result if isinstance(result, int) else 0


def _give_up_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: StreamInferError, session: _Session) -> int:
    if session.debug:
        traceback.print_exception(error)
    click.echo(f"Error: {error}", err=True)
    return error.exit_code


def _report_bug(error: Exception, session: _Session) -> int:
    """Name the kind and the place of a bug, not its text: that may quote an event."""
    if session.debug:
        traceback.print_exception(error)
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _PACKAGE in Path(frame.filename).parents]
    place = f"{Path(ours[-1].filename).relative_to(_PACKAGE)}:{ours[-1].lineno}"
    again = "" if session.debug else ", with what the same command prints with --debug in front"
    click.echo(f"Internal error: {type(error).__name__} at {place}. Please report it{again}.", err=True)
    return EXIT_BUG


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="stream-infer")
@click.option("--debug", is_flag=True, help="Print tracebacks with errors. Also STREAM_INFER_DEBUG=1.")
@click.pass_obj
def cli(session: _Session, debug: bool) -> None:
    """Score the events of a Kafka topic with an ONNX model.

    Start with `stream-infer demo`: it needs no broker. Every command explains itself with --help.
    """
    session.debug = session.debug or debug


for _command in (demo, run, validate, topics, dlq, export, bundle, bench, warm):
    cli.add_command(_command)

__all__ = ["EXIT_BUG", "EXIT_FAILED", "EXIT_INTERRUPTED", "cli", "main"]
